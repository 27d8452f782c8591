"""Days and instants as platforms write them."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers import dates
from app.providers.dates import find_day, find_epoch, find_instant

Run = Callable[[Callable[[Any, Callable[[str], None]], Any], Any], tuple[Any, list[str]]]
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2025-03-09", date(2025, 3, 9)),
        (" 2025-03-09 ", date(2025, 3, 9)),
        ("2025-3-9", date(2025, 3, 9)),
        ("2025-03-09 23:30:00", date(2025, 3, 9)),
        ("2025-03-09T23:30:00+00:00", date(2025, 3, 9)),
        ("09.03.2025", date(2025, 3, 9)),
        ("9.3.2025 10:00", date(2025, 3, 9)),
        ("2025-02-30", None),
        ("2025-00-00", None),
        ("0000-01-01", None),
        ("2025-03-09x", None),
        ("20250309", None),
        ("03/09/2025", None),
        ("morgen", None),
        (20250309, None),
        ("٢٠٢٥-٠٣-٠٩", None),
    ],
)
def test_days(value: Any, day: date | None) -> None:
    assert find_day(value) == day


def test_an_unreadable_day_is_told(read_value: Run) -> None:
    assert read_value(dates.day_text, "2025-03-09 10:00:00") == ("2025-03-09", [])
    assert read_value(dates.day_text, "2025-02-30") == (None, ["not-a-date"])
    assert read_value(dates.day_text, 5) == (None, ["wrong-type"])


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2025-03-09 10:01:02", datetime(2025, 3, 9, 9, 1, 2, tzinfo=UTC)),
        ("2025-07-09 10:01:02", datetime(2025, 7, 9, 8, 1, 2, tzinfo=UTC)),
        ("2025-03-09T10:01", datetime(2025, 3, 9, 9, 1, tzinfo=UTC)),
        ("2025-10-26 02:30:00", datetime(2025, 10, 26, 0, 30, tzinfo=UTC)),  # there twice: the first
        ("2025-03-30 02:30:00", datetime(2025, 3, 30, 1, 30, tzinfo=UTC)),  # not there: as if the clock had gone on
        ("2025-03-09T10:01:02Z", datetime(2025, 3, 9, 10, 1, 2, tzinfo=UTC)),
        ("2025-03-09t10:01:02.345z", datetime(2025, 3, 9, 10, 1, 2, 345_000, tzinfo=UTC)),
        ("2025-03-09T10:01:02.123456789+00:00", datetime(2025, 3, 9, 10, 1, 2, 123_456, tzinfo=UTC)),
        ("2025-03-09T10:01:02+0130", datetime(2025, 3, 9, 8, 31, 2, tzinfo=UTC)),
        ("2025-03-09T10:01:02-05", datetime(2025, 3, 9, 15, 1, 2, tzinfo=UTC)),
        ("2025-03-09", None),
        ("2025-03-09 24:00:00", None),
        ("2025-03-09 10:01:02+99:00", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("2025-02-30 10:00:00", None),
        ("10:01:02", None),
        (1741514462, None),
    ],
)
def test_instants(value: Any, instant: datetime | None) -> None:
    assert find_instant(value, BERLIN) == instant


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (1714979289, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        (1714979289000, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("1714979289", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        (1714979289.5, datetime(2024, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)),
        (100_000_000_000, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (20240506, None),
        ("١٧١٤٩٧٩٢٨٩", None),
        (10**300, None),
        (1e300, None),
        (True, None),
        ("2024", None),
        (-1, None),
    ],
)
def test_epochs(value: Any, instant: datetime | None) -> None:
    assert find_epoch(value) == instant


@given(st.text(alphabet="0123456789-.:TtZz+ ", max_size=30) | st.integers() | st.floats() | st.text())
def test_nothing_is_ever_raised(value: Any) -> None:
    day, instant, epoch = find_day(value), find_instant(value, BERLIN), find_epoch(value)
    assert instant is None or day is not None
    assert epoch is None or epoch.tzinfo is UTC
