"""A whole answer goes out in one write, and is to the byte what uvicorn writes; all else is uvicorn's."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.server.whole import WholeSend

START = "http.response.start"
BODY = "http.response.body"
Field = tuple[bytes, bytes]


class Wire:
    """A transport that notes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


def answer(
    messages: list[dict[str, Any]], *, whole: bool, method: str = "POST", keep_alive: bool = True
) -> tuple[list[bytes], tuple[Any, ...]]:
    """Return what was written, and how it ended."""
    ended = []

    async def act() -> tuple[list[bytes], tuple[Any, ...]]:
        wire: Any = Wire()
        logger = logging.getLogger(__name__)
        cycle = RequestResponseCycle(
            {"type": "http", "method": method},  # type: ignore[typeddict-item]  # all that a cycle asks
            wire, FlowControl(wire), logger, logger, False, [(b"date", b"today")], asyncio.Event(), False,  # noqa: FBT003
            keep_alive, lambda: ended.append(True),
        )  # fmt: skip
        send: Any = WholeSend(cycle, wire.write) if whole else cycle.send
        error = None
        try:
            for message in messages:
                await send(message)
        except RuntimeError as raised:
            error = str(raised)
        state = (cycle.response_started, cycle.response_complete, cycle.message_event.is_set())
        return wire.written, (*state, wire.is_closed, ended, error)

    return asyncio.run(act())


def messages(fields: list[Field], *bodies: bytes, status: int = 200) -> list[dict[str, Any]]:
    start = {"type": START, "status": status, "headers": fields}
    return [
        start,
        *({"type": BODY, "body": body, "more_body": at < len(bodies)} for at, body in enumerate(bodies, 1)),
    ]


JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("sent", "writes"),
    [
        (messages([JSON, (b"content-length", b"2")], b"{}"), 1),
        (messages([(b"content-length", b"0")], b"", status=404), 1),
        (messages([], b"", status=204), 2),
        (messages([JSON], b"{}"), 2),
        (messages([(b"content-length", b"4")], b"{}", b"[]"), 3),
        (messages([(b"content-length", b"3")], b"{}"), 2),
        (messages([(b"content-length", b"2"), (b"connection", b"close")], b"{}"), 2),
        (messages([(b"content-length", b"2"), (b"x", b"a\nset-cookie: b")], b"{}"), 0),
    ],
    ids=["usual", "empty", "204", "without-length", "in-pieces", "wrong-length", "last", "smuggling"],
)
def test_an_answer_is_what_uvicorn_writes(sent: list[dict[str, Any]], writes: int) -> None:
    written, ended = answer(sent, whole=True)
    plain, plainly_ended = answer(sent, whole=False)
    assert (b"".join(written), ended) == (b"".join(plain), plainly_ended)
    assert len(written) == writes


@pytest.mark.parametrize("how", [{"method": "HEAD"}, {"keep_alive": False}])
def test_what_has_no_body_or_ends_the_connection_is_left_to_uvicorn(how: dict[str, Any]) -> None:
    sent = messages([JSON, (b"content-length", b"2")], b"{}")
    assert answer(sent, whole=True, **how) == answer(sent, whole=False, **how)


def test_every_byte_in_a_header_is_taken_or_refused_as_uvicorn_does() -> None:
    for byte in range(256):
        sent = messages([(b"content-length", b"2"), (b"x", b"a%cb" % byte)], b"{}")
        written, ended = answer(sent, whole=True)
        plain, plainly_ended = answer(sent, whole=False)
        assert (b"".join(written), ended) == (b"".join(plain), plainly_ended), byte
