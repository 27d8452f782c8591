"""Loads and writes where the names of records lead, and takes back what items do not say any more.

What follows for the records is settled in `projection`; which of several items decides, in `identity`.
"""

from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from app.processing.arrays import TEXTS, UUIDS, arrays
from app.processing.identity import Alias, Names, keys_in
from app.processing.order import receipt_in
from app.processing.record_rows import LINKS, Database, Scope, load_events
from app.processing.telling import Event

_ROW: Final = (UUIDS, TEXTS, TEXTS, TEXTS, TEXTS)
_GIVEN: Final = "unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[])"
_LED: Final = """
WITH RECURSIVE led (source_id, kind, key, target, order_key) AS (
    SELECT a.source_id, a.kind, a.key, a.target, a.order_key FROM aliases a
    JOIN unnest(%s::uuid[], %s::text[], %s::text[]) AS w (source_id, kind, key)
    ON (a.source_id, a.kind, a.key) = (w.source_id, w.kind, w.key)
    UNION
    SELECT a.source_id, a.kind, a.key, a.target, a.order_key FROM led
    JOIN aliases a ON (a.source_id, a.kind, a.key) = (led.source_id, led.kind, led.target)
) SELECT * FROM led
"""
_WRITE: Final = f"""
INSERT INTO aliases (source_id, kind, key, target, order_key) SELECT * FROM {_GIVEN}
ON CONFLICT (source_id, kind, key) DO UPDATE SET target = EXCLUDED.target, order_key = EXCLUDED.order_key
"""  # noqa: S608 - literals of ours
_FORGET: Final = """
DELETE FROM aliases a USING unnest(%s::uuid[], %s::text[], %s::text[]) AS w (source_id, kind, key)
WHERE (a.source_id, a.kind, a.key) = (w.source_id, w.kind, w.key)
"""
_WRITE_LATER: Final = f"""
INSERT INTO later_aliases AS known (source_id, kind, key, target, order_key) SELECT * FROM {_GIVEN}
ON CONFLICT (source_id, kind, key, target) DO UPDATE SET order_key = EXCLUDED.order_key
WHERE EXCLUDED.order_key < known.order_key
"""  # noqa: S608 - literals of ours
_TAKE_BACK_LATER: Final = f"""
DELETE FROM later_aliases a USING {_GIVEN} AS w (source_id, kind, key, target, order_key)
WHERE (a.source_id, a.kind, a.key, a.target, a.order_key) = (w.source_id, w.kind, w.key, w.target, w.order_key)
RETURNING a.source_id, a.kind, a.key, a.target, a.order_key
"""  # noqa: S608 - literals of ours
_FIRST_OF_LATER: Final = """
SELECT w.*, a.target, a.order_key FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS w (source_id, kind, key)
LEFT JOIN LATERAL (
    SELECT target, order_key FROM later_aliases a
    WHERE (a.source_id, a.kind, a.key) = (w.source_id, w.kind, w.key) ORDER BY order_key LIMIT 1
) a ON true
"""


class Unsaid(NamedTuple):
    """That a key leads to another, as an item of a record said and says no more."""

    source_id: UUID
    kind: str
    key: str
    target: str
    order: str
    record_id: UUID


def load_aliases(database: Database, keys: Collection[tuple[Scope, str]], names: MutableMapping[Scope, Names]) -> None:
    """Add the aliases of `keys`, and of what they lead to, to `names`; what was asked before is not asked again."""
    missing = []
    for scope, key in keys:
        asked = names[scope].asked
        if key not in asked:
            asked.add(key)
            missing.append((*scope, key))
    if not missing:
        return
    for source, kind, key, target, order in database.execute(_LED, arrays(_ROW[:3], missing)).fetchall():
        names[source, kind].recall(key, Alias(target, order))


def unsaid_by(event: Event) -> Iterator[Unsaid]:
    """Yield what a revised event said before of where keys lead, and does not say any more."""
    said = {(part["kind"], keys[0], key) for part, keys in zip(event.parts, event.keys, strict=True) for key in keys}
    for part in event.parts_before:
        kind, (target, *weaker) = part["kind"], keys_in(part)
        for key in weaker:
            if key != target and (kind, target, key) not in said:
                record_id = (event.links_before or {})[LINKS[kind]]
                yield Unsaid(event.source_id, kind, key, target, receipt_in(event.key), record_id)


def take_back(
    database: Database, unsaid: Sequence[Unsaid], in_batch: Collection[UUID], names: MutableMapping[Scope, Names]
) -> None:
    """Have keys lead where the other items say; those `in_batch` are asked afterwards.

    Another item that said the same takes the place of the one that does not any more; else the first that was later
    with something else.
    """
    deciding = {one for one in unsaid if names[one[:2]].known.get(one.key) == Alias(one.target, one.order)}
    later = set(database.execute(_TAKE_BACK_LATER, arrays(_ROW, [one[:5] for one in unsaid])).fetchall())
    moved = [one for one in unsaid if one[:5] in later or one in deciding]
    _write_later(database, _said_by_others(database, moved, in_batch))
    if deciding:
        rows = database.execute(_FIRST_OF_LATER, arrays(_ROW[:3], [one[:3] for one in deciding])).fetchall()
        for source, kind, key, target, order in rows:
            names[source, kind].revoke(key, None if target is None else Alias(target, order))
        load_aliases(database, [((row[0], row[1]), row[3]) for row in rows if row[3] is not None], names)


def _said_by_others(
    database: Database, unsaid: Sequence[Unsaid], in_batch: Collection[UUID]
) -> dict[tuple[UUID, str, str, str], str]:
    """Return the first order in which stored events beside those of the batch say the same."""
    wanted = {one[:4] for one in unsaid}
    found: dict[tuple[UUID, str, str, str], str] = {}
    for source_id, kind in {one[:2] for one in unsaid}:
        record_ids = {one.record_id for one in unsaid if one[:2] == (source_id, kind)}
        for event in load_events(database, LINKS[kind], [*record_ids]):
            if event.id in in_batch:
                continue
            target, *weaker = next(keys_in(part) for part in event.parts if part["kind"] == kind)
            order = receipt_in(event.key)
            for key in weaker:
                place = (source_id, kind, key, target)
                if place in wanted:
                    found[place] = min(order, found.get(place, order))
    return found


def write_aliases(database: Database, names: Mapping[Scope, Names]) -> None:
    """Write what was learned and what was taken back."""
    learned = [(*scope, key, alias) for scope, known in names.items() for key, alias in known.learned.items()]
    if rows := [(*place, alias.target, alias.order) for *place, alias in learned if alias is not None]:
        database.execute(_WRITE, arrays(_ROW, rows))
    if gone := [place for *place, alias in learned if alias is None]:
        database.execute(_FORGET, arrays(_ROW[:3], gone))
    _write_later(
        database, {(*scope, *place): order for scope, known in names.items() for place, order in known.later.items()}
    )


def _write_later(database: Database, later: Mapping[tuple[UUID, str, str, str], str]) -> None:
    if later:
        database.execute(_WRITE_LATER, arrays(_ROW, [(*place, order) for place, order in later.items()]))
