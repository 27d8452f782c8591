"""How often a key may ask, and how it is told."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from app.accounts.model import Scope
from app.query import rate
from app.query.rate import WINDOW_S, Limiter
from tests.query.conftest import Caller, Rows, World

ONE, TWO = UUID(int=1), UUID(int=2)


def test_a_bucket_fills_up_evenly() -> None:
    limiter = Limiter(most=3)
    assert [limiter.take(ONE, 100.0) for _ in range(4)] == [2, 1, 0, -1]
    assert limiter.take(TWO, 100.0) == 2
    a_third = WINDOW_S / 3
    assert limiter.take(ONE, 100.0 + a_third) == pytest.approx(0)
    assert limiter.take(ONE, 100.0 + a_third) < 0
    assert [limiter.take(ONE, 9999.0) for _ in range(3)] == [2, 1, 0]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "_MOST_KEYS", 5)
    limiter = Limiter()
    for number in range(100):
        limiter.take(UUID(int=number), 0.0)
        assert len(limiter._left) <= 5


def test_who_asks_too_often_is_told_when_to_come_back(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    key, other = rows.key(Scope.READ), rows.key(Scope.READ)
    caller = open_caller()
    app: Any = caller.client.app
    app.state.reading.limiter.most = 2
    answers = [caller.get(key, "/v1/leads") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0"]
    assert answers[2].json()["code"] == "too-many-requests"
    assert 1 <= int(answers[2].headers["retry-after"]) <= WINDOW_S / 2
    assert caller.get(other, "/v1/leads").status_code == 200


def test_every_answer_to_a_key_tells_what_is_left(asking: Caller, world: World) -> None:
    for path in ("/v1/leads", "/v1/leads/nonsense", "/v1/leads?x=1", "/v1/stats/leads"):
        headers = asking.get(world.keys["full"], path).headers
        assert headers["ratelimit"].startswith('"key";r='), path
        assert headers["ratelimit-policy"] == f'"key";q={rate.MOST};w={WINDOW_S}'
    assert "ratelimit" not in asking.get(None, "/v1/leads").headers
