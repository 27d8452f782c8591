"""Commits rows over one connection to PostgreSQL, without all that psycopg sets up for a statement.

psycopg connects and closes. The statement itself, which a busy receiver runs some thousand times a second, goes by
libpq's own calls (`psycopg.pq`): a cursor, its adaptation and its waiting cost several times as much. When rows are
committed, and what becomes of those that are not, is the business of `writer` and `keeping`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg.errors import Diagnostic, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGresult

from app.ingest.rows import NUMBERED_STATEMENT, Packed, Row, arrays

PREPARE: Final = f"PREPARE keep AS {NUMBERED_STATEMENT}"
"""To be executed on a new connection."""

_PREPARED: Final = b"keep"
_BINARY: Final = [Format.BINARY] * len(Row._fields)
# Changes nothing, but has a commit of its own in the server's log.
_MARK: Final = b"SELECT pg_logical_emit_message(true, 'callbox', '')"
_GOOD: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_CANCEL_S: Final = 0.2


class Committer:
    """A connection that commits rows, one statement at a time. It belongs to the loop that runs when it is made."""

    def __init__(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        self.connection = connection
        """For other statements, while no commit is under way."""
        self._libpq = connection.pgconn
        self._socket = connection.fileno()
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._is_warned = False
        connection.add_notice_handler(self._note)

    async def commit(self, rows: Sequence[Packed]) -> None:
        """Commit rows that may have been committed before; return once all of them are as durable as new ones.

        A row that is there already was committed on this server, but a synchronous standby may not have it: whoever
        waited for that gave up or was cut off. Nothing is written for such a row, so that PostgreSQL would not wait for
        its standby again; a mark in the log behind it is what it waits for then. So it is where the wait for a standby
        was cut short, which the server calls a warning.

        Raises:
            psycopg.Error: the server refused them or is gone; in either case the connection is of no more use.
            TimeoutError: `give_up` was called.
        """
        self._is_warned = False
        result = await self._ask(self._libpq.send_query_prepared, _PREPARED, arrays(rows), _BINARY)
        if self._is_warned or (result.command_tuples or 0) < len(rows):
            await self._ask(self._libpq.send_query, _MARK)

    def give_up(self) -> None:
        """Wait no longer for a commit that is under way; nobody knows then what becomes of it."""
        self._end(TimeoutError())

    async def close(self) -> None:
        """Let go of the server. What is under way there is asked to stop; nobody waits for a server that is silent."""
        if self._libpq.status == ConnStatus.OK:  # else the number of the socket may be another one's by now
            self._stop_listening()
        if self._libpq.transaction_status == TransactionStatus.ACTIVE:
            with contextlib.suppress(psycopg.Error):
                await self.connection.cancel_safe(timeout=_CANCEL_S)
        await self.connection.close()

    def _ask(self, send: Callable[..., None], *what: Any) -> asyncio.Future[PGresult]:
        """Send a statement; return what will be its result."""
        answer = self._answer = self._loop.create_future()
        try:
            send(*what)
            self._loop.add_reader(self._socket, self._listen)  # anew, for psycopg takes it away when it is done
            if self._libpq.flush():
                self._loop.add_writer(self._socket, self._send_more)
        except psycopg.Error as error:
            self._lose(error)
        return answer

    def _send_more(self) -> None:
        try:
            if not self._libpq.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._lose(error)

    def _listen(self) -> None:
        """Take what the server says; it also speaks unasked, at last when it ends."""
        try:
            self._libpq.consume_input()
            while not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    self._end()
                    return
                self._result = result
        except psycopg.Error as error:
            self._lose(error)

    def _note(self, said: Diagnostic) -> None:
        self._is_warned |= said.severity_nonlocalized == "WARNING"

    def _lose(self, error: psycopg.Error) -> None:
        """End with a connection that is gone, or as good as that; its socket may be closed already."""
        self._stop_listening()
        self._end(error)

    def _stop_listening(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)

    def _end(self, error: Exception | None = None) -> None:
        """Hand the result over, or else an error.

        A result is good only once the server says that it is ready again: it may send one ahead of the commit's end.
        """
        answer, self._answer = self._answer, None
        result, self._result = self._result, None
        if answer is None or answer.done():
            return
        if result is not None and result.status not in _GOOD:
            answer.set_exception(error_from_result(result))
        elif error is not None or result is None:
            answer.set_exception(error or psycopg.OperationalError("there was no result"))
        else:
            answer.set_result(result)
