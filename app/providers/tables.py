"""Runs a platform's field tables over an item: one row a field, with its path, the API's name and how it is read.

The tables themselves stand in each platform's folder, the reading of single values in `values`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.ingest.contract import Warned
from app.ingest.lenient_json import dotted
from app.providers.values import Parse, Warn, is_unknown

_MAX_WARNINGS = 200
_MAX_UNKNOWN_NAMES = 20
_MAX_KEY_BYTES = 400
_CONTAINERS = (dict, list)
SEPARATOR = "\x1f"


class Notes:
    """Collects the warnings on one item: the field as sent and a short reason, never a value."""

    def __init__(self, first: Iterable[Warned] = ()) -> None:
        self._found: dict[Warned, None] = dict.fromkeys(first)
        self._unknown_names = 0

    def add(self, field: str, reason: str) -> None:
        """Note `reason` on the field at the dotted path `field`."""
        if len(self._found) < _MAX_WARNINGS:
            self._found[Warned(dotted((field,)), reason)] = None

    def on(self, field: str) -> Warn:
        """Return the function that notes a reason on `field`."""
        return lambda reason: self.add(field, reason)

    def under(self, prefix: str) -> "_Under":
        """Return the function that notes a reason on the field whose path below `prefix` was set last."""
        return _Under(self, prefix)

    def unknown_names(self, prefix: str, names: Iterable[str], known: frozenset[str]) -> None:
        """Note the names that are not among the known ones; the first 20 of an item."""
        for name in names:
            if name not in known and self._unknown_names < _MAX_UNKNOWN_NAMES:
                self._unknown_names += 1
                self.add(prefix + name, "unknown-field")

    def all(self) -> tuple[Warned, ...]:
        """Return what was noted, each once, in order."""
        return tuple(self._found)


class _Under:
    """Notes reasons on the field at `path`, which is set anew for each: a function for each field would cost more."""

    __slots__ = ("_notes", "_prefix", "path")

    def __init__(self, notes: Notes, prefix: str) -> None:
        self._notes = notes
        self._prefix = prefix
        self.path = ""

    def __call__(self, reason: str) -> None:
        self._notes.add(self._prefix + self.path, reason)


@dataclass(frozen=True, slots=True)
class Row:
    """One field of a table: where it may stand, its name in the API, and how its value is read.

    A path is a name, names joined by dots, or `*.name` for a member of any object (or of the objects in any list)
    one level down. The first path that knows a value counts. A dot in `name` makes a nested object.
    """

    paths: tuple[str, ...]
    name: str
    parse: Parse
    known: frozenset[Any] | None = None


def row(path: str, name: str, parse: Parse, known: Iterable[Any] | None = None) -> Row:
    """Return the row of a field; alternatives in `path` are separated by blanks."""
    return Row(tuple(path.split()), name, parse, None if known is None else frozenset(known))


def top_names(rows: Iterable[Row]) -> frozenset[str]:
    """Return the names that the rows look for at the top of an object."""
    return frozenset(path.split(".")[0] for one in rows for path in one.paths)


def read_rows(rows: Sequence[Row], value: Mapping[str, Any], prefix: str, notes: Notes) -> dict[str, Any]:
    """Return what `value` says in the API's names; what is unknown or unreadable is not in it."""
    fields: dict[str, Any] = {}
    warn = notes.under(prefix)
    nested: list[tuple[str, dict[str, Any]]] | None = None
    for one in rows:
        for path in one.paths:
            if "." not in path:
                found, warn.path = value.get(path), path
            elif path.startswith("*."):
                nested = _nested(value) if nested is None else nested
                found, warn.path = _first_known(nested, path)
            else:
                found, warn.path = _below(value, path), path
            if found is None or is_unknown(found):
                continue
            parsed = one.parse(found, warn)
            if parsed is None:
                continue
            if one.known is not None and parsed not in one.known:
                warn("unknown-value")
            fields[one.name] = parsed
            break
    return fields


def _below(value: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path of two names."""
    first, _, last = path.partition(".")
    inner = value.get(first)
    return inner.get(last) if isinstance(inner, dict) else None


def _nested(value: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the objects that are members or in lists that are, each with its member's name."""
    return [
        (name, inner)
        for name, child in value.items()
        if isinstance(child, _CONTAINERS)
        for inner in (child if isinstance(child, list) else (child,))
        if isinstance(inner, dict)
    ]


def _first_known(nested: Iterable[tuple[str, dict[str, Any]]], path: str) -> tuple[Any, str]:
    """Return the first known member of nested objects that `*.name` means, and its path as sent."""
    last = path.removeprefix("*.")
    for name, inner in nested:
        if not is_unknown(inner.get(last)):
            return inner[last], f"{name}.{last}"
    return None, path


def as_list(value: Any) -> list[tuple[str, Any]]:
    """Return the members of a list with their positions; PHP may send it as an object keyed by numbers."""
    if isinstance(value, list):
        return [(str(index), member) for index, member in enumerate(value)]
    if isinstance(value, dict) and value and all(name.isdigit() for name in value):
        return list(value.items())
    return []


def record_key(kind: str, *parts: str) -> str:
    """Return the key of a record within its kind; one too long for an index is replaced by its digest."""
    key = kind + SEPARATOR.join(parts)
    encoded = key.encode("utf-8", "replace")
    if len(encoded) <= _MAX_KEY_BYTES:
        return key
    return f"{kind}sha256:{hashlib.sha256(encoded).hexdigest()}"
