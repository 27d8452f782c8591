"""Gathers which fields the items of each source have: paths and types, how often, first seen in which event.

Never a value, and no name that may be one: what does not look like a field's name is `*`. What has appeared, vanished
or changed its type is told by the query room's `drift`.
"""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.ids import IdSource
from app.processing.event_rows import EventRow
from app.processing.record_rows import Database

FLUSH_S: Final = 60.0
MOST_FORMS: Final = 1000
"""So many paths with their types are kept for each source; a stranger can send as many as he likes."""

MOST_NAMES: Final = 80
"""An object with more names than that is a dictionary, whose further names are `*`."""

_MOST_LOOKS: Final = 500
OVERFLOW: Final = "overflow"
UNNAMED: Final = "*"
ELEMENTS: Final = "[]"
_MOST_ELEMENTS: Final = 20
_MOST_DEPTH: Final = 12
_MOST_DIGITS: Final = 3
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,49}")
_STEP: Final = re.compile(r"\[\]|[^.\[\]]+")
_OBJECT: Final = "object"
_LIST: Final = "list"
_TYPES: Final[dict[type[Any], str]] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    dict: _OBJECT,
    list: _LIST,
}

_KNOWN: Final = """
SELECT source_id, kind, path, type, count, items_before, items_until FROM shapes ORDER BY source_id, kind, path
"""
_WRITE: Final = """
INSERT INTO shapes (id, source_id, kind, path, type, count, items_before, items_until, first_event_id, first_seen_at,
    last_seen_at)
SELECT id, source_id, kind, path, type, count, items_before, items_until, first_event_id, first_seen_at, last_seen_at
FROM jsonb_populate_recordset(NULL::shapes, %s::jsonb)
ON CONFLICT (source_id, kind, path, type) DO UPDATE SET count = shapes.count + EXCLUDED.count,
    items_until = greatest(shapes.items_until, EXCLUDED.items_until),
    last_seen_at = greatest(shapes.last_seen_at, EXCLUDED.last_seen_at)
"""


@dataclass(slots=True)
class _Form:
    """One type at one path: what of it is not written yet, and how many items of its kind there were."""

    items_before: int
    items_until: int
    waiting: int = 0
    first: EventRow | None = None


@dataclass(slots=True)
class _Look:
    """Objects of the same names and types at one place: their inner objects and lists, and the other forms."""

    inner: list[tuple[str, "_Place"]]
    forms: list[_Form]
    waiting: int = 0
    items_until: int = 0


@dataclass(slots=True)
class _Place:
    """A path, with what was found there and below it."""

    path: str
    below: dict[str, "_Place"] = field(default_factory=dict)
    forms: dict[str, _Form] = field(default_factory=dict)
    looks: dict[tuple[Any, ...], _Look] = field(default_factory=dict)


@dataclass(slots=True)
class _Kind:
    """The items of one kind: how many there were, and the last one's receipt."""

    items: int = 0
    last_at: datetime | None = None
    root: _Place = field(default_factory=lambda: _Place(""))


@dataclass(slots=True)
class _Source:
    kinds: dict[str, _Kind] = field(default_factory=dict)
    forms: int = 0
    looks: int = 0


