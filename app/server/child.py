"""Is what a child process of the supervisor runs: a receiver, or the work process.

`python -m app.server.child ROLE` is no command for people: it waits on its standard input, a socket, for the line and
the handles that `supervisor` sends.
"""

import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uvicorn

    from app.main import Callbox

END_WITHIN_S = 10.0
GRACEFUL_S = 9
KEEP_ALIVE_S = 65
MOST_HANDLES = 16384
_SWITCH_S = 0.0005
"""How soon callbacks come in between where another thread computes, as the one that imports the API; usual is 0.005."""

_STDIN = 0
_COLLECTED_AFTER = (20_000, 10, 10)  # with 700 the requests that wait were looked through at every batch
_MOST_HANDLES_PASSED = 2


def main(role: str) -> None:
    """Import what the role needs, wait for the line, do the work."""
    sys.modules["rich"] = None  # type: ignore[assignment]  # structlog would import all of it, for tracebacks not shown
    {"receiver": receive, "work": work}[role]()


def receive() -> None:
    """Answer requests on the socket that comes with the line until SIGTERM; write to the second handle once they are.

    What answers questions is imported from the first idle moment on, which is while the database starts.
    """
    gc.disable()  # to collect while so much is imported would cost a fifth of the start
    import app.server.bounds  # noqa: F401, PLC0415 - imported before the line comes, while the database starts
    from app.main import create_app, import_api  # noqa: PLC0415

    sys.setswitchinterval(_SWITCH_S)
    threading.Thread(target=import_api, name="imports", daemon=True).start()
    _take_more_handles()
    settings, (listening, ready) = _told()
    server = server_of(create_app(settings), lambda: os.write(ready, b"."))
    server.run(sockets=[socket.socket(fileno=listening)])


def server_of(app: "Callbox", on_startup: Callable[[], object]) -> "uvicorn.Server":
    """Return what runs an application, and calls `on_startup` once it answers."""
    import uvicorn  # noqa: PLC0415 - as above

    from app.server.bounds import BoundedProtocol  # noqa: PLC0415

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            app.on_complete(_collect_from_now_on)
            on_startup()

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
    server = Server(config)
    state = server.server_state
    # On one of the connections no request waits for its answer.
    app.may_more_come = lambda: len(state.connections) > len(state.tasks)
    return server


def _collect_from_now_on() -> None:
    """Leave what was imported alone, which stays anyway."""
    gc.freeze()
    gc.set_threshold(*_COLLECTED_AFTER)
    gc.enable()


def _take_more_handles() -> None:
    """Raise the bound of open connections to what the system lets us have, as far as it is of use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_HANDLES if hard == resource.RLIM_INFINITY else min(MOST_HANDLES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def work() -> None:
    """Process deliveries until SIGTERM."""
    from app.server.working import run_work  # noqa: PLC0415 - as above

    settings, _ = _told()
    run_work(settings)


def _told() -> tuple[Any, list[int]]:
    """Return the settings out of the line on standard input and its handles; end with the supervisor from now on."""
    from app.config import Settings  # noqa: PLC0415
    from app.log import configure_logging  # noqa: PLC0415

    line, handles = b"", []
    with socket.socket(fileno=os.dup(_STDIN)) as supervisor:
        while not line.endswith(b"\n"):
            piece, passed, _, _ = socket.recv_fds(supervisor, 1 << 16, _MOST_HANDLES_PASSED)
            if not piece:  # the supervisor ended before it came to it
                os._exit(0)  # without waiting for what is being imported beside
            line += piece
            handles += passed
    settings = Settings(**json.loads(line))
    configure_logging(settings)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return settings, handles


def _end_with_supervisor() -> None:
    """Wait for the end of the supervisor, then end gracefully, and in any case."""
    with contextlib.suppress(ConnectionResetError):
        while os.read(_STDIN, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_WITHIN_S)
    os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(sys.argv[1])
