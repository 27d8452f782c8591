"""Stands between a program and PostgreSQL and spoils the line: answers that never come, a peer that is gone silent."""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Self

# CommandComplete of an INSERT (PostgreSQL's protocol, "Message Formats"): the commit is done when this is sent.
_STORED = b"INSERT 0 "


def dial(address: str | tuple[str, int]) -> socket.socket:
    """Connect to a Unix socket by its path, or to a host and port."""
    if isinstance(address, str):
        with ExitStack() as closing:
            connection = closing.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(address)
            closing.pop_all()
            return connection
    return socket.create_connection(address)


class Proxy:
    """A relay on a port of its own. `cuts` and `is_silent` may be set at any time."""

    def __init__(self, target: str | tuple[str, int]) -> None:
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self.cuts: Callable[[], bool] = lambda: False
        """Asked at each finished INSERT: whether to hang up instead of passing the answer on."""
        self.cut = 0
        """How many connections were cut so."""
        self.is_silent = False
        """Whether nothing is passed on any more, in either direction; what came meanwhile is thrown away."""
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._threads[0].join()
        for thread in self._threads[1:]:
            thread.join()
        self._door.close()

    def hang_up(self) -> None:
        """Hang up on all, for good."""
        self._stopping = True

    def _accept(self) -> None:
        while not self._stopping:
            if not select.select([self._door], [], [], 0.05)[0]:
                continue
            client, _ = self._door.accept()
            relay = threading.Thread(target=self._relay, args=(client,))
            self._threads.append(relay)
            relay.start()

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), dial(self._target) as server:
            while not self._stopping:
                for ready in select.select([client, server], [], [], 0.05)[0]:
                    data = ready.recv(1 << 16)
                    if not data or not self._pass(
                        data, client if ready is server else server, from_server=ready is server
                    ):
                        return

    def _pass(self, data: bytes, to: socket.socket, *, from_server: bool) -> bool:
        """Pass data on; tell whether the connection goes on."""
        if self.is_silent:
            return True
        if from_server and _STORED in data and self.cuts():
            self.cut += 1
            return False
        to.sendall(data)
        return True
