"""The command `import`: take in callbacks that a team already has, from files.

Storing stands in `app.ingest.importing`; what becomes of them is the processor's business.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.feeding import PATIENCE_S, TimeoutOption, feeder_of, parse_moment
from app.cli.opening import Opened, opened
from app.cli.output import JsonFlag, say, show
from app.cli.values import ValueGivenError

if TYPE_CHECKING:
    from app.ingest.importing import Brought

_MTIME = "mtime"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_files)


def import_files(
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The source that they were sent to.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Each holds the body of one callback.")],
    lines: Annotated[bool, typer.Option("--lines", help="Each line of a file is the body of a callback.")] = False,
    content_type: Annotated[str, typer.Option("--content-type", help="What they were sent as.")] = "application/json",
    received_at: Annotated[
        str | None,
        typer.Option(
            "--received-at",
            metavar="WHEN",
            help="When they came: a moment, or `mtime` for each file's own. Default: now. What an older one says"
            " of a customer does not override what came since.",
        ),
    ] = None,
    timeout: TimeoutOption = PATIENCE_S,
    as_json: JsonFlag = False,
) -> None:
    """Store callbacks as deliveries (`via` is `import`) and process them; what was imported before is left out."""
    from app.accounts import audit  # noqa: PLC0415
    from app.accounts.snapshot import read_accounts  # noqa: PLC0415
    from app.accounts.store import get_source_row  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415
    from app.ingest.importing import Importer  # noqa: PLC0415
    from app.providers import PROVIDERS  # noqa: PLC0415

    moment = None if received_at == _MTIME else parse_moment(received_at, "--received-at")
    if moment is not None and moment > datetime.now(UTC):
        raise typer.BadParameter("lies in the future", param_hint="--received-at")
    by_mtime = received_at == _MTIME
    with opened() as room:
        row = get_source_row(room.connection, source)
        if not get_platform(row["provider"]).calls_back:
            raise AccountError("source", f"{row['provider']} calls nobody, so there are no callbacks to import")
        account = read_accounts(room.connection, room.vault).sources[row["id"]]
        _check(files, room.settings.max_body_bytes, lines=lines)
        bodies = _bodies(files, content_type, moment, room.settings.max_body_bytes, lines=lines, by_mtime=by_mtime)
        audit.record(room.connection, audit.CLI, "delivery.import", {"source": source, "files": len(files)})
        pace = _Pace(room, timeout)
        result = Importer(room.connection, account, PROVIDERS).import_all(bodies, pace.stored)
    document: dict[str, Any] = {"source": source, "read": result.read, "stored": result.stored, "known": result.known}
    document["statuses"] = dict(sorted(pace.statuses.items()))
    became = ", ".join(f"{number} {status}" for status, number in document["statuses"].items())
    text = f"{result.stored} of {result.read} are stored" + (f": {became}." if became else ".")
    if result.known:
        text += f" Imported before: {result.known}."
    show(document, text, as_json=as_json)


class _Pace:
    """Waits for the processor after each few, so that live callbacks are not kept waiting behind an import."""

    def __init__(self, room: Opened, timeout: float) -> None:
        from app.processing.second_looks import is_processor_active  # noqa: PLC0415

        self.statuses: Counter[str] = Counter()
        self._connection = room.connection
        self._feeder = feeder_of(room, timeout)
        self._waits = is_processor_active(room.connection)

    def stored(self, ids: Sequence[UUID]) -> None:
        """Take note of what was stored; without a processor it simply waits in the inbox."""
        from app.processing.second_looks import SecondLookError  # noqa: PLC0415
        from app.processing.selection import statuses_of  # noqa: PLC0415

        if self._waits and ids:
            try:
                self._feeder.wait(ids)
                self._feeder.give_way(0)
            except SecondLookError as error:
                say(str(error))
                self._waits = False
        self.statuses.update(statuses_of(self._connection, list(ids)))


def _check(files: Sequence[Path], most_bytes: int, *, lines: bool) -> None:
    """Raise ValueGivenError before anything is stored where a file cannot be imported."""
    for path in files:
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise ValueGivenError(f"{path}: {error.strerror}") from None
        if not lines and size > most_bytes:
            raise ValueGivenError(f"{path}: is larger than CALLBOX_MAX_BODY_BYTES ({most_bytes})")


def _bodies(
    files: Sequence[Path], content_type: str, moment: datetime | None, most_bytes: int, *, lines: bool, by_mtime: bool
) -> "Iterator[Brought]":
    """Yield the bodies of all files, in the order given."""
    from app.ingest.importing import Brought  # noqa: PLC0415

    for path in files:
        at = moment
        if by_mtime:
            at = datetime.fromtimestamp(min(path.stat().st_mtime, datetime.now(UTC).timestamp()), UTC)
        if not lines:
            yield Brought(path.read_bytes(), content_type, at)
            continue
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                body = line.strip(b"\r\n")
                if len(body) > most_bytes:
                    raise ValueGivenError(
                        f"{path}, line {number}: is larger than CALLBOX_MAX_BODY_BYTES ({most_bytes})"
                    )
                if body.strip():
                    yield Brought(body, content_type, at)
