"""Is what a child process of the supervisor runs: a receiver, or the work process.

`python -m app.server.child ROLE [HANDLE...]` is no command for people: it waits on its standard input for the line
that `supervisor` sends.
"""

import gc
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import Any

END_WITHIN_S = 10.0
GRACEFUL_S = 9
KEEP_ALIVE_S = 65
MOST_HANDLES = 16384
_STDIN = 0


def main(role: str, handles: list[int]) -> None:
    """Import what the role needs, wait for the line, do the work."""
    {"receiver": receive, "work": work}[role](handles)


def receive(handles: list[int]) -> None:
    """Answer requests on the inherited socket until SIGTERM; write to the second handle once they are answered."""
    gc.disable()  # to collect while so much is imported would cost a fifth of the start
    import uvicorn  # noqa: PLC0415 - imported before the line comes, while the database starts

    from app.main import create_app  # noqa: PLC0415
    from app.server.bounds import BoundedProtocol  # noqa: PLC0415

    listening, ready = handles
    _take_more_handles()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            app.on_complete(_collect_from_now_on)
            os.write(ready, b".")

    app = create_app(_settings())
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would print the token
        proxy_headers=False,  # the receiver knows whom to believe
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_S,
    )
    Server(config).run(sockets=[socket.socket(fileno=listening)])


def _collect_from_now_on() -> None:
    """Leave what was imported alone, which stays anyway."""
    gc.freeze()
    gc.enable()


def _take_more_handles() -> None:
    """Raise the bound of open connections to what the system lets us have, as far as it is of use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_HANDLES if hard == resource.RLIM_INFINITY else min(MOST_HANDLES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def work(handles: list[int]) -> None:  # noqa: ARG001 - all roles are called alike
    """Process deliveries until SIGTERM."""
    from app.server.working import run_work  # noqa: PLC0415 - as above

    run_work(_settings())


def _settings() -> Any:
    """Return the settings out of the line on standard input, and end with the supervisor from now on."""
    from app.config import Settings  # noqa: PLC0415
    from app.log import configure_logging  # noqa: PLC0415

    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(_STDIN, 1 << 16)
        if not piece:  # the supervisor ended before it came to it
            sys.exit(0)
        line += piece
    settings = Settings(**json.loads(line))
    configure_logging(settings)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return settings


def _end_with_supervisor() -> None:
    """Wait for the end of the supervisor, then end gracefully, and in any case."""
    while os.read(_STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_WITHIN_S)
    os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(sys.argv[1], [int(word) for word in sys.argv[2:]])
