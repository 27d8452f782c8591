"""Keep the embedded database's files inside DATA_DIR: who may reach them, its settings, and how it is first made.

Starting and stopping the server on them is left to `embedded`.
"""

import errno
import os
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.storage.embedded_program import (
    MAJOR,
    Account,
    EmbeddedError,
    find_account,
    find_closed,
    find_name,
    own_name,
    run_as,
)

NAME = "callbox"
PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
# The kernel takes 107 bytes for the path of a socket, macOS 103.
_LONGEST_SOCKET = 103
# Commas and quotes mean something in PostgreSQL's settings and in connection strings.
_PLAIN = re.compile(r"/[A-Za-z0-9_./-]+")
_LOG_BOUND = 5_000_000
# Each new piece of the write-ahead log is filled with zeros before it is used, and every commit waits for that: with
# PostgreSQL's 16 MB 50 ms long, every few seconds, until the first ones are used again.
_LOG_PIECE_MB = 1
# What PostgreSQL does not hold itself it has read again, from the system if that still has it, else from the disk.
_MEMORY_SHARE = 4
_LEAST_BUFFERS_MB, _MOST_BUFFERS_MB = 128, 8192
_MEMORY_BOUNDS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_BLOCK = 4 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TELLING = re.compile(r"(?:FATAL|PANIC|ERROR|error):\s+(.*)")
_CHOOSE = "set CALLBOX_DATA_DIR to a folder"


@dataclass(frozen=True)
class Folder:
    """The places of the embedded database below DATA_DIR (`root`), and the user who runs the server if not we."""

    root: Path
    account: Account | None

    @property
    def place(self) -> Path:
        """All that is the embedded server's, but for its log; belongs to us, not to the server's user."""
        return self.root / "postgres"

    @property
    def data(self) -> Path:
        """The database itself; it exists only once it is whole."""
        return self.place / "data"

    @property
    def pid_file(self) -> Path:
        """Where the server says how it is doing."""
        return self.data / "postmaster.pid"

    @property
    def log(self) -> Path:
        """Where the server writes what happens to it; statements and values do not stand there."""
        return self.root / "postgres.log"

    @property
    def settings(self) -> Path:
        """The server's settings, written by us at each start."""
        return self.place / "postgresql.conf"


def open_folder(data_dir: Path) -> Folder:
    """Make what is missing of the folders below `data_dir`, and check that we and the server's user reach them.

    Raises EmbeddedError, or OSError for what `explain` turns into a sentence.
    """
    name = own_name()
    root = Path(os.path.abspath(data_dir)).resolve()  # noqa: PTH100  resolve() alone fails in a folder that is gone
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Folder(root, None)
    folder.place.mkdir(mode=0o700, exist_ok=True)
    owner = folder.place.stat().st_uid
    if owner != os.geteuid():
        message = f"CALLBOX_DATA_DIR is {root}, and the database in it belongs to `{find_name(owner) or owner}`"
        raise EmbeddedError(f"{message}, not to `{name}`: run Callbox as that user, or {_CHOOSE} of your own.")
    account = find_account(folder.data)
    if account:
        _let_in(account, root)
        _let_in(account, folder.place)
    return Folder(root, account)


def _let_in(account: Account, folder: Path) -> None:
    """See to it that `account` can enter `folder`; of permissions, only that one folder's is ever changed."""
    closed = find_closed(account, folder)
    state = folder.stat()
    if closed == folder and state.st_uid == os.geteuid() and not state.st_mode & 0o070:
        os.chown(folder, -1, account.gid)
        folder.chmod(state.st_mode & 0o707 | 0o010)
        closed = find_closed(account, folder)
    if closed:
        message = f"CALLBOX_DATA_DIR is {folder}, and as root Callbox runs PostgreSQL as the user `{account.name}`"
        message = f"{message}, who may not enter {closed}"
        raise EmbeddedError(f"{message}: {_CHOOSE} that everybody can reach, as in CALLBOX_DATA_DIR=/var/lib/callbox.")


def explain(error: OSError, data_dir: Path) -> str:
    """Return the sentence for a user whose DATA_DIR made `error`."""
    where = f"CALLBOX_DATA_DIR is {data_dir.absolute()}, and the database cannot be kept there"
    reason = os.strerror(errno.ENOTDIR if error.errno == errno.EEXIST else error.errno) if error.errno else str(error)
    at = f" ({error.filename})" if error.filename else ""
    if error.errno in _FULL:
        return f"{where}: the disk is full. Make room, or {_CHOOSE} on another disk."
    return f"{where}: {reason}{at}. Make it writable for the user `{own_name()}`, or {_CHOOSE} that is."


def explain_output(folder: Folder, output: str) -> str:
    """Return the sentence for a user whose database program ended after saying `output`."""
    told = _TELLING.findall(output) or output.strip().splitlines()[-1:]
    room = os.statvfs(folder.root)
    if os.strerror(errno.ENOSPC) in output or room.f_bavail * room.f_frsize < _BLOCK:
        return explain(OSError(errno.ENOSPC, ""), folder.root)
    reason = "; ".join(dict.fromkeys(told)) or "it said nothing"
    return f"The database in CALLBOX_DATA_DIR ({folder.root}) does not start: {reason}. More may stand in {folder.log}."


