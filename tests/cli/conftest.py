"""What tests of the command line ask for: a way to run it inside this process, on a database of the test's own."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from app.accounts.writing import Connection
from app.cli.program import app


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The reason in the one document on standard error; nothing may stand on standard output then."""
        assert self.out == ""
        reason = json.loads(self.err)["error"]
        assert isinstance(reason, str)
        return reason


Run = Callable[..., Ran]


@pytest.fixture
def run(database_url: str, encryption_key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command with `run("sources", "list", input="...")`."""
    monkeypatch.setenv("CALLBOX_DATABASE_URL", database_url)
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY", encryption_key)
    monkeypatch.setenv("CALLBOX_PUBLIC_URL", "https://hooks.example.test")
    monkeypatch.chdir(tmp_path)

    def run(*words: str, given: str | None = None) -> Ran:
        result = CliRunner().invoke(app, list(words), input=given, prog_name="callbox")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection
