"""The command `export`: write the rows of a list into a file, as the paths `/v1/export/...` do.

What an export is stands in `app.query.export`.
"""

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO
from uuid import UUID

import typer

from app.cli.opening import opened
from app.cli.output import JsonFlag, progress, show
from app.cli.values import ValueGivenError

if TYPE_CHECKING:
    from app.accounts.model import Access, Accounts
    from app.cli.opening import Opened
    from app.query.filters import Question
    from app.query.reading import Reading
    from app.query.resource import Resource
    from app.query.shaping import Shaping

_KINDS = ("events", "inquiries", "customers", "documents", "leads")
_FORMS = ("csv", "ndjson")
Where = list[tuple[str, str]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What: {', '.join(_KINDS)}.", show_default=False)],
    form: Annotated[str, typer.Option("--format", help="csv or ndjson.")] = "csv",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; `-` is standard output.")] = (
        "-"
    ),
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="FIELD=VALUE", help="A filter, as in the lists; repeatable.")
    ] = None,
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="FIELD,FIELD", help="Only these fields, and `id`.")
    ] = None,
    order: Annotated[str, typer.Option("--order", help="desc (newest first) or asc.")] = "desc",
    bom: Annotated[bool, typer.Option("--bom", help="Begin a CSV with a byte order mark, which Excel wants.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Export events, inquiries, customers, documents or leads, personal fields too. It is audited."""
    import asyncio  # noqa: PLC0415

    _check("what to export", kind, _KINDS)
    _check("--format", form, _FORMS)
    if as_json and output == "-":
        raise ValueGivenError("--json needs --output FILE: standard output is for its document")
    given = [*_filters(where or []), ("order", order), *([("fields", fields)] if fields is not None else [])]
    with opened() as room, _target(output) as target:
        rows = asyncio.run(_write(room, target, kind, form, given, bom=bom, quiet=as_json or not sys.stderr.isatty()))
    document = {"kind": kind, "format": form, "output": output, "rows": rows}
    if output != "-":
        show(document, f"{rows} {kind} written to {output}", as_json=as_json)


def _check(what: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise ValueGivenError(f"{what} is none of these: {', '.join(words)}")


def _filters(texts: list[str]) -> Where:
    found = [text.partition("=") for text in texts]
    if any(not mark for _, mark, _ in found):
        raise ValueGivenError("--where is written FIELD=VALUE, such as status=4 or received_at[gte]=-24h")
    return [(name, value) for name, _, value in found]


@contextmanager
def _target(output: str) -> Iterator[BinaryIO]:
    """Give the file to write to: for its owner only, for it holds persons, and in its place once it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    try:
        is_pipe = path.exists() and not path.is_file()  # or a folder, which cannot be opened
        with path.open("wb") if is_pipe else _unfinished(path.resolve()) as file:
            yield file
    except OSError as error:
        raise ValueGivenError(f"--output: {output}: {error.strerror}") from None


@contextmanager
def _unfinished(path: Path) -> Iterator[BinaryIO]:
    """Give a file that takes the place of `path` in the end; what is broken off leaves what stood there."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # made with 0600
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


async def _write(
    room: "Opened", target: BinaryIO, kind: str, form: str, given: Where, *, bom: bool, quiet: bool
) -> int:
    """Write everything and return how many rows there were."""
    from app.accounts.audit import CLI, record  # noqa: PLC0415
    from app.query.export import EXPORTED, shown_pages, trace, written  # noqa: PLC0415
    from app.query.flat import heading  # noqa: PLC0415

    resource, rows = EXPORTED[kind], 0
    async with _opened_reading(room) as (reading, access):
        question, shaping = _question(resource, reading, access, given)
        with room.connection.transaction():
            record(room.connection, CLI, "export.begin", trace(resource, form, given, shaping, access))
        target.write(heading(form, resource.schema, shaping.fields, bom=bom))
        total = None if quiet else await _total(reading, resource, question, access)
        with progress(kind, total, as_json=quiet) as told:
            async for page in shown_pages(reading, resource, question, access):
                target.writelines(written(form, resource, shaping, page))
                rows += len(page)
                told(len(page))
    return rows


def _question(resource: "Resource", reading: "Reading", access: "Access", given: Where) -> "tuple[Question, Shaping]":
    """Return what is asked for, and how it shall look."""
    from app.problems import Invalid  # noqa: PLC0415
    from app.query.export import NOT_HERE  # noqa: PLC0415
    from app.query.filters import read_question  # noqa: PLC0415
    from app.query.shaping import FIELDS, read_shaping  # noqa: PLC0415
    from app.query.values import Context  # noqa: PLC0415
    from app.times import now  # noqa: PLC0415

    if unknown := [name for name, _ in given if name in NOT_HERE]:
        raise ValueGivenError(f"{unknown[0]} is not known here: an export is whole")
    context = Context(access, now(), reading.zone, reading.book.present.sources)
    try:
        shaping, filters = read_shaping(resource.schema, given, (FIELDS,))
        return read_question(resource.name, resource.fields, filters, context, reading.cursor_key), shaping
    except Invalid as error:
        raise ValueGivenError("; ".join(f"{one['name']} {one['detail']}" for one in error.errors)) from None


async def _total(reading: "Reading", resource: "Resource", question: "Question", access: "Access") -> int | None:
    from app.query.export import count_rows  # noqa: PLC0415
    from app.query.reading import TooSlow  # noqa: PLC0415

    try:
        return await count_rows(reading, resource, question, access)
    except TooSlow:
        return None


class _Book:
    """The accounts as they were when the command began."""

    def __init__(self, present: "Accounts") -> None:
        self.present = present

    async def refresh(self) -> None:
        """Keep them as they are."""


@asynccontextmanager
async def _opened_reading(room: "Opened") -> "AsyncIterator[tuple[Reading, Access]]":
    """Give what questions are asked with, by one who may see everything."""
    from app.accounts.model import Access, Scope  # noqa: PLC0415
    from app.accounts.snapshot import read_accounts  # noqa: PLC0415
    from app.query.reading import Reading  # noqa: PLC0415
    from app.storage.engine import open_read_engine  # noqa: PLC0415

    book = _Book(read_accounts(room.connection, room.vault))
    engine = open_read_engine(room.url, pool_size=1)
    try:
        reading = Reading(engine=engine, primary=engine, book=book, cursor_key=b"", zone=room.settings.zone)
        yield reading, Access(key_id=UUID(int=0), name="cli", scopes=frozenset(Scope))
    finally:
        await engine.dispose()