def open_log(folder: Folder) -> int:
    """Open the server's log for appending, after putting one aside that has grown big; returns the open file."""
    with suppress(FileNotFoundError):
        if folder.log.stat().st_size > _LOG_BOUND:
            folder.log.replace(folder.log.with_suffix(".log.1"))
    return os.open(folder.log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def open_socket_folder(folder: Folder) -> Path:
    """Return the folder for the server's socket, of mode 0700 and the server user's own.

    It is in DATA_DIR where its path is short and plain enough for a socket, else a private one in /tmp, which is
    remembered in DATA_DIR.
    """
    owner = folder.account.uid if folder.account else os.geteuid()
    inside = folder.place / "socket"
    if _PLAIN.fullmatch(str(inside)) and len(str(inside / SOCKET_NAME)) <= _LONGEST_SOCKET:
        inside.mkdir(mode=0o700, exist_ok=True)
        if folder.account:
            os.chown(inside, owner, -1)
        inside.chmod(0o700)
        return inside
    memory = _socket_memory(folder)
    with suppress(OSError):
        remembered = Path(memory.read_text())
        state = remembered.lstat()
        if (state.st_uid, state.st_mode) == (owner, 0o040700):
            return remembered
    made = Path(tempfile.mkdtemp(prefix="callbox-", dir="/tmp"))
    if folder.account:
        os.chown(made, owner, -1)
    _write(memory, str(made), 0o600)
    return made


def remove_socket_folder(folder: Folder) -> None:
    """Remove the socket folder outside DATA_DIR, if there is one and the server is gone."""
    memory = _socket_memory(folder)
    with suppress(OSError):
        Path(memory.read_text()).rmdir()
        memory.unlink()


def _socket_memory(folder: Folder) -> Path:
    return folder.place / "socket-folder"


def write_settings(folder: Folder, sockets: Path, *, durable: bool) -> None:
    """Write the server's settings and who may connect: this user, by the socket, and nobody else."""
    access = f"local all,replication {NAME} peer map={NAME}\n"
    users = f'{NAME} "{own_name()}" {NAME}\n'
    settings = {
        "unix_socket_directories": sockets,
        "unix_socket_permissions": "0700",
        "listen_addresses": "",
        "port": PORT,
        "hba_file": folder.place / "pg_hba.conf",
        "ident_file": folder.place / "pg_ident.conf",
        "max_connections": 100,
        "shared_buffers": f"{buffers_mb(memory_bytes())}MB",
        "max_wal_size": "1GB",
        "min_wal_size": "128MB",
        "wal_compression": "on",
        "timezone": "UTC",
        "lc_messages": "C",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "synchronous_commit": "on",
        "jit": "off",
        "cluster_name": NAME,
        # Personal data must not come into the log: no statements, no values, no errors of statements.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_statement": "none",
        "log_checkpoints": "off",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
    }
    lines = [f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
    about = "# Written by Callbox at each start. ALTER SYSTEM changes a setting for good.\n"
    for path, text in (
        (folder.place / "pg_hba.conf", access),
        (folder.place / "pg_ident.conf", users),
        (folder.settings, about + "".join(lines)),
    ):
        _write(path, text, 0o640 if folder.account else 0o600)
        if folder.account:
            os.chown(path, -1, folder.account.gid)


def buffers_mb(memory_bytes: int) -> int:
    """Return how much of a machine's memory the server keeps its pages in; it takes it as it comes to use it."""
    return min(max(memory_bytes // _MEMORY_SHARE >> 20, _LEAST_BUFFERS_MB), _MOST_BUFFERS_MB)


def memory_bytes() -> int:
    """Return how much memory this machine has, or the container may use."""
    bounds = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _MEMORY_BOUNDS:
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            bounds.append(int(path.read_text()))
    return min(bounds)


def _write(path: Path, text: str, mode: int) -> None:
    """Put `text` into a file at once and whole; where it stands there already, nothing is written."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == text.encode():
            return
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with unfinished.open("xb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text.encode())
    unfinished.replace(path)


def create_database(folder: Folder, programs: Path, lock: int, *, durable: bool) -> None:
    """Make the database in a folder aside and move it to its place when it is whole and on the disk.

    `lock` is the open file by which the programs show that they still run.
    """
    unfinished = folder.place / "data-unfinished"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if folder.account:
        os.chown(unfinished, folder.account.uid, folder.account.gid)
    initdb: list[str | Path] = [
        programs / "initdb",
        "--pgdata",
        unfinished,
        "--username",
        NAME,
        "--encoding=UTF8",
        "--locale=C",
        f"--wal-segsize={_LOG_PIECE_MB}",
    ]
    initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject"]
    single: list[str | Path] = [programs / "postgres", "--single", "-D", unfinished]
    single += ["-c", "exit_on_error=on", "-c", f"fsync={'on' if durable else 'off'}", "template1"]
    steps = ((initdb if durable else [*initdb, "--no-sync"], None), (single, f"CREATE DATABASE {NAME};\n"))
    for command, answer in steps:
        ended = run_as(folder.account, command, answer=answer, keep=[lock])
        if ended.returncode:
            killed = f"error: it was killed (signal {-ended.returncode})" if ended.returncode < 0 else ""
            reason = explain_output(folder, killed or ended.stdout)
            shutil.rmtree(unfinished, ignore_errors=True)
            raise EmbeddedError(reason)
    unfinished.rename(folder.data)
    if durable:
        parent = os.open(folder.place, os.O_RDONLY)
        os.fsync(parent)
        os.close(parent)


def check_database(folder: Folder) -> None:
    """Raise EmbeddedError unless the database is one that our programs can read."""
    try:
        version = (folder.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedError(f"{folder.data} is not a database of PostgreSQL: move it away.") from None
    if version != MAJOR:
        message = f"The database in CALLBOX_DATA_DIR ({folder.root}) was made by PostgreSQL {version}, and this is"
        raise EmbeddedError(f"{message} {MAJOR}: move it over with pg_dump, or {_CHOOSE} of its own.")
