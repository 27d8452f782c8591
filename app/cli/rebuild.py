"""The command `rebuild`: bring everything that is stored through today's reader.

Comparing stands in `app.processing.rebuild`; writing is the active processor's.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.feeding import PATIENCE_S, TimeoutOption, feeder_of
from app.cli.opening import Opened, opened
from app.cli.output import JsonFlag, progress, say, show, to_table

if TYPE_CHECKING:
    from app.accounts.model import Source
    from app.processing.rebuild import Report

_COLUMNS = ("source", "unchanged", "revised", "accepted", "judged", "unreadable", "waiting", "failed")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rebuild)


def rebuild(
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only this source.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    timeout: TimeoutOption = PATIENCE_S,
    as_json: JsonFlag = False,
) -> None:
    """Read all deliveries by today's reader, say what is read otherwise than before, and bring that in.

    No delivery and no new id is made; an event that says something else now has `revised_at`.
    """
    from app.accounts import audit  # noqa: PLC0415
    from app.accounts.snapshot import read_accounts  # noqa: PLC0415
    from app.accounts.store import get_source_row  # noqa: PLC0415

    with opened() as room:
        source_id = get_source_row(room.connection, source)["id"] if source else None
        sources = read_accounts(room.connection, room.vault).sources
        report = _compare(room, sources, source_id, as_json=as_json)
        document = _to_document(report, sources)
        if not dry_run and report.changed and _goes_on(document, asked=not yes, as_json=as_json):
            detail = {"source": source, "deliveries": report.changed}
            audit.record(room.connection, audit.CLI, "source.rebuild", detail)
            with progress("processing", report.changed, as_json=as_json) as told:
                feeder = feeder_of(room, timeout, told)
                for ids in report.changed_ids():
                    feeder.feed(ids)
            document["written"] = report.changed
    show(document, _told(document), as_json=as_json)


def _compare(room: Opened, sources: "Mapping[UUID, Source]", source_id: UUID | None, *, as_json: bool) -> "Report":
    """Return what differs, over a connection that cannot write."""
    import orjson  # noqa: PLC0415
    from psycopg.types.json import set_json_loads  # noqa: PLC0415

    from app.processing.batch import Circumstances  # noqa: PLC0415
    from app.processing.rebuild import compare  # noqa: PLC0415
    from app.processing.selection import Selection  # noqa: PLC0415
    from app.providers import PROVIDERS  # noqa: PLC0415
    from app.storage.database import connect  # noqa: PLC0415

    given = Circumstances(PROVIDERS, sources, room.vault, room.settings.zone)
    selection = Selection(source_id)
    total = sum(row["count"] for row in selection.counts(room.connection)) if sys.stderr.isatty() else None
    options = "-c timezone=UTC -c default_transaction_read_only=on -c jit=off"
    with connect(room.url, options=options) as reading, progress("reading", total, as_json=as_json) as told:
        set_json_loads(orjson.loads, reading)
        return compare(reading, selection, given, told)


def _goes_on(document: dict[str, Any], *, asked: bool, as_json: bool) -> bool:
    """Say what would change before it is written; on a terminal ask whether it shall be."""
    if as_json:
        return True
    say(_told(document))
    return not (asked and sys.stdin.isatty()) or typer.confirm("Write that?", err=True)


def _to_document(report: "Report", sources: "Mapping[UUID, Source]") -> dict[str, Any]:
    names = {
        source_id: sources[source_id].name if source_id in sources else str(source_id) for source_id in report.by_source
    }
    return {
        "deliveries": report.deliveries,
        "changed": report.changed,
        "written": 0,
        "failed": report.failed,
        "sources": {names[source_id]: one.as_json() for source_id, one in sorted(report.by_source.items())},
    }


def _told(document: dict[str, Any]) -> str:
    """Return the report for people."""
    rows = [{"source": name, **one} for name, one in document["sources"].items()]
    lines = [to_table(rows, _COLUMNS, "There is nothing to read.")]
    fields: dict[str, int] = {}
    for row in rows:
        for name, number in row["fields"].items():
            fields[name] = fields.get(name, 0) + number
    if fields:
        lines.append("Revised: " + ", ".join(f"{name} ({number})" for name, number in sorted(fields.items())))
    if document["failed"]:
        lines.append("The reader failed at " + ", ".join(map(str, document["failed"])))
    written = f"; {document['written']} were processed again" if document["written"] else ""
    lines.append(f"{document['changed']} of {document['deliveries']} deliveries are read otherwise now{written}.")
    return "\n".join(lines)
