"""Answers searches: records of all kinds that hold the words asked for, best first.

Which text of a record is searched in is told in `app.processing.searched`; what it is shown as beside its list. A key
sees by searching what it sees otherwise: without `read:personal` only the open words are looked through.
"""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from fastapi import APIRouter
from sqlalchemy import Text, Uuid, any_, bindparam, cast, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.processing.folding import words_in
from app.processing.searched import OPEN_MARK
from app.query.access import Reader
from app.query.answers import answer, next_link
from app.query.cursor import Binding, Position, read_cursor, write_cursor
from app.query.customers import CUSTOMERS
from app.query.documented import list_problems, search_parameters
from app.query.documents import DOCUMENTS
from app.query.filters import Parameters, Slips, usable
from app.query.inquiries import INQUIRIES
from app.query.leads import LEADS
from app.query.personal import may_see
from app.query.posted import posted_body, posted_parameters
from app.query.prepared import Prepared, driver_of
from app.query.reading import reading_of
from app.query.resource import Resource
from app.query.schemas.search import Found, FoundPage
from app.query.shapes import in_braces, in_order
from app.query.trail import note_reading
from app.query.walls import Statement, cache_of_walls, walled

SEARCHED: Final[Mapping[str, Resource]] = {one.kind: one for one in (CUSTOMERS, INQUIRIES, LEADS, DOCUMENTS)}
"""What is searched; where two fit as well, the earlier kind comes first."""

LIMIT_DEFAULT, LIMIT_MOST = 20, 100
_MOST_WORDS = 8
_LONGEST_QUESTION = 200
_MOST_CANDIDATES = 50
"""So many of each kind and way of fitting are weighed; who wants others says more words."""

_ENOUGH = 50
"""Where so many records have the words whole, those in which they are only begun are not looked for."""

