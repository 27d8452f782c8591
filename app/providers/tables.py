"""Runs a platform's field tables over an item: one row a field, with its path, the API's name and how it is read.

The tables themselves stand in each platform's folder, the reading of single values in `values`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.ids import joined
from app.ingest.contract import Warned
from app.ingest.lenient_json import dotted
from app.providers.values import Parse, Warn, is_unknown

_MAX_WARNINGS = 200
_MAX_UNKNOWN_NAMES = 20
_MAX_KEY_BYTES = 400
_CONTAINERS = frozenset({dict, list})
_PLAIN = frozenset({int, str})
_ANY = "*"


class Notes:
    """Collects the warnings on one item: the field as sent and a short reason, never a value."""

    __slots__ = ("_found", "_unknown_names", "path", "prefix")

    def __init__(self, first: Iterable[Warned] = ()) -> None:
        self._found: dict[Warned, None] = dict.fromkeys(first)
        self._unknown_names = 0
        self.prefix = self.path = ""

    def __call__(self, reason: str) -> None:
        """Note `reason` on the field at `path` below `prefix`; a function for each field would cost more."""
        self.add(self.prefix + self.path, reason)

    def add(self, field: str, reason: str) -> None:
        """Note `reason` on the field at the dotted path `field`."""
        if len(self._found) < _MAX_WARNINGS:
            self._found[Warned(dotted((field,)), reason)] = None

    def on(self, field: str) -> Warn:
        """Return the function that notes a reason on `field`."""
        return lambda reason: self.add(field, reason)

    def unknown_names(self, prefix: str, names: Iterable[str], known: frozenset[str]) -> None:
        """Note the names that are not among the known ones; the first 20 of an item."""
        if known.issuperset(names):
            return
        for name in names:
            if name not in known and self._unknown_names < _MAX_UNKNOWN_NAMES:
                self._unknown_names += 1
                self.add(prefix + name, "unknown-field")

    def all(self) -> tuple[Warned, ...]:
        """Return what was noted, each once, in order."""
        return tuple(self._found)


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


_Look = tuple[str, str | None, str, Parse]
"""A path of a row, taken apart: the first name, the one below it where there are two; the row's name and reader.

A plain tuple: one with names takes twice as long to be taken apart.
"""


class Table:
    """Rows that are read together, with what is looked for in their order; no two rows have the same name."""

    __slots__ = ("anywhere", "looks", "names", "rows")

    def __init__(self, *rows: Row) -> None:
        self.rows = rows
        self.names = tuple(one.name for one in rows)
        self.looks = tuple(_look(one, path) for one in rows for path in one.paths)
        self.anywhere = frozenset(below for first, below, *_ in self.looks if first == _ANY and below)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def _look(one: Row, path: str) -> _Look:
    first, _, below = path.partition(".")
    return first, below or None, one.name, one.parse if one.known is None else _among(one.known, one.parse)


def _among(known: frozenset[Any], parse: Parse) -> Parse:
    """Return a reader that also notes what is not among the known values; one that is needs no reading."""

    def read(value: Any, warn: Warn) -> Any:
        if value.__class__ in _PLAIN and value in known:
            return value
        parsed = parse(value, warn)
        if parsed is not None and parsed not in known:
            warn("unknown-value")
        return parsed

    return read


def top_names(rows: Iterable[Row]) -> frozenset[str]:
    """Return the names that the rows look for at the top of an object."""
    return frozenset(path.split(".")[0] for one in rows for path in one.paths)


def read_rows(rows: Table, value: Mapping[str, Any], prefix: str, notes: Notes) -> dict[str, Any]:
    """Return what `value` says in the API's names; what is unknown or unreadable is not in it."""
    fields: dict[str, Any] = {}
    notes.prefix = prefix
    nested: list[tuple[str, dict[str, Any]]] | None = None
    get = value.get
    for first, below, name, parse in rows.looks:
        found, path = get(first), first
        if below is not None:
            if first == _ANY:
                nested = _nested(value, rows.anywhere) if nested is None else nested
                found, path = _first_known(nested, below)
            else:
                found, path = _below(found, below), f"{first}.{below}"
        # A name that is there already was read at another path of the same row.
        if found is None or name in fields:
            continue
        # What most values are is no unknown: to call for each would cost more than what is asked.
        kind = found.__class__
        if not ("1" <= found < "\x7f" if kind is str else kind is int) and is_unknown(found):
            continue
        notes.path = path
        parsed = parse(found, notes)
        if parsed is not None:
            fields[name] = parsed
    return fields


def _below(inner: Any, name: str) -> Any:
    """Return what stands in a member that should be an object."""
    return inner.get(name) if isinstance(inner, dict) else None


def _nested(value: Mapping[str, Any], wanted: frozenset[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the objects with a wanted name that are members or in lists that are, each with its member's name."""
    return [
        (name, inner)
        for name, child in value.items()
        if child.__class__ in _CONTAINERS
        for inner in (child if child.__class__ is list else (child,))
        if isinstance(inner, dict) and not wanted.isdisjoint(inner)
    ]


def _first_known(nested: Iterable[tuple[str, dict[str, Any]]], last: str) -> tuple[Any, str]:
    """Return the first known member of that name of nested objects, and its path as sent."""
    for name, inner in nested:
        if not is_unknown(found := inner.get(last)):
            return found, f"{name}.{last}"
    return None, last


def as_list(value: Any) -> list[tuple[str, Any]]:
    """Return the members of a list with their positions; PHP may send it as an object keyed by numbers."""
    if isinstance(value, list):
        return [(str(index), member) for index, member in enumerate(value)]
    if isinstance(value, dict) and value and all(map(str.isdigit, value)):
        return list(value.items())
    return []


def record_key(kind: str, *parts: str) -> str:
    """Return the key of a record within its kind; one too long for an index is replaced by its digest."""
    key = kind + joined(*parts)
    if len(key) <= _MAX_KEY_BYTES // 4:  # most are, and no character is more than four bytes
        return key
    encoded = key.encode("utf-8", "replace")
    if len(encoded) <= _MAX_KEY_BYTES:
        return key
    return f"{kind}sha256:{hashlib.sha256(encoded).hexdigest()}"
