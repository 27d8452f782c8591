"""A connection whose user does something else while the server works.

What that is, is settled in `processor`.
"""

import select
from collections.abc import Callable
from typing import Any, Final, TypeVar

from psycopg import Connection
from psycopg.abc import PQGen
from psycopg.waiting import Ready

_Result = TypeVar("_Result")
_EVENTS: Final = ((select.POLLIN, Ready.R), (select.POLLOUT, Ready.W))  # READY_x of psycopg is WAIT_x


class BusyConnection(Connection[tuple[Any, ...]]):
    """Calls `meanwhile` again and again while it waits for the server, until that says that nothing is left to do.

    `meanwhile` does a little, for the answer waits behind it; it raises nothing and does not use this connection.
    """

    meanwhile: Callable[[], bool] | None = None

    def wait(self, gen: PQGen[_Result], *arguments: Any, **named: Any) -> _Result:
        """Wait for the server as psycopg does, but do something else first."""
        return super().wait(gen if self.meanwhile is None else self._filled(gen, self.meanwhile), *arguments, **named)

    def _filled(self, gen: PQGen[_Result], meanwhile: Callable[[], bool]) -> PQGen[_Result]:
        """Pass on only those waits of a generator for which there is nothing else to do."""
        try:
            wanted = next(gen)
            while True:
                poll = select.poll()
                poll.register(self.pgconn.socket, sum(event for event, ready in _EVENTS if wanted & ready))
                ready = self._ready(poll)
                while not ready and meanwhile():
                    ready = self._ready(poll)
                wanted = gen.send(ready or (yield wanted))
        except StopIteration as end:
            result: _Result = end.value
            return result

    def _ready(self, poll: select.poll) -> int:
        """Return what the socket is ready for now; the words are psycopg's."""
        return sum(ready for _, found in poll.poll(0) for event, ready in _EVENTS if found & event)
