"""Lets answers that become ready together go out one right after the other, once all of them are made.

A commit makes many of them ready at once. Sent as each is made, every one wakes the process that waits for it, which
often takes the processor from this one and leaves its caches cold; sent in a row, one wakes it. What an answer says is
the business of `whole` and uvicorn.
"""

import asyncio


class SoonTransport:
    """Stands for the transport of a connection, with what the server uses of it: nothing overtakes what waits here."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting = b""
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading
        self.can_write_eof = transport.can_write_eof
        self.abort = transport.abort

    def write_soon(self, data: bytes) -> None:
        """Write after all that the loop has to do by now; the other answers of the same commit are made there."""
        if not self._waiting:
            self._loop.call_soon(self._write_waiting)
        self._waiting += data

    def write(self, data: bytes) -> None:
        """Write now."""
        self._write_waiting()
        self._transport.write(data)

    def write_eof(self) -> None:
        """End our side."""
        self._write_waiting()
        self._transport.write_eof()

    def close(self) -> None:
        """Close when all is written."""
        self._write_waiting()
        self._transport.close()

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, b""
        if waiting and not self._transport.is_closing():
            self._transport.write(waiting)
