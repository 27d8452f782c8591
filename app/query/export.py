"""Answers exports: all rows of a list that fit, streamed page by page.

No snapshot is held while the reader takes its time: every page is a question of its own that goes on where the last
one ended. How lines are written is told in `flat`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.accounts.audit import record_async
from app.accounts.model import Access
from app.query.access import KeyWatch, Reader, Unauthorized
from app.query.answers import reader_gone
from app.query.customers import CUSTOMERS
from app.query.documented import export_parameters, list_problems
from app.query.documents import DOCUMENTS
from app.query.events import EVENTS
from app.query.fields import ANY_ID, Condition, IdRange
from app.query.filters import Parameters, Question, Slips, read_question
from app.query.flat import FORMS, MEDIA_TYPES, heading, lines
from app.query.fullness import held_rows
from app.query.inquiries import INQUIRIES
from app.query.leads import LEADS
from app.query.months import looking, newest_rows
from app.query.personal import may_see
from app.query.prepared import rows_of_shape
from app.query.reading import DatabaseAway, Reading, moment_of, reading_of
from app.query.resource import Resource, Row, neighbours_of
from app.query.shaping import FIELDS, Shaping, read_shaping
from app.query.trail import actor_of
from app.query.values import Context
from app.query.walls import Statement, walled

EXPORTED = {one.name: one for one in (EVENTS, INQUIRIES, CUSTOMERS, DOCUMENTS, LEADS)}
FIRST_PAGE, PAGE = 50, 200
"""So many rows are asked for at a time, at first fewer, so that a reader has something soon."""

_AT_ONCE = 50
"""So many rows are written before others have their turn: a process that exports receives callbacks too."""

_MOST_ATTEMPTS = 5
_PAUSE_S = 1.0
NOT_HERE = ("limit", "cursor")
"""The parameters of lists that an export has not, for it is whole."""


async def answer_export(request: Request, resource: Resource, form: str, access: Access) -> Response:
    """Return all rows that fit, as they are in the list.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble with the first page.
    """
    reading = reading_of(request)
    slips = Slips()
    given = request.query_params.multi_items()
    for name in NOT_HERE:
        if name in request.query_params:
            slips.add(name, "unknown-parameter", "is not known here: an export is whole")
    bom = _flag(given, "bom", slips) if form == "csv" else False
    slips.check()
    shaping, filters = read_shaping(resource.schema, given, (FIELDS,))
    filters = [(name, text) for name, text in filters if not (form == "csv" and name == "bom")]
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    question = read_question(resource.name, resource.fields, filters, context, reading.cursor_key)
    found = shown_pages(reading, resource, question, access)
    first: list[dict[str, Any]] = await anext(found, [])
    await _note(reading, access, trace(resource, form, filters, shaping, access))

    async def body() -> AsyncGenerator[bytes]:
        key = KeyWatch(reading.book, access)
        yield heading(form, resource.schema, shaping.fields, bom=bom)
        for part in written(form, resource, shaping, first):
            yield part
        async for page in found:
            if not key.is_good():  # a reader who takes his time is cut off before the next page
                raise Unauthorized
            for part in written(form, resource, shaping, page):
                yield part

    name = f"{resource.name}-{context.moment:%Y%m%dT%H%M%SZ}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return Export(body(), headers=headers, media_type=MEDIA_TYPES[form])


class Export(StreamingResponse):
    """An answer that ends between two of its parts where its reader has gone.

    Starlette would interrupt the question that is asked just then, which costs the connection to the database.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send all parts."""
        gone = asyncio.create_task(reader_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in self.body_iterator:
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()


def written(form: str, resource: Resource, shaping: Shaping, page: Sequence[dict[str, Any]]) -> list[bytes]:
    """Return a page as lines, in parts that are quickly made."""
    shown = [shaping.cut(one) for one in page]
    parts = (shown[at : at + _AT_ONCE] for at in range(0, len(shown), _AT_ONCE))
    return [lines(form, resource.schema, part, shaping.fields) for part in parts]


async def shown_pages(
    reading: Reading, resource: Resource, question: Question, access: Access
) -> AsyncGenerator[list[dict[str, Any]]]:
    """Yield all rows that fit, shaped, page by page; a database that is away for a moment is waited for."""
    after: Any = None
    while True:
        page, after = await _patient_page(reading, resource, question, access, after)
        if page:
            yield page
        if after is None:
            return


async def _patient_page(
    reading: Reading, resource: Resource, question: Question, access: Access, after: Any
) -> tuple[list[dict[str, Any]], Any]:
    """Return a page and where the next goes on, None after the last one.

    It is asked for again where the database is away, but for the first: there is no answer yet that could break.
    """
    for _ in range(_MOST_ATTEMPTS if after is not None else 0):
        try:
            return await _page(reading, resource, question, access, after)
        except DatabaseAway:
            await asyncio.sleep(_PAUSE_S)
    return await _page(reading, resource, question, access, after)


async def _page(
    reading: Reading, resource: Resource, question: Question, access: Access, after: Any
) -> tuple[list[dict[str, Any]], Any]:
    by, wanted = resource.table.c.id, FIRST_PAGE if after is None else PAGE
    ascending = question.order == "asc"
    statement = chosen(resource, resource.in_pages(access), question.conditions, access)
    if after is not None:
        statement = statement.where(by > after if ascending else by < after)
    statement = statement.order_by(by.asc() if ascending else by.desc()).limit(wanted)
    async with reading.asking() as connection:
        if resource.seq is None or ascending or question.finds_few:
            found: Sequence[Row] = await rows_of_shape(connection, statement, {})
        else:
            ids = question.ids if after is None else question.ids.within(IdRange(ANY_ID.low, after))
            found = await newest_rows(looking(connection, resource, statement), ids, wanted)
    rows, ended_at = await held_rows(reading.asking, resource, found, access)
    neighbours = await neighbours_of(reading, resource, rows, access)
    shown = []
    for at, row in enumerate(rows):
        if at % _AT_ONCE == 0:
            await asyncio.sleep(0)
        shown.append(resource.shape(row, access, neighbours))
    last = ended_at or (found[-1] if len(found) == wanted else None)
    return shown, last and last["id"]


def chosen(resource: Resource, statement: Statement, conditions: Sequence[Condition], access: Access) -> Statement:
    """Return a statement over a list's rows, bounded to those that fit and that the key may see."""
    return walled(statement, resource.table, access).where(*resource.in_lists, *conditions)


