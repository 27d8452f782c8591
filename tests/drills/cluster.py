"""A PostgreSQL with a synchronous standby, of the embedded server's programs, on ports of this machine."""

import os
import signal
import subprocess
from pathlib import Path

import psycopg

from app.storage.embedded_program import Account, find_account, find_programs, run_as
from tests.drills.proxy import Proxy
from tests.ports import free_port
from tests.server.test_supervisor import lives, until

USER = "callbox"
STANDBY = "standby"


class Member:
    """One of the two servers."""

    def __init__(self, data: Path, programs: Path, account: Account | None) -> None:
        self.data = data
        self.port = free_port()
        self._programs = programs
        self._account = account

    @property
    def url(self) -> str:
        """Return the URL of this server alone."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{USER}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the user who may."""
        ended = run_as(self._account, [self._programs / program, *arguments])
        assert ended.returncode == 0, ended.stdout

    def configure(self, **settings: str | int) -> None:
        """Add settings, for the next start."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.configure(port=self.port, listen_addresses="127.0.0.1", unix_socket_directories="", fsync="off")
        self.run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", str(self.data.with_suffix(".log")))

    def promote(self) -> None:
        """Make a standby the primary."""
        self.run("pg_ctl", "promote", "-w", "-D", str(self.data))

    def kill(self) -> None:
        """Kill the server and all its processes at once, and wait for their end; where it does not run, do nothing."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        postmaster = int(pid_file.read_text().split()[0])
        listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True)  # noqa: S607
        pairs = [line.split() for line in listed.stdout.splitlines()[1:]]
        family = [postmaster, *(int(pid) for pid, parent in pairs if int(parent) == postmaster)]
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(lives, family)), "the end of the server")
        pid_file.unlink()

    def execute(self, *statements: str) -> None:
        """Execute statements on it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


class Cluster:
    """A primary and its synchronous standby, with a line between them that can be spoiled."""

    def __init__(self, folder: Path) -> None:
        account = find_account(folder / "primary")
        programs = find_programs(account, folder)
        if account:
            os.chown(folder, account.uid, account.gid)
        self.primary = Member(folder / "primary", programs, account)
        self.standby = Member(folder / STANDBY, programs, account)
        self.primary.run("initdb", "-D", str(self.primary.data), "-U", USER, "--auth=trust", "-E", "UTF8", "--no-sync")
        self.primary.start()
        with psycopg.connect(f"postgresql://{USER}@127.0.0.1:{self.primary.port}/postgres", autocommit=True) as new:
            new.execute(f"CREATE DATABASE {USER}")
        self.line = Proxy(("127.0.0.1", self.primary.port))

    @property
    def url(self) -> str:
        """Return the URL that names both servers and asks for the one that takes rows."""
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in (self.primary, self.standby))
        return f"postgresql://{USER}@{hosts}/{USER}?target_session_attrs=read-write"

    def join_standby(self) -> None:
        """Copy the primary, start the copy as its standby, and let every commit wait for it."""
        origin = f"host=127.0.0.1 port={self.line.port} user={USER} application_name={STANDBY}"
        self.primary.run(
            "pg_basebackup", "-D", str(self.standby.data), "-R", "-X", "stream", "-c", "fast", "-d", origin
        )
        self.standby.start()
        self.primary.execute(
            f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'",
            "SELECT pg_reload_conf()",
        )
        until(self._is_synchronous, "a synchronous standby")

    def _is_synchronous(self) -> bool:
        with psycopg.connect(self.primary.url) as connection:
            row = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone()
        return row == ("sync",)

    def end_what_waits(self) -> None:
        """Hang up on all whose commit waits for the standby: the primary then shows what they committed."""
        self.primary.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")

    def stop(self) -> None:
        """End what still runs."""
        for member in (self.primary, self.standby):
            member.kill()