_SHORTEST_PREFIX = 2
_OTHER_WAYS = ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan")
_WITHOUT_OTHER_WAYS, _WITH_OTHER_WAYS = (
    f"SELECT {', '.join(f'set_config({way!r}, {on!r}, false)' for way in _OTHER_WAYS)}" for on in ("off", "on")
)
_BEGUN = 0.9


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched for, read and checked.

    With `is_address` an e-mail address is among the words: half the world has the words of its end, and to look for
    those in which they are begun takes as long as all of these. Where it is found whole, that is not done.
    """

    words: tuple[str, ...]
    kinds: tuple[str, ...]
    limit: int
    binding: Binding
    cursor: str | None
    is_address: bool


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
        elif len(texts) > 1:
            slips.add(name, "repeated", "may be given once only")
    text = found.get("q", [""])[0]
    words = words_in(text[:_LONGEST_QUESTION])
    if not words or len(text) > _LONGEST_QUESTION or len(words) > _MOST_WORDS:
        slips.add("q", "unusable-words", f"is no text of 1 to {_MOST_WORDS} words and {_LONGEST_QUESTION} letters")
    kinds = tuple(dict.fromkeys(found["kind"][0].split(","))) if "kind" in found else tuple(SEARCHED)
    if not set(kinds) <= set(SEARCHED):
        slips.add("kind", "unknown-value", f"is none of these: {', '.join(SEARCHED)}")
    limit = found.get("limit", [str(LIMIT_DEFAULT)])[0]
    if not re.fullmatch("[0-9]{1,3}", limit) or not 1 <= int(limit) <= LIMIT_MOST:
        slips.add("limit", "out-of-range", f"is no whole number from 1 to {LIMIT_MOST}")
    slips.check()
    binding = Binding.of("search", "best", [("q", " ".join(words)), ("kind", ",".join(kinds))], access)
    cursor = found["cursor"][0] if "cursor" in found else None
    return Search(words, kinds, int(limit), binding, cursor, is_address="@" in text)


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
    async with reading.asking() as connection:
        ranked = await _ranked(connection, search, access)
        page = ranked[begin : begin + search.limit]
        records = await _records(connection, page, access)
    await note_reading(reading, access, "search", list(records))
    shown = [
        in_order(Found, {"kind": kind, "id": row_id, "score": round(score, 3), "record": records[row_id]})
        for score, kind, row_id in page
        if row_id in records
    ]
    end = begin + search.limit
    cursor = None
    if end < len(ranked):
        cursor = write_cursor(reading.cursor_key, search.binding, Position((end,)))
    link = {"Link": next_link(reading.public_url or "", request.url.path, parameters, cursor)} if cursor else None
    return answer({"data": shown, "next_cursor": cursor}, headers=link if request.method == "GET" else None)


Ranked = list[tuple[float, str, UUID]]


@asynccontextmanager
async def _by_index_only(connection: AsyncConnection) -> AsyncIterator[None]:
    """Have the database go by the index of words, whatever it believes.

    Of a word that is only begun it expects far more than there are, and would rather go through a whole table.
    """
    driver = driver_of(connection)
    await driver.execute(_WITHOUT_OTHER_WAYS)
    try:
        yield
    finally:
        with suppress(psycopg.Error):  # a connection that is broken is not used again
            await driver.execute(_WITH_OTHER_WAYS)


async def _ranked(connection: AsyncConnection, search: Search, access: Access) -> Ranked:
    """Return what fits, best first: score, kind and id."""
    scores: dict[tuple[str, UUID], float] = {}
    async with _by_index_only(connection):
        for begun in (False, True):
            asked = " & ".join(_asked(word, access, begun=begun) for word in search.words)
            for row in await _all_candidates(search.kinds, access).rows(connection, {"asked": asked}):
                score = _score(search.words, _seen(row["words"], access)) if begun else 1.0
                scores.setdefault((row["kind"], row["id"]), score)
            if len(scores) >= _ENOUGH or (scores and search.is_address):
                break
    order = list(SEARCHED)
    ranked = [(score, kind, row_id) for (kind, row_id), score in scores.items()]
    return sorted(ranked, key=lambda one: (-one[0], order.index(one[1]), -one[2].int))


@cache_of_walls
def _all_candidates(kinds: Sequence[str], access: Access) -> Prepared:
    """Return the statement of records of these kinds that hold what is `asked`: long, and the same each time."""
    return Prepared.of(union_all(*(select(_candidates(SEARCHED[kind], access).subquery()) for kind in kinds)))


def _candidates(resource: Resource, access: Access) -> Statement:
    columns = resource.table.c
    words = func.tsvector_to_array(columns.words, type_=ARRAY(Text)).label("words")
    statement: Statement = select(literal(resource.kind).label("kind"), columns.id, words)
    statement = walled(statement, resource.table, access).where(*resource.in_lists)
    asked = cast(bindparam("asked", None, Text), TSQUERY)
    return statement.where(columns.words.bool_op("@@")(asked)).limit(_MOST_CANDIDATES)


def _asked(word: str, access: Access, *, begun: bool) -> str:
    """Return a word as a question in PostgreSQL's writing; no sign of that can be in it."""
    ends = ":*" if begun and len(word) >= _SHORTEST_PREFIX else ""
    beginnings = [word]
    if ends and word.endswith("i"):  # the next letter may be a j, and ij is folded to y
        beginnings.append(word[:-1] + "y")
    marks = (OPEN_MARK, "") if may_see(access) else (OPEN_MARK,)
    return "(" + " | ".join(f"'{mark}{one}'{ends}" for one in beginnings for mark in marks) + ")"


def _seen(words: Iterable[str], access: Access) -> set[str]:
    """Return those of a record's words that the key may see, without the mark of the open ones."""
    return {word.removeprefix(OPEN_MARK) for word in words if word.startswith(OPEN_MARK) or may_see(access)}


def _score(asked: Sequence[str], words: Collection[str]) -> float:
    """Return how well a record fits: 1 where it has each word, less where it has longer ones."""
    total = 0.0
    for word in asked:
        if word in words:
            total += 1.0
        else:
            total += max((_BEGUN * len(word) / len(one) for one in words if one.startswith(word[:-1])), default=0.0)
    return min(1.0, total / len(asked))


@cache_of_walls
def _by_ids(kind: str, access: Access) -> Prepared:
    """Return the statement of the records of a kind that have one of `ids`."""
    resource = SEARCHED[kind]
    wanted = any_(cast(bindparam("ids", None, Text), ARRAY(Uuid())))
    return Prepared.of(walled(resource.columns(access).where(resource.table.c.id == wanted), resource.table, access))


async def _records(connection: AsyncConnection, page: Ranked, access: Access) -> dict[UUID, dict[str, Any]]:
    """Return the records of a page, shaped as in their lists."""
    wanted: defaultdict[str, list[UUID]] = defaultdict(list)
    for _, kind, row_id in page:
        wanted[kind].append(row_id)
    shown: dict[UUID, dict[str, Any]] = {}
    for kind, ids in wanted.items():
        resource = SEARCHED[kind]
        rows = await _by_ids(kind, access).rows(connection, {"ids": in_braces(ids)})
        neighbours = await resource.neighbours(connection, rows, access) if rows else None
        shown |= {row["id"]: resource.shape(row, access, neighbours) for row in rows}
    return shown


router = APIRouter()


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
