"""Settles which record an item speaks of, when platforms name the same subject by several keys.

Pure; the table `aliases` is read and written in `projection`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    learned: dict[str, Alias] = field(default_factory=dict)
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
            present = self.learned.get(key) or self.known.get(key)
            if present is not None and present.order < order:  # of the same order is the same item, read again
                continue
            if present is None or present.target != keys[0]:
                self.redirected.add(key)
            self.learned[key] = Alias(keys[0], order)
            self._roots.clear()

    def root(self, key: str) -> str:
        """Return the key by which the record of `key` is kept."""
        return _root(key, self.learned, self.known, self._roots)

    def root_before(self, key: str) -> str:
        """Return the same as it was before anything was learned here."""
        return _root(key, {}, self.known, self._roots_before)


def _root(key: str, newer: Mapping[str, Alias], older: Mapping[str, Alias], found: dict[str, str]) -> str:
    """Follow the aliases; keys that lead to each other in a circle are kept under the lowest of them.

    What was `found` is not looked for again: a platform, or whoever has its URL, can make chains of any length.
    """
    trail: dict[str, int] = {}
    while (root := found.get(key)) is None and key not in trail:
        trail[key] = len(trail)
        alias = newer.get(key) or older.get(key)
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
