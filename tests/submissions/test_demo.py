"""`make demo`: the whole circle, with the real service, a database of its own and the doubles."""

import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import httpx2
import pytest

from tests.doubles import demo
from tests.doubles.showing import NotTrueError, Service, check

HOME = Path(__file__).parents[2]


@pytest.mark.process
def test_all_of_it_comes_true() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.doubles.demo"],
        cwd=HOME,
        env=os.environ | {"TMPDIR": "/tmp", "CALLBOX_PORT": "1"},  # noqa: S108 - short, and open to the database's user
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it came true" in done.stdout
    assert "✗" not in done.stdout
    assert done.stdout.count("the submission turned `answered`") == 2


def test_it_fails_where_nobody_calls_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A service that starts no process and knows one submission, which nobody ever answers."""
    silent = httpx2.Response(200, json={"state": "accepted", "time_to_answer_seconds": None})
    monkeypatch.setattr(Service, "running", lambda _: nullcontext())
    monkeypatch.setattr(Service, "ask", lambda *_: silent)
    monkeypatch.setattr(demo, "show", lambda service, _: service.until_answered({"id": "one"}, 0.3))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert demo.main() == 1
    assert "✗ the submission turned `accepted`" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_come_true_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    check("one", is_true=True)
    with pytest.raises(NotTrueError):
        check("two", is_true=False)
    assert capsys.readouterr().out == "   ✓ one\n   ✗ two\n"
