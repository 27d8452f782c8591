"""Starts what the service consists of, restarts what dies, and stops all of it in order.

Order of the start: hold DATA_DIR, take the port, start the receivers (they import meanwhile; the first one runs
already, see `ahead`), bring up the database, tell the receivers, start the work process once the first one answers.
Order of the end: receivers, work, database.
"""

import json
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from app.accounts.kept import FILE_NAME
from app.config import ConfigError, Settings
from app.crypto import WrongKeyError
from app.server import ahead
from app.server.holding import HeldError, hold
from app.server.measuring import MeasuresFolder
from app.server.ports import PortError, open_socket
from app.server.processes import Child, end_in_time
from app.server.speech import CANNOT_START, StartError, refuse, speaker
from app.storage.embedded_program import EmbeddedError

if TYPE_CHECKING:
    from app.storage.embedded import Server

STOP_WITHIN_S = 10.0

_LOOK_EVERY_S = 0.1
_LOOK_AT_DATABASE_EVERY_S = 1.0


class _Stopped(BaseException):
    """A signal asked for the end."""


def supervise(settings: Settings, *, receivers: int, with_work: bool) -> int:
    """Run the service until SIGTERM or SIGINT and return the exit status: 0, or 2 where it could not start."""
    say = speaker(settings)
    supervisor = Supervisor(settings, say)
    ends = [number for number in ahead.ENDS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if not supervisor.is_stopping:  # a second one, at once after the first, must not break into the end
            supervisor.is_stopping = True
            logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it warns of what is broken off in the database
            raise _Stopped

    sys.unraisablehook = _say_what_was_lost
    for number in ends:
        signal.signal(number, on_signal)
    try:
        supervisor.start(receivers, with_work=with_work)
        supervisor.watch()
    except _Stopped:
        return 0
    except (ConfigError, HeldError, PortError, WrongKeyError, EmbeddedError, StartError) as error:
        refuse(settings, error)
        return CANNOT_START
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_IGN)  # the end is under way
        supervisor.stop()
    return 0


def _say_what_was_lost(lost: "sys.UnraisableHookArgs") -> None:
    """Say which exception could not be raised, as in a destructor; of a signal's `is_stopping` tells."""
    if lost.exc_type is not _Stopped:
        sys.__unraisablehook__(lost)


