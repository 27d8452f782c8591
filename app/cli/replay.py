"""The command `replay`: process deliveries again with today's reader, singly or by filter.

It makes no new delivery; processing itself is the processor's business.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.feeding import PATIENCE_S, TimeoutOption, feeder_of, parse_moment
from app.cli.opening import Opened, opened
from app.cli.output import FAILED, JsonFlag, progress, say, show, to_table
from app.ingest.contract import Reason

if TYPE_CHECKING:
    from app.processing.selection import Selection

_STATUSES = ("accepted", "partial", "quarantined")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="DELIVERY", help="Ids of deliveries; `-` reads them by line.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="All of this source.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="All of a status: " + ", ".join(_STATUSES))] = None,
    reason: Annotated[Reason | None, typer.Option("--reason", help="All in quarantine for this reason.")] = None,
    received_after: Annotated[
        str | None, typer.Option("--received-after", metavar="WHEN", help="From a date or a moment on.")
    ] = None,
    received_before: Annotated[
        str | None, typer.Option("--received-before", metavar="WHEN", help="Before one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count by source, status and reason, and stop.")] = False,
    timeout: TimeoutOption = PATIENCE_S,
    as_json: JsonFlag = False,
) -> None:
    """Process deliveries again, from their bytes as they came: those named, or all of a filter.

    Those of a filter go a few at a time, between what comes meanwhile; the command waits until all are done.
    """
    filtered = any(one is not None for one in (source, status, reason, received_after, received_before))
    if filtered is bool(ids):
        raise typer.BadParameter("either ids are needed or a filter, not both", param_hint="DELIVERY")
    if status is not None and status not in _STATUSES:
        raise typer.BadParameter("is one of " + ", ".join(_STATUSES), param_hint="--status")
    after = parse_moment(received_after, "--received-after")
    before = parse_moment(received_before, "--received-before")
    if ids:
        _replay_named(ids, timeout, dry_run=dry_run, as_json=as_json)
        return
    from app.accounts.store import get_source_row  # noqa: PLC0415
    from app.processing.selection import Selection  # noqa: PLC0415

    with opened() as room:
        source_id = get_source_row(room.connection, source)["id"] if source else None
        selection = Selection(source_id, status, reason, after, before)
        given = {"source": source, "status": status, "reason": reason}
        given |= {"received_after": received_after, "received_before": received_before}
        _replay_all(room, selection, given, timeout, dry_run=dry_run, as_json=as_json)


# --- singly ----------------------------------------------------------------------------------------------------------


def _replay_named(ids: Sequence[str], timeout: float, *, dry_run: bool, as_json: bool) -> None:
    from app.accounts import audit  # noqa: PLC0415
    from app.processing.second_looks import MOST_AT_ONCE, put_back  # noqa: PLC0415

    words = [word for given in ids for word in (sys.stdin.read().split() if given == "-" else [given])]
    wanted = list(dict.fromkeys(_to_id(word) for word in words))
    with opened() as room:
        rows = room.connection.execute("SELECT id FROM deliveries WHERE id = ANY(%s)", (wanted,))
        found = {row[0] for row in rows}
        queued = [one for one in wanted if one in found]
        unknown = [one for one in wanted if one not in found]
        if not dry_run:
            audit.record(room.connection, audit.CLI, "delivery.replay", {"delivery_ids": sorted(map(str, found))})
            if len(queued) <= MOST_AT_ONCE:  # too few to keep anything waiting, so nothing is waited for
                put_back(room.connection, queued)
            else:
                with progress("processing", len(queued), as_json=as_json) as told:
                    feeder_of(room, timeout, told).feed(sorted(queued))
    if unknown and not as_json:
        say("There is no delivery " + ", ".join(map(str, unknown)))
    document = {"queued": queued, "unknown": unknown}
    show(document, f"{len(found)} {'would' if dry_run else 'will'} be processed again.", as_json=as_json)
    if unknown:
        raise typer.Exit(FAILED)


def _to_id(word: str) -> UUID:
    try:
        return UUID(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is no delivery's id", param_hint="DELIVERY") from None


# --- by filter -------------------------------------------------------------------------------------------------------


def _replay_all(
    room: Opened, selection: "Selection", given: dict[str, Any], timeout: float, *, dry_run: bool, as_json: bool
) -> None:
    from app.accounts import audit  # noqa: PLC0415
    from app.processing.selection import statuses_of  # noqa: PLC0415

    counts = selection.counts(room.connection)
    matched = sum(row["count"] for row in counts)
    document: dict[str, Any] = {"matched": matched, "counts": counts, "replayed": 0}
    if dry_run or not matched:
        text = f"{matched} would be processed again." if matched else "Nothing is stored of this kind."
        table = to_table(counts, ("source", "status", "reason", "count"), "")
        show(document, f"{table}\n{text}" if counts else text, as_json=as_json)
        return
    detail = {name: value for name, value in given.items() if value is not None}
    audit.record(room.connection, audit.CLI, "delivery.replay", {"filter": detail, "matched": matched})
    now: Counter[str] = Counter()
    with progress("processing", matched, as_json=as_json) as told:
        feeder = feeder_of(room, timeout, told)
        for page in selection.pages(room.connection):
            feeder.feed(page)
            document["replayed"] += len(page)
            now.update(statuses_of(room.connection, page))
    document["statuses"] = dict(sorted(now.items()))
    became = ", ".join(f"{number} {status}" for status, number in document["statuses"].items())
    show(document, f"{document['replayed']} were processed again; now {became}.", as_json=as_json)