async def count_rows(reading: Reading, resource: Resource, question: Question, access: Access) -> int:
    """Return how many rows fit.

    Raises:
        TooSlow: it takes too long to count them.
    """
    counted = chosen(resource, select(func.count()).select_from(resource.table), question.conditions, access)
    async with reading.asking() as connection:
        return int((await connection.execute(counted)).scalar_one())


def _flag(given: Parameters, name: str, slips: Slips) -> bool:
    texts = [text.lower() for found, text in given if found == name]
    if any(text not in ("true", "false") for text in texts) or len(texts) > 1:
        slips.add(name, "not-a-boolean", "is neither true nor false")
    return texts == ["true"]


def trace(resource: Resource, form: str, filters: Parameters, shaping: Shaping, access: Access) -> dict[str, Any]:
    """Return what the audit log says of an export: by which fields rows were chosen, never by which values.

    And which fields were taken, where they were not all.
    """
    names = sorted({name for name, _ in filters})
    taken = {} if shaping.fields is None else {"fields": sorted(shaping.fields)}
    about = {"resource": resource.name, "format": form, "parameters": names}
    return {**about, **taken, "personal": may_see(access)}


async def _note(reading: Reading, access: Access, detail: dict[str, Any]) -> None:
    async with reading.adding() as connection:
        await record_async(connection, actor_of(access), "export.begin", detail)


router = APIRouter(prefix="/v1")

_WORDS = {"csv": "CSV for spreadsheets", "ndjson": "NDJSON, an object a line"}
_ABOUT = {
    "csv": "Objects are taken apart into columns such as `address.city`, lists are written as JSON. Text that a "
    "spreadsheet would take for a formula has an apostrophe before it.",
    "ndjson": "Each line is an object as in the list.",
}


def _add(resource: Resource, form: str) -> None:
    async def endpoint(request: Request, access: Reader) -> Response:
        return await answer_export(request, resource, form, access)

    content = {MEDIA_TYPES[form].partition(";")[0]: {"schema": {"type": "string"}}}
    name = f"export_{resource.name}_{form}"
    router.add_api_route(
        f"/export/{resource.name}.{form}",
        endpoint,
        methods=["GET"],
        name=name,
        operation_id=name,
        summary=f"Export {resource.name} as {_WORDS[form]}",
        description=f"All {resource.name} that fit the filters, streamed. {_ABOUT[form]} Every export is audited.",
        response_model=None,
        response_class=Response,
        responses={200: {"description": "The rows.", "content": content}, **list_problems()},
        tags=["export"],
        openapi_extra={"parameters": export_parameters(resource, form)},
    )


for _resource in EXPORTED.values():
    for _form in FORMS:
        _add(_resource, _form)
