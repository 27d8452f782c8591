"""`make demo`: the whole circle, with the real service, a database of its own and the doubles."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.doubles import demo, wegroup
from tests.doubles.showing import NotTrueError, check

HOME = Path(__file__).parents[2]


@pytest.mark.process
def test_all_of_it_comes_true() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.doubles.demo"],
        cwd=HOME,
        env=os.environ | {"TMPDIR": "/tmp", "CALLBOX_PORT": "1"},  # noqa: S108 - short, and open to the database's user
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it came true" in done.stdout
    assert "✗" not in done.stdout
    assert done.stdout.count("the submission turned `answered`") == 2


@pytest.mark.process
def test_it_fails_where_nobody_calls_back(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    silent = wegroup.WeGroup()
    silent.settings.calls_back = "never"
    monkeypatch.setattr(wegroup, "WeGroup", lambda: silent)
    monkeypatch.setenv("TMPDIR", "/tmp")  # noqa: S108 - see above
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(demo, "ANSWERED_WITHIN_S", 3.0)
    assert demo.main() == 1
    assert "✗ the submission turned `accepted`" in capsys.readouterr().out


def test_what_does_not_come_true_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    check("one", is_true=True)
    with pytest.raises(NotTrueError):
        check("two", is_true=False)
    assert capsys.readouterr().out == "   ✓ one\n   ✗ two\n"
