"""Start, adopt, find and stop the PostgreSQL server that lives in DATA_DIR, where no DATABASE_URL is set.

Its files are `embedded_folder`'s, its programs `embedded_program`'s, and the locks by which processes do not collide
`embedded_locks`'; migrating, connecting and who may serve are left to others.
"""

import fcntl
import os
import signal
import socket
import struct
import sys
import time
import weakref
from pathlib import Path
from urllib.parse import quote

from app.storage.embedded_folder import (
    NAME,
    SOCKET_NAME,
    Folder,
    check_database,
    create_database,
    explain,
    explain_output,
    open_folder,
    open_log,
    open_socket_folder,
    remove_socket_folder,
    write_settings,
)
from app.storage.embedded_locks import POLL_SECONDS, Say, Waiting, open_lock, starting, take_running, try_lock
from app.storage.embedded_program import EmbeddedError, find_programs, run_as

__all__ = ["EmbeddedError", "Server", "find_running", "start"]

_GRACE_SECONDS = 30.0
_KILL_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
# The lines of postmaster.pid that we read (PostgreSQL's miscadmin.h, LOCK_FILE_LINE_*, counted from 0 here).
_PID, _PORT, _SOCKET_FOLDER, _STATUS = 0, 3, 4, 7
# PostgreSQL's protocol 3.0, chapters "Message Formats" and "Error Codes".
_PROTOCOL = 3 << 16
_READY_FOR_QUERY = b"Z\0\0\0\x05"
_TERMINATE = b"X\0\0\0\x04"
_CANNOT_CONNECT_NOW = b"\0C57P03\0"


def _to_stderr(text: str) -> None:
    sys.stderr.write(f"{text}\n")


class Server:
    """A running server that this process uses; `url` is what psycopg and libpq connect to (never TCP).

    One that is forgotten without `stop` no longer counts as a user, but goes on running.
    """

    def __init__(self, url: str, pid: int, folder: Folder, using: int) -> None:
        self.url = url
        self.pid = pid
        self._folder = folder
        self._using = using
        self._let_go = weakref.finalize(self, os.close, using)

    def __repr__(self) -> str:
        return f"Server(url={self.url!r}, pid={self.pid})"

    def is_up(self) -> bool:
        """Say whether the server runs, be it that it recovers just now; costs next to nothing."""
        try:
            lock = take_running(self._folder)
        except OSError:  # the folder is gone
            return False
        if lock is not None:
            os.close(lock)
        return lock is None

    def stop(self, *, timeout_seconds: float = _GRACE_SECONDS) -> None:
        """Stop the server and wait for its end, unless another process that called `start` still uses it.

        Open transactions are rolled back. After `timeout_seconds` it is ended at once: nothing durable is lost by that,
        only the next start takes longer. To call it again does nothing.
        """
        if not self._let_go.alive:
            return
        try:
            with starting(self._folder, _to_stderr):
                if try_lock(self._using):
                    _end(self._folder, timeout_seconds)
        finally:
            self._let_go()


def start(data_dir: Path, *, say: Say = _to_stderr, durable: bool = True) -> Server:
    """Return a server on the database in `data_dir` that takes connections; make, start or adopt it as needed.

    Waits for recovery after an unclean end for as long as that takes. `say` gets sentences for the user when something
    takes time. `durable=False` is for tests: a power cut may then destroy the database.
    Raises EmbeddedError with the reason and the setting to change.
    """
    try:
        folder = open_folder(data_dir)
        with starting(folder, say):
            using = open_lock(folder, "using")
            try:
                fcntl.flock(using, fcntl.LOCK_SH)
                url, pid = _bring_up(folder, say, durable=durable)
            except BaseException:  # a signal, too: what was begun must not go on alone
                try:
                    if try_lock(using):
                        _end(folder, _GRACE_SECONDS)
                finally:
                    os.close(using)
                raise
            return Server(url, pid, folder, using)
    except OSError as error:
        raise EmbeddedError(explain(error, data_dir)) from error


def find_running(data_dir: Path) -> str | None:
    """Return the URL of the server that runs on `data_dir`, or None; starts and makes nothing."""
    found = _read_running(data_dir.resolve() / "postgres" / "data")
    return found[0] if found else None


