"""Starts, watches and ends a child process of the supervisor.

What a child does stands in `child`; when one is started or ended is decided in `supervisor`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_STEADY_S = 30.0


class Child:
    """A child process that is started again when it dies, later each time it dies early.

    Its standard input is a pipe from us: one line tells it what to work with, and its end tells it that we are gone,
    however that came about. So no child outlives its supervisor, and no secret stands among its arguments.
    """

    def __init__(self, role: str, number: int, environment: Mapping[str, str], inherited: Sequence[int]) -> None:
        self.role = role
        self.name = f"{role} {number}"
        self._environment = dict(environment)
        self._inherited = tuple(inherited)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause = _FIRST_PAUSE_S
        self._again_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Return the process id, None while it is not running."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it. It waits for `tell`, but imports what it needs meanwhile."""
        arguments = [str(handle) for handle in self._inherited]
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "app.server.child", self.role, *arguments],
            stdin=subprocess.PIPE,
            env=self._environment,
            pass_fds=self._inherited,
            process_group=0,  # a terminal's Ctrl-C is for the supervisor, who ends all in order
        )
        self._started_at = time.monotonic()
        self._again_at = None

    def tell(self, line: bytes) -> None:
        """Send the one line that it waits for."""
        pipe = self._process and self._process.stdin
        if pipe:
            with contextlib.suppress(BrokenPipeError):  # it died; `ended` will tell
                pipe.write(line + b"\n")
                pipe.flush()

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
        if self._process is None:
            return True
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            return False
        self._forget()
        return True

    def _forget(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
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