class Shapes:
    """The forms of all sources, over the connection of the active processor, which alone counts them.

    An event is counted once, when it is new: neither replay nor rebuild count again. What is new is written at once,
    counts once a minute; of those up to a minute is lost with a process that is killed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids = IdSource()
        self._sources: dict[UUID, _Source] = {}
        self._is_loaded = False
        self._offered: Sequence[EventRow] = ()
        self._has_news = False
        self._written_at = time.monotonic()

    def offer(self, rows: Sequence[EventRow]) -> None:
        """Take the events of a batch that is not committed yet; they are looked at by `note`."""
        self._offered = [row for row in rows if row.known is None]

    def note(self) -> None:
        """Look at the events that were offered last, whose batch is committed by now."""
        rows, self._offered = self._offered, ()
        if rows and not self._is_loaded:
            self._sources, self._is_loaded = self._load(), True
        for row in rows:
            self._look_at(row)
        self.write_if_due()

    def write_if_due(self) -> None:
        """Write what is new at once, and what was counted once a minute."""
        if self._has_news or time.monotonic() - self._written_at >= FLUSH_S:
            self.write()

    def write(self) -> None:
        """Write all that was counted, in one statement."""
        if counted := [*self._counted()]:
            self._database.execute(_WRITE, (orjson.dumps([told for _, told in counted]).decode(),))
        for form, _ in counted:
            form.waiting, form.first = 0, None
        self._written_at, self._has_news = time.monotonic(), False

    def _look_at(self, row: EventRow) -> None:
        source = self._sources.get(row.source_id) or self._sources.setdefault(row.source_id, _Source())
        name = ".".join(row.statement.type.split(".", 2)[:2])
        kind = source.kinds.get(name) or source.kinds.setdefault(name, _Kind())
        self._walk(source, kind, row, kind.root, row.statement.data, _MOST_DEPTH)
        kind.items += 1
        kind.last_at = max(row.received_at, kind.last_at or row.received_at)

    def _walk(self, source: _Source, kind: _Kind, row: EventRow, place: _Place, value: Any, depth: int) -> None:
        """Count the form of a value and of all below it; a list's elements are one place."""
        type_ = _TYPES.get(type(value), "text")
        look: tuple[Any, ...] | None = None
        if type_ is _OBJECT:
            look = (*value, *map(type, value.values()))
            if (known := place.looks.get(look)) is not None:  # nearly all are: name by name takes much longer
                known.waiting += 1
                known.items_until = kind.items + 1
                for name, under in known.inner:
                    self._walk(source, kind, row, under, value[name], depth - 1)
                return
        form = place.forms.get(type_) or self._new_form(source, kind, row, place, type_)
        if form is None:
            return
        form.waiting += 1
        form.items_until = kind.items + 1
        if type_ is _LIST:
            below: Iterable[tuple[str, Any]] = [(ELEMENTS, one) for one in value[:_MOST_ELEMENTS]]
        elif type_ is _OBJECT:
            below = value.items()
        else:
            return
        for name, inner in below if depth else ():
            found = place.below.get(name)
            if found is None and source.forms >= MOST_FORMS:
                self._overflow(source, row)
            else:
                self._walk(source, kind, row, found or _below(place, name), inner, depth - 1)
        if look and depth and source.looks < _MOST_LOOKS and (found_look := _find_look(place, value)):
            place.looks[look] = found_look
            source.looks += 1

    def _new_form(self, source: _Source, kind: _Kind, row: EventRow, place: _Place, type_: str) -> _Form | None:
        """Return the form of a type that was not seen there yet; None where there is no room for it."""
        if source.forms >= MOST_FORMS and type_ != OVERFLOW:
            self._overflow(source, row)
            return None
        form = place.forms[type_] = _Form(kind.items, kind.items, first=row)
        source.forms += 1
        self._has_news = True
        return form

    def _overflow(self, source: _Source, row: EventRow) -> None:
        """Count what finds no room any more."""
        kind = source.kinds.setdefault(UNNAMED, _Kind())
        kind.last_at = row.received_at
        form = kind.root.forms.get(OVERFLOW) or self._new_form(source, kind, row, kind.root, OVERFLOW)
        if form is not None:
            form.waiting += 1

    def _counted(self) -> Iterator[tuple[_Form, dict[str, Any]]]:
        """Yield the forms that were counted since they were written, and how they are to be written."""
        for source_id, source in self._sources.items():
            _hand_on(source)
            for name, kind in source.kinds.items():
                for place in _all(kind.root):
                    for type_, form in place.forms.items():
                        if form.waiting:
                            yield form, self._told(source_id, name, kind, place.path, type_, form)

    def _told(self, source_id: UUID, name: str, kind: _Kind, path: str, type_: str, form: _Form) -> dict[str, Any]:
        first = form.first
        # One that is known already is only counted: what stands for its first event is not looked at.
        return {
            "id": self._ids.next(),
            "source_id": source_id,
            "kind": name,
            "path": path,
            "type": type_,
            "count": form.waiting,
            "items_before": form.items_before,
            "items_until": form.items_until,
            "first_event_id": first.id if first else source_id,
            "first_seen_at": first.received_at if first else kind.last_at,
            "last_seen_at": kind.last_at,
        }

    def _load(self) -> dict[UUID, _Source]:
        found: dict[UUID, _Source] = {}
        for source_id, name, path, type_, count, before, until in self._database.execute(_KNOWN):
            source = found.setdefault(source_id, _Source())
            kind = source.kinds.setdefault(name, _Kind())
            place = kind.root
            for step in _STEP.findall(path):
                place = place.below.setdefault(step, _Place(_path(place, step)))
            place.forms[type_] = _Form(before, until)
            source.forms += 1
            if not path:
                kind.items += count
        return found


def _below(place: _Place, name: str) -> _Place:
    """Return a place below another that is not known by this name; it is kept only if it can be a field's name."""
    if name != ELEMENTS and not (len(place.below) < MOST_NAMES and is_name(name)):
        name = UNNAMED
    found = place.below.get(name)
    if found is None:
        found = place.below[name] = _Place(_path(place, name))
    return found


def _find_look(place: _Place, value: dict[str, Any]) -> _Look | None:
    """Return the look of an object that was walked through; None where something in it found no room of its own."""
    look = _Look([], [place.forms[_OBJECT]])
    for name, child in value.items():
        found, type_ = place.below.get(name), _TYPES.get(type(child), "text")
        if found is None or type_ not in found.forms:
            return None
        if type_ in (_OBJECT, _LIST):
            look.inner.append((name, found))
        else:
            look.forms.append(found.forms[type_])
    return look


def _hand_on(source: _Source) -> None:
    """Give the forms what was counted by looks, and forget these: a stranger's are not to keep out those to come."""
    for place in (place for kind in source.kinds.values() for place in _all(kind.root)):
        for look in place.looks.values():
            for form in look.forms:
                form.waiting += look.waiting
                form.items_until = max(form.items_until, look.items_until)
        place.looks.clear()
    source.looks = 0


def is_name(name: str) -> bool:
    """Tell whether a name is a field's: what looks like an id, a number, an address or a sentence may be a value."""
    return _NAME.fullmatch(name) is not None and sum(letter.isdigit() for letter in name) <= _MOST_DIGITS


def _path(place: _Place, step: str) -> str:
    return f"{place.path}{step}" if step == ELEMENTS or not place.path else f"{place.path}.{step}"


def _all(place: _Place) -> Iterator[_Place]:
    yield place
    for below in place.below.values():
        yield from _all(below)
