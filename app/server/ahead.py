"""Starts the first receiver before anything else is done: what it imports takes longer than the rest of a start.

It waits to be told what to work with, which is `supervisor`'s business, as is its end once it was taken.
"""

import atexit
import os
import signal
from dataclasses import dataclass
from types import FrameType

from app.server.measuring import MeasuresFolder
from app.server.processes import Child, end_in_time

ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that end the service."""

_END_WITHIN_S = 1.0


@dataclass(frozen=True)
class Begun:
    """What runs already, and the folder of the measures that it was started with."""

    receiver: Child
    measures: MeasuresFolder


_begun: list[Begun] = []


def end_at_signals() -> None:
    """Have a signal end it at once and cleanly until the supervisor, who holds more, sees to that."""
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end_at_once)


def _end_at_once(_number: int, _frame: FrameType | None) -> None:
    _end()
    os._exit(0)  # an exception could be lost in what is being imported


def begin() -> None:
    """Start a receiver for the `serve` that follows; where that cannot be, it is left to the supervisor to say why."""
    try:
        measures = MeasuresFolder()
        receiver = Child("receiver", 1, measures.environment())
        _begun.append(Begun(receiver, measures))  # first, for a signal ends what stands there
        receiver.start()
    except OSError:
        _end()
        return
    atexit.register(_end)


def take() -> Begun | None:
    """Return what was begun, to one who ends it."""
    return _begun.pop() if _begun else None


def _end() -> None:
    """End what nobody took, for the command was not understood or the settings are wrong."""
    if begun := take():
        end_in_time([begun.receiver], _END_WITHIN_S)
        begun.measures.remove()
