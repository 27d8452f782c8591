"""Makes one write of an answer that is whole: uvicorn writes head and body apart, which are two packets and two calls.

Streams, and answers after which the connection is closed, are left to uvicorn.
"""

from collections.abc import Callable
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_START = "http.response.start"
_UVICORN_S = frozenset({b"connection", b"transfer-encoding"})
_FORBIDDEN = bytes((*range(9), *range(10, 32), 127))  # in a header, as uvicorn has it


class WholeSend:
    """The `send` of one request that has come whole, in place of its cycle's; `write` takes what is one write."""

    __slots__ = ("_cycle", "_fields", "_start", "_write_whole")

    def __init__(self, cycle: RequestResponseCycle, write: Callable[[bytes], None]) -> None:
        self._cycle = cycle
        self._write_whole = write
        self._start: Any = None
        self._fields: dict[bytes, bytes] = {}

    async def __call__(self, message: Message) -> None:
        """Hold the head of an answer that will be whole until its body comes."""
        cycle, start = self._cycle, self._start
        if start is None:
            if message["type"] == _START and cycle.keep_alive and not cycle.response_started:
                self._fields = dict(message.get("headers", ()))
                if b"content-length" in self._fields:
                    self._start = message
                    return
        else:
            self._start = None
            if self._write(start, message):
                return
            await cycle.send(start)
        await cycle.send(message)  # type: ignore[arg-type]  # uvicorn's own form of the same

    def end(self) -> None:
        """Cut a reader off whose answer (a stream's) ended without its end: what it does not read is not waited for."""
        cycle = self._cycle
        if cycle.response_started and not cycle.response_complete and not cycle.disconnected:
            cycle.disconnected = True
            cycle.transport.abort()

    def _write(self, start: Message, message: Message) -> bool:
        """Write head and body, as uvicorn's cycle would; tell whether this answer is one to be written so."""
        cycle = self._cycle
        body = message.get("body", b"")
        if (
            message.get("more_body", False)
            or cycle.scope["method"] == "HEAD"
            or cycle.flow.write_paused
            or cycle.disconnected
            or not cycle.keep_alive
            or not _UVICORN_S.isdisjoint(self._fields)
            or self._fields[b"content-length"] != b"%d" % len(body)
        ):
            return False
        lines = [*map(b": ".join, cycle.default_headers), *map(b": ".join, start["headers"])]
        said = b"".join(lines)
        if len(said.translate(None, _FORBIDDEN)) < len(said):
            return False  # for uvicorn to refuse
        cycle.response_started = cycle.response_complete = True
        self._write_whole(b"\r\n".join((STATUS_LINE[start["status"]][:-2], *lines, b"", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True
