"""The whole application, or another, on a port, in a thread of the test process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from app.config import load_settings
from app.main import create_app


@contextmanager
def served_whole(database_url: str, encryption_key: str, folder: Path) -> Iterator[str]:
    """Serve everything but the work over a database, and give its URL."""
    app = create_app(load_settings(database_url=database_url, encryption_key=encryption_key, data_dir=folder))
    with on_a_port(app) as url:
        yield url


@contextmanager
def on_a_port(app: Any) -> Iterator[str]:
    """Serve an application and give its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()
