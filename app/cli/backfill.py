"""The command `backfill`: ask a platform for what pushes may have missed.

What is asked and kept stands in `app.backfill`; what becomes of it is the processor's business.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.feeding import PATIENCE_S, TimeoutOption, feeder_of
from app.cli.logs import log_to_standard_error
from app.cli.opening import Opened, opened
from app.cli.output import FAILED, JsonFlag, progress, show

if TYPE_CHECKING:
    from app.accounts.model import Source
    from app.backfill.by_hand import Searched

_MOST_DAYS = 3650


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backfill)


def backfill(
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="The source to ask by.")],
    last_days: Annotated[
        int,
        typer.Option("--last-days", metavar="N", min=1, max=_MOST_DAYS, help="What was created or updated in them."),
    ] = 2,
    inquiry: Annotated[int | None, typer.Option("--inquiry", metavar="ID", min=1, help="Only this inquiry.")] = None,
    timeout: TimeoutOption = PATIENCE_S,
    as_json: JsonFlag = False,
) -> None:
    """Pull inquiries, one search for each broker token, and fill what was missed.

    Interrupted, the same command goes on with the tokens that are left.
    """
    from app.accounts import audit  # noqa: PLC0415
    from app.accounts.snapshot import read_accounts  # noqa: PLC0415
    from app.accounts.store import get_source_row  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415

    with opened() as room:
        log_to_standard_error(room.settings)
        row = get_source_row(room.connection, source)
        if row["provider"] != "thinksurance":
            raise AccountError("source", f"{row['provider']} cannot be asked for what it sent")
        if row["disabled_at"] is not None:
            raise AccountError("source", f"{source} is disabled: no platform is called by it until it is enabled")
        account = read_accounts(room.connection, room.vault).sources[row["id"]]
        note = {"source": source, "last_days": None if inquiry else last_days, "inquiry_id": inquiry}
        audit.record(room.connection, audit.CLI, "source.backfill", note)
        with progress("Searching", None, as_json=as_json) as told:
            searched = _searched(room, account, last_days, inquiry, told)
        _wait(room, searched, timeout)
        document = _document(room, source, searched)
    show(document, _told(document, searching=inquiry is None), as_json=as_json)
    if searched.failed:
        raise typer.Exit(FAILED)


def _searched(
    room: Opened, account: "Source", days: int, inquiry: int | None, told: Callable[[int], None]
) -> "Searched":
    """Ask the platform.

    Raises:
        AccountError: a credential or a setting is missing or wrong.
    """
    from psycopg_pool import ConnectionPool  # noqa: PLC0415

    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.backfill.by_hand import Searched, search_once  # noqa: PLC0415
    from app.backfill.storing import Stored  # noqa: PLC0415
    from app.backfill.wanted import pull_and_keep  # noqa: PLC0415
    from app.jobs.bench import Bench, Database  # noqa: PLC0415
    from app.processing.pulls import Cause  # noqa: PLC0415
    from app.providers.calling import CallError  # noqa: PLC0415
    from app.submissions.problems import SourceNotReady  # noqa: PLC0415

    async def ask(bench: Bench) -> Searched:
        try:
            if inquiry is None:
                return await search_once(bench, account, days, told)
            try:
                return Searched(stored=Stored(*await pull_and_keep(bench, account, inquiry, Cause.ASKED)))
            except CallError as error:
                return Searched(failed={0: str(error)})
        finally:
            await bench.aclose()

    options = {"autocommit": True, "options": "-c timezone=UTC"}
    with ConnectionPool[Database](room.url, min_size=1, max_size=2, kwargs=options, open=True) as pool:
        try:
            return asyncio.run(ask(Bench(pool, room.vault, room.settings)))
        except SourceNotReady as error:
            raise AccountError("source", error.detail or "is not ready") from None


def _wait(room: Opened, searched: "Searched", timeout: float) -> None:
    """Wait for the processor, if one is at work; else what was pulled simply waits in the inbox."""
    from app.processing.second_looks import is_processor_active  # noqa: PLC0415

    if searched.stored.deliveries and is_processor_active(room.connection):
        feeder_of(room, timeout).wait(searched.stored.deliveries)


def _document(room: Opened, source: str, searched: "Searched") -> dict[str, Any]:
    from app.backfill.by_hand import count_gaps  # noqa: PLC0415

    stored = searched.stored
    return {
        "source": source,
        "tokens": searched.tokens,
        "resumed": searched.resumed,
        "items": stored.items,
        "new": len(stored.deliveries),
        "gaps": count_gaps(room.connection, stored.deliveries),
        "failed": [{"token": number, "error": error} for number, error in searched.failed.items()],
    }


def _told(document: dict[str, Any], *, searching: bool) -> str:
    """Return the result for people."""
    lines = [f"{document['items']} items were pulled, {document['new']} of them say something new."]
    if searching and not document["tokens"]:
        lines.append("There is no token to search by: the source has neither the credential b_token nor a_token.")
    if document["gaps"]:
        lines.append(f"{document['gaps']} of these a push should have brought: see `/v1/gaps`.")
    if document["resumed"]:
        lines.append(f"{document['resumed']} of {document['tokens']} tokens were done before.")
    lines += [
        f"Token {one['token']}: {one['error']}" if searching else f"Not pulled: {one['error']}"
        for one in document["failed"]
    ]
    return "\n".join(lines)
