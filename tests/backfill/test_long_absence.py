"""A search for more days than the platform can tell of at once ends, brings what can be had, and says what is left."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from app.backfill import SEARCH
from app.backfill.by_hand import search_once
from app.providers.calling import CallError, RefusedError
from tests.backfill.conftest import Stand
from tests.doubles.thinksurance_world import ORDERED, PROPOSAL

TROUBLES: dict[str, Callable[[], Response]] = {
    "answered 504": lambda: HTMLResponse("<h1>Gateway Time-out</h1>", 504),
    "answered 200 with an error": lambda: JSONResponse({"error": "lastDays: too many"}),
    "the answer is too long": lambda: Response(b" " * (33 << 20), media_type="application/json"),
}


class Nasty:
    """Stands before the double and makes trouble where too many days are asked for."""

    def __init__(self, stand: Stand) -> None:
        self.most, self.times = 9_999, 9_999
        self.trouble: Callable[[], Response] = TROUBLES["answered 504"]
        self.asked: list[int] = []
        self._behaves = stand.double.quirks
        stand.double.quirks = self  # type: ignore[assignment]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        days = parse_qs(scope.get("query_string", b"").decode()).get("lastDays")
        if days is not None and self.asked[-1:] != [int(days[0])]:
            self.asked.append(int(days[0]))
        if days is not None and int(days[0]) > self.most and self.times > 0:
            self.times -= 1
            await self.trouble()(scope, receive, send)
        else:
            await self._behaves(scope, receive, send)


def _failing(stand: Stand) -> list[tuple[int, str]]:
    rows = stand.rows("SELECT last_days, error FROM searches WHERE failed_at IS NOT NULL ORDER BY last_days")
    return [(days, error) for days, error in rows]


def _by_hand(stand: Stand, days: int) -> dict[int, str]:
    async def searched() -> dict[int, str]:
        source = next(iter((await stand.bench.sources()).values()))
        try:
            return (await search_once(stand.bench, source, days, lambda _: None)).failed
        finally:
            await stand.bench.aclose()

    return asyncio.run(searched())


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_cannot_be_had_at_once_is_searched_step_by_step(stand: Stand, trouble: str) -> None:
    stand.add_source()
    nasty = Nasty(stand)
    stand.do(SEARCH)
    stand.later(days=40)
    old, young = stand.new_inquiry(PROPOSAL), stand.new_inquiry(PROPOSAL)
    old.updated_on -= timedelta(days=6)
    nasty.most, nasty.trouble = 10, TROUBLES[trouble]
    with pytest.raises(CallError, match=f"only the last 8 of 42 days: {trouble}") as caught:
        stand.do(SEARCH)
    assert caught.value.retry_could_help
    assert nasty.asked == [2, 42, 2, 4, 8, 16]
    stand.process()
    assert [stand.status(one) for one in (old, young)] == [PROPOSAL, PROPOSAL]
    ((days, told),) = _failing(stand)
    assert (days, told) == (42, f"thinksurance.inquiries: only the last 8 of 42 days: {trouble}")
    young.status = ORDERED
    assert stand.do(SEARCH) == 0  # it is done
    stand.later(hours=2)
    assert stand.do(SEARCH) == 1
    assert (nasty.asked[-1], stand.status(young)) == (2, ORDERED)
    assert _failing(stand) == [(days, told)]  # until somebody has seen to it
    assert list(_by_hand(stand, 42)) == [1]
    assert [days for days, _ in _failing(stand)] == [42]
    assert _by_hand(stand, 10) == {}
    assert _failing(stand) == []


def test_a_platform_that_was_only_away_is_asked_for_all_of_it_in_the_end(stand: Stand) -> None:
    stand.add_source()
    nasty = Nasty(stand)
    stand.do(SEARCH)
    stand.later(days=40)
    nasty.most, nasty.times = 2, 3
    assert stand.do(SEARCH) == 1
    assert nasty.asked == [2, 42, 2, 4, 8, 16, 32, 42]
    assert _failing(stand) == []


def test_what_was_cut_off_between_two_steps_begins_anew(stand: Stand) -> None:
    stand.add_source()
    nasty = Nasty(stand)
    stand.do(SEARCH)
    stand.later(days=40)
    nasty.most = 0  # not even the usual days can be had: nothing is done
    for _ in range(2):
        nasty.asked.clear()
        with pytest.raises(CallError, match="answered 504"):
            stand.do(SEARCH)
        assert nasty.asked == [42, 2]
    assert [days for days, _ in _failing(stand)] == [0]


def test_what_failed_by_a_token_that_was_replaced_needs_nobody(stand: Stand) -> None:
    stand.add_source()
    nasty = Nasty(stand)
    nasty.most, nasty.trouble = 0, TROUBLES["answered 200 with an error"]
    with pytest.raises(RefusedError):
        stand.do(SEARCH)
    assert len(_failing(stand)) == 1
    stand.database.execute("UPDATE source_credentials SET id = gen_random_uuid() WHERE name = 'b_token'")
    nasty.most = 99
    assert stand.do(SEARCH) == 1
    assert _failing(stand) == []