class Supervisor:
    """What runs, in the order in which it ends."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._measures: MeasuresFolder | None = None
        self._children: list[Child] = []
        if begun := ahead.take():
            self._measures = begun.measures
            self._children = [begun.receiver]
        self._database: Server | None = None
        self._line = b""
        self._holding: int | None = None
        self._listening: socket.socket | None = None
        self._is_ready = -1
        self._work_waits = False
        self._trouble: str | None = None
        self.is_stopping = False
        """Set by a signal, whose exception is lost where it meets a destructor or a library that catches all."""

    def start(self, receivers: int, *, with_work: bool) -> None:
        """Start everything and return once the first receiver answers.

        Raises:
            ConfigError, HeldError, PortError, WrongKeyError, EmbeddedError, StartError: it cannot; the text says why.
        """
        settings = self._settings
        if settings.embedded:
            self._holding = hold(settings.data_dir, settings.base_url)
        self._listening = open_socket(settings.host, settings.port)
        ready, self._is_ready = os.pipe()
        environment = self._environment()
        for number in range(len(self._children), receivers):
            self._children.append(Child("receiver", number + 1, environment))
            self._children[-1].start()
        self._line = self._prepare()
        for child in self._children:
            self._tell(child)
        self._await_first_answer(ready)
        if with_work:
            self._children.append(Child("work", 1, environment))
            if not self._work_waits:
                self._children[-1].start()
                self._tell(self._children[-1])
        self._say(f"Callbox is ready at {settings.base_url} (Ctrl-C ends it)")

    def watch(self) -> None:
        """Restart what dies, until a signal asks for the end."""
        from app.log import configure_logging  # noqa: PLC0415 - the first to log; the start does without

        configure_logging(self._settings)
        look_at_database = time.monotonic()
        while not self.is_stopping:
            time.sleep(_LOOK_EVERY_S)
            for child in self._children:
                self._mend(child)
            if time.monotonic() >= look_at_database:
                look_at_database = time.monotonic() + _LOOK_AT_DATABASE_EVERY_S
                if self._work_waits:
                    self._prepare_later()
                self._mend_database()

    def stop(self) -> None:
        """End everything: the receivers first, who answer what waits, then work, then the database."""
        until = time.monotonic() + STOP_WITHIN_S
        if self._listening is not None:
            self._listening.close()
        for role in ("receiver", "work"):
            end_in_time([child for child in self._children if child.role == role], until - time.monotonic())
        if self._database is not None:
            self._database.stop()
        if self._holding is not None:
            os.close(self._holding)
        if self._measures is not None:
            self._measures.remove()

    def _environment(self) -> dict[str, str]:
        """Return the environment of the children: ours, and the folder where they share their measures."""
        if self._measures is None:
            try:
                self._measures = MeasuresFolder()
            except OSError as error:
                told = f"{error.filename}: {error.strerror}"
                raise StartError(f"no folder for the measures can be made: {told}") from error
        return self._measures.environment()

    def _tell(self, child: Child) -> None:
        """Tell a child what to work with; a receiver gets the socket, and where to say that it answers."""
        if child.role == "receiver" and self._listening is not None:
            child.tell(self._line, [self._listening.fileno(), self._is_ready])
        else:
            child.tell(self._line)

    def _prepare(self) -> bytes:
        """Bring up the database and return the line for the children: the settings with nothing left open in them."""
        settings = self._settings
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        else:
            from app.storage import embedded  # noqa: PLC0415 - not needed with DATABASE_URL

            self._database = embedded.start(settings.data_dir, say=self._say)
            url = self._database.url
        from app.server.preparing import prepare  # noqa: PLC0415 - heavy, and the database starts before
        from app.storage.database import UnreachableError  # noqa: PLC0415

        try:
            return self._line_for(url, prepare(url, settings, self._say))
        except UnreachableError as error:
            if settings.encryption_key is None or not (settings.spool_path / FILE_NAME).exists():
                raise StartError(str(error)) from error
            self._work_waits = True
            self._say(f"{error}. Callbacks are kept in {settings.spool_path} until it answers.")
            return self._line_for(url, settings.encryption_key.get_secret_value())

    def _prepare_later(self) -> None:
        """Try again to make the database ready that did not answer at the start; then let the work process begin."""
        from app.server.preparing import prepare  # noqa: PLC0415 - as above
        from app.storage.database import UnreachableError  # noqa: PLC0415

        url = json.loads(self._line)["database_url"]
        try:
            prepare(url, self._settings, self._say)
        except UnreachableError:
            return
        except (ConfigError, WrongKeyError, StartError) as error:
            refuse(self._settings, error)
            return
        self._work_waits = False
        self._say("The database answers.")
        for child in self._children:
            if child.role == "work":
                child.start()
                self._tell(child)

    def _line_for(self, url: str, key: str) -> bytes:
        values = self._settings.model_dump(mode="json")
        read_url = self._settings.database_read_url
        values |= {
            "database_url": url,
            "database_read_url": read_url.get_secret_value() if read_url else None,
            "encryption_key": key,
        }
        return json.dumps(values).encode()

    def _await_first_answer(self, ready: int) -> None:
        """Wait until a receiver answers, or fail when one ends before."""
        while not select.select([ready], [], [], _LOOK_EVERY_S)[0]:
            if self.is_stopping:
                raise _Stopped
            if any(child.ended() is not None for child in self._children):
                raise StartError("a receiver ended while it started; what it said stands above")

    def _mend(self, child: Child) -> None:
        pid = child.pid
        status = child.ended()
        if status is not None and pid is not None:
            import structlog  # noqa: PLC0415 - as above

            from app import metrics  # noqa: PLC0415

            metrics.forget_process(pid)
            structlog.get_logger(__name__).warning("process.died", process=child.name, status=status)
        if child.is_due():
            child.start()
            self._tell(child)

    def _mend_database(self) -> None:
        """Start the embedded server again if somebody ended it; give the children its address if that changed."""
        if self._database is None or self._database.is_up():
            return
        import structlog  # noqa: PLC0415 - as above

        from app.storage import embedded  # noqa: PLC0415

        if self._trouble is None:
            structlog.get_logger(__name__).warning("database.died")
        before = self._database
        try:
            self._database = embedded.start(self._settings.data_dir, say=self._say)
        except EmbeddedError as error:
            if str(error) != self._trouble:  # once, for it is tried again every second
                refuse(self._settings, error)
            self._trouble = str(error)
            return
        self._trouble = None
        if self._database.url != before.url:
            self._line = json.dumps(json.loads(self._line) | {"database_url": self._database.url}).encode()
            for child in self._children:
                child.signal(signal.SIGTERM)
