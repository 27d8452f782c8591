"""Keep the processes that start, use or stop the embedded server from colliding, and tell the user what is waited for.

Three locks, all given back by the kernel when their holder dies:

* `starting.lock`: one process at a time starts or stops the server;
* `running.lock`: held by the server's own processes (they inherit the open file), so that it is free exactly when
  nothing of a server is left, whatever a pid file says;
* `using.lock`: shared by all who called `embedded.start`; the last of them stops the server.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.storage.embedded_folder import Folder

POLL_SECONDS = 0.01
_SAY_FIRST_SECONDS = 1.0
_SAY_AGAIN_SECONDS = 10.0

Say = Callable[[str], None]


class Waiting:
    """Tell the user what is waited for: after a second, and again every ten."""

    def __init__(self, say: Say, what: str) -> None:
        self._say = say
        self._what = what
        self._began = time.monotonic()
        self._next = _SAY_FIRST_SECONDS

    def seconds(self) -> float:
        """Return how long it has been."""
        return time.monotonic() - self._began

    def a_little(self) -> None:
        """Sleep until it is worth looking again."""
        if self.seconds() >= self._next:
            self._say(f"{self._what} ({self.seconds():.0f} s).")
            self._next += _SAY_AGAIN_SECONDS
        time.sleep(POLL_SECONDS)


@contextmanager
def starting(folder: Folder, say: Say) -> Iterator[None]:
    """Be the only process that starts or stops the server."""
    lock = open_lock(folder, "starting")
    wait = Waiting(say, "Another Callbox process is starting or stopping the database; waiting for it")
    try:
        while not try_lock(lock):
            wait.a_little()
        yield
    finally:
        os.close(lock)


def take_running(folder: Folder) -> int | None:
    """Return the open file of the lock that says that a server runs, or None when one has it."""
    lock = open_lock(folder, "running")
    if try_lock(lock):
        return lock
    os.close(lock)
    return None


def open_lock(folder: Folder, name: str) -> int:
    """Return the open file of a lock."""
    return os.open(folder.place / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def try_lock(lock: int) -> bool:
    """Take a lock for this process alone, and say whether it was to be had."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
