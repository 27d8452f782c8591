"""Reading values: whatever a caller writes is a value or a slip, never a failure."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.accounts.model import Access, Scope
from app.ids import IdSource
from app.query.fields import Op
from app.query.routes import RESOURCES
from app.query.values import (
    Context,
    Fault,
    Span,
    parse_boolean,
    parse_date,
    parse_decimal,
    parse_id,
    parse_integer,
    parse_provider,
    parse_source,
    parse_span,
)
from tests.query.conftest import Caller, World

NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
CONTEXT = Context(Access(IdSource().next(), "test", frozenset({Scope.READ})), NOW, ZoneInfo("Europe/Berlin"), {})
PARSERS = (
    parse_boolean,
    parse_date,
    parse_decimal,
    parse_id,
    parse_integer,
    parse_provider,
    parse_source,
    parse_span,
)

LIKELY = st.one_of(
    st.text(),
    st.from_regex(r"[+ -]?[0-9]{1,22}(\.[0-9]{1,22})?[smhdw]?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
        r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(\.[0-9]{1,9})?([Zz]|[+ -][0-9]{2}:?[0-9]{2})?)?",
        fullmatch=True,
    ),
)


@given(LIKELY, st.sampled_from(PARSERS))
def test_any_text_is_a_value_or_a_slip(text: str, parse: Callable[[str, Context], Any]) -> None:
    try:
        parse(text, CONTEXT)
    except Fault as fault:
        assert fault.code  # noqa: PT017 - what is raised is what is looked at


@pytest.mark.parametrize(
    ("text", "start", "width"),
    [
        ("2026-03-09T10:00:00Z", datetime(2026, 3, 9, 10, tzinfo=UTC), timedelta(milliseconds=1)),
        ("2026-03-09t10:00z", datetime(2026, 3, 9, 10, tzinfo=UTC), timedelta(milliseconds=1)),
        (
            "2026-03-09T10:00:00.5+01:00",
            datetime(2026, 3, 9, 9, 0, 0, 500_000, tzinfo=UTC),
            timedelta(milliseconds=1),
        ),
        (
            "2026-03-09T10:00:00.123456789 0100",
            datetime(2026, 3, 9, 9, 0, 0, 123_456, tzinfo=UTC),
            timedelta(microseconds=1),
        ),
        ("2026-03-09", datetime(2026, 3, 8, 23, tzinfo=UTC), timedelta(days=1)),
        ("2026-03-29", datetime(2026, 3, 28, 23, tzinfo=UTC), timedelta(hours=23)),
        ("-24h", NOW - timedelta(days=1), timedelta(microseconds=1)),
        ("-15m", NOW - timedelta(minutes=15), timedelta(microseconds=1)),
        ("-30s", NOW - timedelta(seconds=30), timedelta(microseconds=1)),
        ("-2w", NOW - timedelta(days=14), timedelta(microseconds=1)),
        ("+7d", NOW + timedelta(days=7), timedelta(microseconds=1)),
    ],
)
def test_what_times_mean(text: str, start: datetime, width: timedelta) -> None:
    assert parse_span(text, CONTEXT) == Span(start, start + width)


def test_what_dates_mean() -> None:
    assert parse_date("2024-02-29", CONTEXT) == date(2024, 2, 29)
    assert parse_date("-7d", CONTEXT) == date(2026, 3, 22)
    late = Context(CONTEXT.access, datetime(2026, 3, 9, 23, 30, tzinfo=UTC), CONTEXT.zone, {})
    assert parse_date("-0d", late) == date(2026, 3, 10)


FIELDS = [(resource, name, op) for resource in RESOURCES for name, field in resource.fields.items() for op in field.ops]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(FIELDS), LIKELY), min_size=1, max_size=3))
def test_no_question_makes_the_service_fail(asking: Caller, world: World, asked: list[Any]) -> None:
    path = asked[0][0][0].path
    pairs = [(name if op is Op.EQ else f"{name}[{op}]", text) for (_, name, op), text in asked]
    query = "&".join(f"{name}={quote(text.encode('utf-8', 'surrogatepass'))}" for name, text in pairs)
    assert asking.get(world.keys["full"], f"{path}?{query}").status_code in (200, 422)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=30))
def test_no_bytes_in_a_query_make_the_service_fail(asking: Caller, world: World, query: bytes) -> None:
    for path in ("/v1/inquiries", f"/v1/events/{world.ids['inside']['event']}"):
        response = asking.get(world.keys["full"], f"{path}?{quote(query, safe='=&[]+')}")
        assert response.status_code in (200, 422)
