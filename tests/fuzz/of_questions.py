"""What must hold for whatever a caller with a key asks: it is a question or a problem, never a failure.

The database is not asked; statements are compiled for it, and their values looked at.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from starlette.datastructures import QueryParams
from starlette.requests import Request

from app.accounts.model import Access, Accounts, Scope
from app.problems import Problem, problem_response
from app.processing.folding import LONGEST_WORD, fold, words_in
from app.query.buckets import parse_zone
from app.query.counted import STATISTICS
from app.query.cursor import Binding, CursorInvalid, Position, read_cursor, write_cursor
from app.query.filters import LIMIT_MOST, ORDERS, Parameters, Question, read_question
from app.query.posted import MOST_BYTES, posted_parameters
from app.query.resource import Resource
from app.query.routes import RESOURCES
from app.query.search import read_search
from app.query.statistics import _begins as begins_of
from app.query.statistics import _read as read_asked
from app.query.values import Context, Fault, parse_span
from tests.fuzz.cutting import Cut
from tests.fuzz.of_platforms import BENCH

_KEY = b"a key of the tests"
_OPEN = frozenset({Scope.READ})
_WHOLE = frozenset({Scope.READ, Scope.READ_PERSONAL})
_SOURCES = {source.id: source for source in (BENCH.source("thinksurance"),)}
_DIALECT: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # of the driver
_LONGEST_CURSOR = 1000


class _Book:
    """Accounts with one source."""

    present = Accounts(_SOURCES, {}, {})


_READING: Any = SimpleNamespace(book=_Book, zone=ZoneInfo("Europe/Berlin"), cursor_key=_KEY)


def questions(data: bytes) -> None:
    """Input: two bytes that choose list and key, then the query of a URL."""
    cut = Cut(data)
    resource, access = cut.one_of(RESOURCES), _access(cut.byte())
    query = cut.rest()
    parameters = _parameters(query)
    _ask(resource, parameters, access)
    for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        for asked in (name, text):
            words = words_in(asked)
            assert all(0 < len(word) <= LONGEST_WORD for word in words)
            assert words_in(" ".join(words)) is not None
    _or_problem(lambda: read_search(parameters, access))


def statistics(data: bytes) -> None:
    """Input: two bytes that choose statistic and key, then the query of a URL."""
    cut = Cut(data)
    statistic, access = cut.one_of(tuple(STATISTICS.values())), _access(cut.byte())
    request = _request(cut.rest())

    def ask() -> None:
        asked = read_asked(request, statistic, _READING, access)
        _check_question(statistic.resource, asked.question)
        begins = begins_of(asked, [])
        if asked.buckets is not None:
            for begin in begins:
                assert begin is not None
                assert asked.buckets.begin(begin) == begin
                assert asked.buckets.label(begin)

    _or_problem(ask)


def posted(data: bytes) -> None:
    """Input: two bytes that choose list and key, then a posted body."""
    cut = Cut(data)
    resource, access = cut.one_of(RESOURCES), _access(cut.byte())
    body = cut.rest()
    found: list[Parameters] = []
    _or_problem(lambda: found.append(asyncio.run(posted_parameters(_request(b"", body)))))
    for parameters in found:
        assert all(isinstance(name, str) and isinstance(text, str) for name, text in parameters)
        assert len(body) <= MOST_BYTES
        _ask(resource, parameters, access)


def cursors(data: bytes) -> None:
    """Input: a line with a cursor, then the text of a position and of a filter."""
    cut = Cut(data)
    text = cut.line().decode("utf-8", "surrogateescape")
    rest = cut.rest().decode("utf-8", "replace")[:200]
    binding = Binding.of("inquiries", "desc", [("q", rest)], _access(0))
    _refused(binding, text)
    position = Position((rest, len(rest)), len(data))
    written = write_cursor(_KEY, binding, position)
    if len(written) <= _LONGEST_CURSOR:
        assert read_cursor(_KEY, binding, written) == position
        _refused(Binding.of("inquiries", "asc", [("q", rest)], _access(0)), written)
        at = len(data) % (len(written) - 1)
        _refused(binding, written[:at] + ("B" if written[at] == "A" else "A") + written[at + 1 :])


def _refused(binding: Binding, text: str) -> None:
    try:
        read_cursor(_KEY, binding, text)
    except CursorInvalid:
        return
    raise AssertionError("a cursor that was not given was taken")


def _access(choice: int) -> Access:
    """Return a key: with or without sight of personal fields, with or without walls."""
    return Access(
        UUID(int=1),
        "fuzz",
        _WHOLE if choice & 1 else _OPEN,
        frozenset(_SOURCES) if choice & 2 else None,
        frozenset({"42"}) if choice & 4 else None,
    )


def _context(access: Access) -> Context:
    return Context(access, BENCH.now, ZoneInfo("Europe/Berlin"), _SOURCES)


def _parameters(query: bytes) -> Parameters:
    return QueryParams(query).multi_items()


def _request(query: bytes, body: bytes = b"") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    state = {"asked_at": BENCH.now}
    scope = {"type": "http", "method": "POST", "query_string": query, "headers": [], "path": "/", "state": state}
    return Request(scope, receive)


def _or_problem(ask: Callable[[], object]) -> None:
    """Ask; what is raised must be a problem that can be answered, of which nobody has to be ashamed."""
    try:
        ask()
    except Problem as problem:
        assert 400 <= problem.status < 500  # noqa: PT017 - what is raised is what is looked at
        answered = problem_response(problem, {"type": "http", "path": "/v1"})
        orjson.loads(bytes(answered.body))
        assert len(answered.body) < 100_000


def _ask(resource: Resource, parameters: Parameters, access: Access) -> None:
    def ask() -> None:
        _check_question(resource, read_question(resource.name, resource.fields, parameters, _context(access), _KEY))

    _or_problem(ask)


def _check_question(resource: Resource, question: Question) -> None:
    assert question.order in ORDERS
    assert 1 <= question.limit <= LIMIT_MOST
    statement = resource.columns(_access(1)).where(*question.conditions)
    compiled = statement.compile(dialect=_DIALECT)
    for value in compiled.params.values():
        for one in value if isinstance(value, list | tuple) else (value,):
            _check_value(one)


def _check_value(value: Any) -> None:
    """See that the database takes a value, whatever its column."""
    if isinstance(value, str):
        assert "\x00" not in value
        value.encode()
    elif isinstance(value, Decimal):
        assert value.is_finite()
    elif isinstance(value, int):
        assert -(1 << 63) <= value < 1 << 63
    elif isinstance(value, datetime):
        assert value.astimezone(UTC).year >= 1


def times(data: bytes) -> None:
    """Input: the text of a time, or of a zone."""
    text = data.decode("utf-8", "replace")
    for parse in (lambda: parse_span(text, _context(_access(0))), lambda: parse_zone(text)):
        try:
            parse()
        except Fault as fault:
            assert fault.code  # noqa: PT017 - what is raised is what is looked at
            assert fault.detail  # noqa: PT017 - as above
    folded = fold(text)
    assert folded == fold(text.lower()) or text.lower().upper().lower() != text.lower()
