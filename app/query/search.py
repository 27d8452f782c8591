"""Answers searches: records of all kinds that hold the words asked for, best first.

Which text of a record is searched in is told in `app.processing.searched`; what it is shown as beside its list. A key
sees by searching what it sees otherwise: without `read:personal` only the open words are looked through.
"""

import re
from collections import defaultdict
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import Text, Uuid, any_, cast
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.processing.folding import words_in
from app.query.access import Reader, StraightRoute
from app.query.answers import answer, next_link
from app.query.candidates import SEARCHED, Ranked, Wanted, ranked_candidates
from app.query.cursor import Binding, Position, read_cursor, write_cursor
from app.query.documented import list_problems, search_parameters
from app.query.filters import Parameters, Slips, usable
from app.query.fullness import held_rows
from app.query.posted import posted_body, posted_parameters
from app.query.prepared import Prepared, asked
from app.query.reading import reading_of
from app.query.schemas.search import Found, FoundPage
from app.query.shapes import in_braces, in_order
from app.query.trail import noting
from app.query.walls import cache_of_walls, walled

LIMIT_DEFAULT, LIMIT_MOST = 20, 500
_MOST_WORDS = 8
_LONGEST_QUESTION = 200


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched for, read and checked."""

    wanted: Wanted
    limit: int
    binding: Binding
    cursor: str | None


def read_search(parameters: Parameters, access: Access) -> Search:
    """Return what is searched for.

    Raises:
        Invalid: a parameter is unknown or cannot be used.
    """
    slips = Slips()
    found = usable(parameters, slips)
    for name, texts in found.items():
        if name not in ("q", "kind", "limit", "cursor"):
            slips.add(name, "unknown-parameter", "is not known here; there are: q, kind, limit, cursor")
        elif len(texts) > 1 and name != "kind":
            slips.add(name, "repeated", "may be given once only")
    text = found.get("q", [""])[0]
    words = words_in(text[:_LONGEST_QUESTION])
    if not words or len(text) > _LONGEST_QUESTION or len(words) > _MOST_WORDS:
        slips.add("q", "unusable-words", f"is no text of 1 to {_MOST_WORDS} words and {_LONGEST_QUESTION} letters")
    kinds = tuple(dict.fromkeys(",".join(found["kind"]).split(","))) if "kind" in found else tuple(SEARCHED)
    if not set(kinds) <= set(SEARCHED):
        slips.add("kind", "unknown-value", f"is none of these: {', '.join(SEARCHED)}")
    limit = found.get("limit", [str(LIMIT_DEFAULT)])[0]
    if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= LIMIT_MOST:
        slips.add("limit", "out-of-range", f"is no whole number from 1 to {LIMIT_MOST}")
    slips.check()
    binding = Binding.of("search", "best", [("q", " ".join(words)), ("kind", ",".join(kinds))], access)
    cursor = found["cursor"][0] if "cursor" in found else None
    return Search(Wanted.of(text, kinds), int(limit), binding, cursor)


async def answer_search(request: Request, parameters: Parameters, access: Access) -> Response:
    """Return a page of what is found.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble.
    """
    reading = reading_of(request)
    search = read_search(parameters, access)
    begin = 0
    if search.cursor is not None:
        begin = int(str(read_cursor(reading.cursor_key, search.binding, search.cursor).after[0]))
    end = begin + search.limit
    async with AsyncExitStack() as noted:
        async with reading.asking(once=True) as connection:
            ranked = await ranked_candidates(connection, search.wanted, end, reading.common_words, access)
            page = ranked[begin:end]
            await noted.enter_async_context(noting(reading, access, "search", [row_id for _, _, row_id in page]))
            records, beyond = await _records(connection, page, access)
        if beyond:  # the page is full before all are in
            end = begin + next(number for number, (*_, one) in enumerate(page) if one in beyond)
        shown = [
            in_order(Found, {"kind": kind, "id": row_id, "score": round(score, 3), "record": records[row_id]})
            for score, kind, row_id in ((score, kind, str(one)) for score, kind, one in ranked[begin:end])
            if row_id in records
        ]
        cursor = None
        if end < len(ranked):
            cursor = write_cursor(reading.cursor_key, search.binding, Position((end,)))
        link = {"Link": next_link(reading.public_url or "", request.url.path, parameters, cursor)} if cursor else None
        return answer({"data": shown, "next_cursor": cursor}, headers=link if request.method == "GET" else None)


@cache_of_walls
def _by_ids(kind: str, access: Access) -> Prepared:
    """Return the statement of the records of a kind that have one of `ids`."""
    resource = SEARCHED[kind]
    wanted = any_(cast(asked("ids", Text()), ARRAY(Uuid())))
    statement = resource.in_list(access).where(resource.table.c.id == wanted)
    return Prepared.of(walled(statement, resource.table, access))


async def _records(
    connection: AsyncConnection, page: Ranked, access: Access
) -> tuple[dict[str, dict[str, Any]], set[UUID]]:
    """Return the records of a page by their ids, shaped as in their lists, and for which there is no room."""
    wanted: defaultdict[str, list[UUID]] = defaultdict(list)
    for _, kind, row_id in page:
        wanted[kind].append(row_id)
    shown: dict[str, dict[str, Any]] = {}
    beyond: set[UUID] = set()
    for kind, ids in wanted.items():
        resource = SEARCHED[kind]
        found = {UUID(row["id"]): row for row in await _by_ids(kind, access).rows(connection, {"ids": in_braces(ids)})}
        ranked = [found[one] for one in ids if one in found]
        rows, ended_at = await held_rows(lambda: nullcontext(connection), resource, ranked, access)
        if ended_at is not None:
            beyond.update(ids[ids.index(UUID(ended_at["id"])) + 1 :])
        neighbours = await resource.neighbours(connection, rows, access) if rows else None
        shown |= {row["id"]: resource.shape(row, access, neighbours) for row in rows}
    return shown, beyond


router = APIRouter(prefix="/v1", route_class=StraightRoute)


@router.get(
    "/search",
    name="search",
    operation_id="search",
    response_model=None,
    responses={200: {"model": FoundPage, "description": "A page."}, **list_problems()},
    tags=["search"],
    openapi_extra={"parameters": search_parameters(SEARCHED, LIMIT_DEFAULT, LIMIT_MOST)},
)
async def search(request: Request, access: Reader) -> Response:
    """Search across records, best first.

    All words must be in a record, whole or begun: names, companies, e-mail, place, numbers of inquiries, customers,
    leads and policies, VIN, external references, names of documents. Case and accents do not matter, `ue` is `ü`.
    Without `read:personal` only what the key may see is searched. At most 100 records of each kind are weighed, and
    where 50 have the words whole, or one has the e-mail address that is asked for, others are not looked for.
    """
    return await answer_search(request, request.query_params.multi_items(), access)


@router.post(
    "/search",
    name="post_search",
    operation_id="post_search",
    response_model=None,
    responses={200: {"model": FoundPage, "description": "A page."}, **list_problems()},
    tags=["search"],
    openapi_extra={"requestBody": posted_body({"q": "Muster Köln", "kind": "customer,lead"})},
)
async def post_search(request: Request, access: Reader) -> Response:
    """Search with the parameters in the body, so that no name stands in a URL and so in a log."""
    return await answer_search(request, await posted_parameters(request), access)