def _read_running(data: Path) -> tuple[str, int] | None:
    """Return URL and process id of the server on `data` if it says that it is ready and takes connections."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        if len(lines) <= _STATUS or lines[_STATUS].strip() != "ready":
            return None
        if not _takes_connections(f"{lines[_SOCKET_FOLDER]}/.s.PGSQL.{lines[_PORT]}"):
            return None
    except (OSError, UnicodeDecodeError):
        return None
    host = quote(lines[_SOCKET_FOLDER])
    return f"postgresql://{NAME}@/{NAME}?host={host}&port={lines[_PORT]}", int(lines[_PID])


def _takes_connections(path: str) -> bool:
    """Say whether the server behind the socket lets in, or could but for being full; raise OSError if none is there.

    Its pid file goes on saying "ready" while it recovers from the crash of one of its processes.
    """
    greeting = f"user\0{NAME}\0database\0{NAME}\0\0".encode()
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(_ANSWER_SECONDS)
        door.connect(path)
        door.sendall(struct.pack("!ii", 8 + len(greeting), _PROTOCOL) + greeting)
        answer = b""
        while _READY_FOR_QUERY not in answer and (more := door.recv(4096)):
            answer += more
        if _READY_FOR_QUERY in answer:
            door.sendall(_TERMINATE)
    return bool(answer) and _CANNOT_CONNECT_NOW not in answer


def _bring_up(folder: Folder, say: Say, *, durable: bool) -> tuple[str, int]:
    """Return URL and process id of a server that takes connections; to be called by one process at a time."""
    wait = Waiting(say, "A database server of an earlier run is still busy; waiting for it")
    while not (found := _read_running(folder.data)):
        lock = take_running(folder)
        if lock is not None:
            break
        wait.a_little()
    else:
        return found
    try:
        programs = find_programs(folder.account, folder.place)
        if not folder.data.exists():
            say(f"Making the database in {folder.root} (once; takes a few seconds).")
            create_database(folder, programs, lock, durable=durable)
        check_database(folder)
        log_begin = _launch(folder, programs, lock, durable=durable)
    finally:
        os.close(lock)
    return _await_ready(folder, say, log_begin)


def _launch(folder: Folder, programs: Path, lock: int, *, durable: bool) -> int:
    """Start the server in the background and return where in its log this start begins.

    A shell in between makes it nobody's child: it outlives us and is reaped whoever ends first. The server keeps the
    open file `lock`. While we hold it no server runs, so that the files by which PostgreSQL knows of one are a dead
    one's; it would believe them where that process id is another's now, or a zombie's (containers without an init).
    """
    sockets = open_socket_folder(folder)
    write_settings(folder, sockets, durable=durable)
    folder.pid_file.unlink(missing_ok=True)
    (sockets / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
    log = open_log(folder)
    with open(log, "ab") as output:  # noqa: PTH123  an open file
        begin = os.fstat(log).st_size
        command: list[str | Path] = ["/bin/sh", "-c", '"$@" &', "sh", programs / "postgres", "-D", folder.data]
        command += ["-c", f"config_file={folder.settings}"]
        run_as(folder.account, command, output=output, keep=[lock])
    return begin


def _await_ready(folder: Folder, say: Say, log_begin: int) -> tuple[str, int]:
    """Return URL and process id once the server takes connections; raise EmbeddedError when it ends instead."""
    wait = Waiting(say, "The database is starting; after an unclean end it recovers first")
    while True:
        # Asked in this order: a server that ended before the second question was not up at the first.
        lock = take_running(folder)
        if lock is not None:
            os.close(lock)
            with folder.log.open("rb") as log:
                log.seek(log_begin)
                raise EmbeddedError(explain_output(folder, log.read(1 << 20).decode(errors="replace")))
        if found := _read_running(folder.data):
            return found
        wait.a_little()


def _end(folder: Folder, timeout_seconds: float) -> None:
    """End the server, first with grace, and wait until nothing of it is left.

    One that recovers is ended at once: PostgreSQL 18 that is asked with grace then may never end (tried), and the next
    start recovers all the same.
    """
    with_grace = timeout_seconds if _read_running(folder.data) else 0.0
    for how, seconds in ((signal.SIGINT, with_grace), (signal.SIGQUIT, _KILL_SECONDS)):
        began = time.monotonic()
        signalled = False
        while (lock := take_running(folder)) is None and time.monotonic() - began < seconds:
            if not signalled:
                signalled = _signal(folder, how)
            time.sleep(POLL_SECONDS)
        if lock is not None:
            remove_socket_folder(folder)
            os.close(lock)
            return


def _signal(folder: Folder, how: signal.Signals) -> bool:
    """Send a signal to the server that its pid file names, and say whether there was one."""
    try:
        os.kill(int(folder.pid_file.read_text().splitlines()[_PID]), how)
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return False
    return True
