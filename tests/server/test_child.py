"""What a receiver's server tells the application that it runs."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, cast

import pytest

from app.main import Callbox
from app.server.child import server_of

GET = b"GET /%s HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 198.51.100.1\r\n\r\n"
PATIENCE_S = 60


class App:
    """Takes note, at each request, of whether another may come on the connections there are; holds up `/held`."""

    def __init__(self) -> None:
        self.may_more_come: Callable[[], bool] = lambda: pytest.fail("nobody told it")
        self.told: list[bool] = []
        self.released = asyncio.Event()

    def on_complete(self, callback: Callable[[], None]) -> None:
        pass

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        assert scope["client"][0] == "127.0.0.1", "whom to believe is the receiver's business"
        self.told.append(self.may_more_come())
        if scope["path"] == "/held":
            await self.released.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: bytes) -> None:
    writer.write(GET % path)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 204")
    assert b"server:" not in head.lower()


def test_the_application_knows_whether_a_connection_is_free() -> None:
    async def act() -> list[bool]:
        app = App()
        ready = asyncio.Event()
        server = server_of(cast("Callbox", app), ready.set)
        server.capture_signals = nullcontext  # type: ignore[assignment]  # the signals are pytest's
        with socket.create_server(("127.0.0.1", 0)) as listening:
            running = asyncio.create_task(server.serve([listening]))
            await ready.wait()
            one = await asyncio.open_connection(*listening.getsockname())
            await ask(*one, b"alone")
            other = await asyncio.open_connection(*listening.getsockname())
            await ask(*other, b"beside-an-idle-one")
            held = asyncio.create_task(ask(*one, b"held"))
            while len(app.told) < 3:  # noqa: ASYNC110 - it comes by the server
                await asyncio.sleep(0.01)
            await ask(*other, b"beside-a-busy-one")
            app.released.set()
            await held
            for _, writer in (one, other):
                writer.close()
            server.should_exit = True
            await running
        return app.told

    async def bounded() -> list[bool]:
        async with asyncio.timeout(PATIENCE_S):
            return await act()

    assert asyncio.run(bounded()) == [False, True, True, False]
