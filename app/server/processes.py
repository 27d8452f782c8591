"""Starts, watches and ends a child process of the supervisor.

What a child does stands in `child`; when one is started or ended is decided in `supervisor`.
"""

import array
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 30.0


class Child:
    """A child process that is started again when it dies, later each time it dies early.

    Its standard input is a socket from us: one line tells it what to work with, with the handles that belong to it,
    and its end tells it that we are gone, however that came about. So no child outlives its supervisor, no secret
    stands among its arguments, and it can be started before there is anything to tell.
    """

    def __init__(self, role: str, number: int, environment: Mapping[str, str]) -> None:
        self.role = role
        self.name = f"{role} {number}"
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._started_at = 0.0
        self._pause = _FIRST_PAUSE_S
        self._again_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id, None while it is not running."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it. It waits for `tell`, but imports what it needs meanwhile."""
        self._line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "app.server.child", self.role],
                stdin=theirs.fileno(),
                env=self._environment,
                process_group=0,  # a terminal's Ctrl-C is for the supervisor, who ends all in order
            )
        self._started_at = time.monotonic()
        self._again_at = None

    def tell(self, line: bytes, handles: Sequence[int] = ()) -> None:
        """Send the one line that it waits for, and handles of ours that become its own."""
        if self._line is None:
            return
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", handles))] if handles else []
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died; `ended` will tell
            sent = self._line.sendmsg([line + b"\n"], passed)
            self._line.sendall((line + b"\n")[sent:])

    def ended(self) -> int | None:
        """Return the exit status once after it has ended (negative: the signal), and plan its next start."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        self._forget()
        if time.monotonic() - self._started_at > _STEADY_S:
            self._pause = _FIRST_PAUSE_S
        self._again_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
        return status

    def is_due(self) -> bool:
        """Tell whether it is time to start it again."""
        return self._again_at is not None and time.monotonic() >= self._again_at

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal if it runs."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end; return whether it has ended."""
        try:
            if self._process is not None:
                self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            return False
        self._forget()
        return True

    def _forget(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        self._process = None


def end_in_time(children: Sequence[Child], seconds: float) -> None:
    """Ask children to end, all at once, and kill those that are not gone after `seconds`."""
    until = time.monotonic() + seconds
    for child in children:
        child.signal(signal.SIGTERM)
    for child in children:
        if not child.wait(until - time.monotonic()):
            child.signal(signal.SIGKILL)
            child.wait(5)
