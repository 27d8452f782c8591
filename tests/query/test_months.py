"""Lists of what is stored by months look at the newest weeks first, which nobody can tell from the answers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from app.accounts.model import Scope
from app.query.months import FIRST_LOOK
from tests.query.conftest import START, Caller, Rows

_BORDER = FIRST_LOOK.days
_AGES = (0.1, 1, 20, _BORDER - 0.01, _BORDER + 0.01, 40, 55.99, 56.01, 90, 200, 700)


@pytest.fixture
def written(rows: Rows) -> list[str]:
    """Deliveries with an event each, of many ages, the newest first."""
    source = rows.source("s")
    since = (datetime.now(UTC) - START) / timedelta(minutes=1)
    ids = []
    for number, days in enumerate(_AGES):
        minutes = since - days * 24 * 60
        status = "quarantined" if number % 3 == 0 else "accepted"
        ids.append(rows.delivery(source, minutes, status=None if number == 1 else status, brokers=["B-1"]))
        rows.event(source, ids[-1], minutes, type=f"t{number % 2}", broker="B-1", subject="inquiry/1")
    return [str(one) for one in ids]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 50])
@pytest.mark.parametrize("walled", [True, False])
def test_pages_are_whole(
    rows: Rows, written: list[str], open_caller: Callable[[], Caller], limit: int, *, walled: bool
) -> None:
    key = rows.key(Scope.READ, brokers=["B-1"] if walled else None)
    seen = [one for number, one in enumerate(written) if number != 1 or not walled]  # who waits has no broker yet
    caller = open_caller()

    def walk(path: str) -> list[str]:
        return [one.get("delivery_id") or one["id"] for one in caller.walk(key, f"/v1/{path}&limit={limit}")]

    assert walk("deliveries?order=desc") == seen
    assert walk("events?order=desc") == written
    assert walk("deliveries?status=quarantined") == [one for one in written[::3] if one in seen]
    assert walk("events?type=t1") == written[1::2]
    assert walk("events?subject=inquiry/1") == written
    assert walk(f"events?delivery_id={written[3]},{written[9]}") == [written[3], written[9]]
    assert walk("deliveries?received_at[gte]=-30d") == [one for one in written[:5] if one in seen]
    assert walk("deliveries?received_at[lt]=-30d&received_at[gte]=-100d") == written[5:9]
    assert walk("events?received_at[lte]=-56d") == written[7:]
    for first, second in (("-5h", "-30d"), ("-30d", "-5h")):  # one that is repeated means "or"
        assert walk(f"events?received_at[gte]={first}&received_at[gte]={second}") == written[:5]
