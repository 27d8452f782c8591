"""Starts a double, any ASGI application, on a free port of this machine, and stops it again.

What the double plays is its own module's.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

_START_SECONDS = 60.0


@dataclass(frozen=True)
class Served:
    """A double that is running."""

    url: str
    port: int


@contextmanager
def serve(app: ASGIApp, port: int = 0) -> Iterator[Served]:
    """Serve `app` from a thread with its own loop while the context lasts; port 0 is a free one.

    It listens before the context is entered, so the first call never comes too early.
    """
    listener = _listen(port)
    bound = listener.getsockname()[1]
    server = _Server(app)
    thread = threading.Thread(target=server.run_on, args=(listener,), name=f"double-{bound}", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(_START_SECONDS) or not server.started:
            raise RuntimeError("the double did not start")
        yield Served(f"http://127.0.0.1:{bound}", bound)
    finally:
        server.should_exit = True
        thread.join(_START_SECONDS)
        listener.close()


def run(app: ASGIApp, port: int) -> None:
    """Serve `app` in the foreground until interrupted; for `python -m tests.doubles.<name> --port N`."""
    listener = _listen(port)
    server = _Server(app)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201 - who started it waits for this line
    server.run_on(listener)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


class _Server(uvicorn.Server):
    """uvicorn that says when it has started, or ended without."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1)
        )
        self.ready = threading.Event()

    def run_on(self, listener: socket.socket) -> None:
        try:
            self.run(sockets=[listener])
        finally:
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
