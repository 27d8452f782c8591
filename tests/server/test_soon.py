"""Answers that become ready together go out in a row, and nothing overtakes one that waits."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.server.soon import SoonTransport


class Wire:
    """A transport that notes what it is told."""

    def __init__(self, told: list[object]) -> None:
        self._told = told
        self.is_closed = False
        self.write = told.append
        self.get_extra_info = self.can_write_eof = self.pause_reading = self.resume_reading = self.abort = None

    def write_eof(self) -> None:
        self._told.append("eof")

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self._told.append("close")


def told_after(act: Callable[[SoonTransport, Wire], None]) -> list[object]:
    """Return what a wire was told by `act` and in the turn of the loop after it."""
    told: list[object] = []

    async def inside() -> None:
        wire: Any = Wire(told)
        act(SoonTransport(wire, asyncio.get_running_loop()), wire)
        await asyncio.sleep(0)

    asyncio.run(inside())
    return told


def test_answers_go_out_when_all_of_them_are_made() -> None:
    told: list[object] = []

    async def inside() -> None:
        committed = asyncio.Event()

        async def answer(number: int) -> None:
            wire: Any = Wire(told)
            transport = SoonTransport(wire, asyncio.get_running_loop())
            await committed.wait()
            told.append(f"made {number}")
            transport.write_soon(b"%d" % number)

        answering = [asyncio.create_task(answer(number)) for number in range(3)]
        await asyncio.sleep(0)
        committed.set()
        await asyncio.gather(*answering)
        await asyncio.sleep(0)

    asyncio.run(inside())
    assert told == ["made 0", "made 1", "made 2", b"0", b"1", b"2"]


def test_what_waits_is_written_once() -> None:
    def act(transport: SoonTransport, _: Wire) -> None:
        transport.write_soon(b"1")
        transport.write_soon(b"2")

    assert told_after(act) == [b"12"]


@pytest.mark.parametrize(
    ("then", "last"),
    [
        (lambda transport: transport.write(b"2"), b"2"),
        (SoonTransport.write_eof, "eof"),
        (SoonTransport.close, "close"),
    ],
    ids=["write", "end", "close"],
)
def test_nothing_overtakes_what_waits(then: Callable[[SoonTransport], object], last: object) -> None:
    def act(transport: SoonTransport, _: Wire) -> None:
        transport.write_soon(b"1")
        then(transport)

    assert told_after(act) == [b"1", last]


def test_nothing_is_written_to_a_connection_that_is_gone() -> None:
    def act(transport: SoonTransport, wire: Wire) -> None:
        transport.write_soon(b"1")
        wire.is_closed = True

    assert told_after(act) == []
