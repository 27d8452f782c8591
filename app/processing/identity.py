"""Settles which record an item speaks of, when platforms name the same subject by several keys.

Pure; what is known is read and written in `aliases`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

KEY_BYTES = 500
"""The longest key: an index of PostgreSQL takes no entry much longer than 2,600 bytes."""


@dataclass(slots=True)
class Alias:
    """A weaker key's stronger key, and the order key of the item that named both."""

    target: str
    order: str


@dataclass(slots=True)
class Names:
    """The keys of one kind within one source.

    An item names a record by several keys, strongest first. The further ones lead to the first; if items disagree, the
    lowest order decides, so that the answer depends on the set of items and not on the order in which they came.
    """

    known: dict[str, Alias] = field(default_factory=dict)
    learned: dict[str, Alias | None] = field(default_factory=dict)
    """What is other than known; None: a key leads nowhere any more."""
    later: dict[tuple[str, str], str] = field(default_factory=dict)
    """The lowest orders in which keys would lead elsewhere (key, target), had no item said otherwise before."""
    redirected: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    """The keys whose aliases, if they have any, are known."""
    _roots: dict[str, str] = field(default_factory=dict)
    _roots_before: dict[str, str] = field(default_factory=dict)

    def recall(self, key: str, alias: Alias) -> None:
        """Take in what was learned of a key before."""
        self.known[key] = alias
        self.asked |= {key, alias.target}
        self._roots.clear()
        self._roots_before.clear()

    def learn(self, keys: Sequence[str], order: str) -> None:
        """Take in the keys of one item."""
        for key in keys[1:]:
            if key == keys[0]:
                continue
            present = self.learned[key] if key in self.learned else self.known.get(key)
            if present is not None and present.order < order:  # of the same order is the same item, read again
                if present.target != keys[0]:
                    self._pass_over(key, Alias(keys[0], order))
                continue
            if present is None or present.target != keys[0]:
                self.redirected.add(key)
                if present is not None and present.order > order:
                    self._pass_over(key, present)
            self.learned[key] = Alias(keys[0], order)
            self._roots.clear()

    def revoke(self, key: str, alias: Alias | None) -> None:
        """Have a key lead elsewhere, or nowhere, since the item does not say so any more by which it is known."""
        self.learned[key] = alias
        self.redirected.add(key)
        self._roots.clear()

    def _pass_over(self, key: str, alias: Alias) -> None:
        place = (key, alias.target)
        self.later[place] = min(alias.order, self.later.get(place, alias.order))

    def root(self, key: str) -> str:
        """Return the key by which the record of `key` is kept."""
        return _root(key, self.learned, self.known, self._roots)

    def root_before(self, key: str) -> str:
        """Return the same as it was before anything was learned here."""
        return _root(key, {}, self.known, self._roots_before)


def _root(key: str, newer: Mapping[str, Alias | None], older: Mapping[str, Alias], found: dict[str, str]) -> str:
    """Follow the aliases; keys that lead to each other in a circle are kept under the lowest of them.

    What was `found` is not looked for again: a platform, or whoever has its URL, can make chains of any length.
    """
    trail: dict[str, int] = {}
    while (root := found.get(key)) is None and key not in trail:
        trail[key] = len(trail)
        alias = newer[key] if key in newer else older.get(key)
        if alias is None:
            root = key
            break
        key = alias.target
    if root is None:
        root = min([*trail][trail[key] :])
    found.update(dict.fromkeys(trail, root))
    return root


def bounded_key(key: str) -> str:
    """Return a key that fits an index: itself, or its beginning with a digest of the whole."""
    if len(key) <= KEY_BYTES // 4:  # most are, and no character is more than four bytes
        return key
    raw = key.encode("utf-8", "replace")
    if len(raw) <= KEY_BYTES:
        return key
    return raw[:200].decode("utf-8", "ignore") + ":" + hashlib.sha256(raw).hexdigest()


def keys_in(part: Mapping[str, Any]) -> list[str]:
    """Return the keys of a part, as they fit an index."""
    return [bounded_key(key) for key in part["keys"]]
