"""The first start: once for each database, whatever is killed or runs beside it."""

import io
import json
import shlex
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.accounts.first_start import FILE_NAME, first_start, mark_shown, render_first_start, show_first_start
from app.accounts.keys import list_keys
from app.accounts.model import Mode, Scope
from app.accounts.snapshot import read_accounts
from app.accounts.store import list_sources
from app.config import Settings
from app.crypto import Vault, sha256
from app.providers.thinksurance.signature import sign_for
from app.times import now


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _settings(folder: Path, **more: Any) -> Settings:
    return Settings(data_dir=folder, **more)


def test_what_is_shown_works(database_url: str, vault: Vault, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = first_start(connection, vault, _settings(tmp_path, public_url="https://hooks.example.test"))
        accounts = read_accounts(connection, vault)
    by_name = {source.name: source for source in accounts.sources.values()}
    assert set(by_name) == {"thinksurance-demo", "wegroup-demo"}
    demo = by_name["thinksurance-demo"]
    assert (demo.mode, by_name["wegroup-demo"].mode) == (Mode.ENFORCE, Mode.OBSERVE)
    for shown in made["sources"]:
        prefix = f"https://hooks.example.test/callbacks/{shown['provider']}/"
        assert shown["callback_url"].startswith(prefix)
        assert accounts.tokens[sha256(shown["callback_url"].removeprefix(prefix))].source.name == shown["name"]
    assert [secret.value for secret in demo.secrets] == [made["sources"][0]["secret"]]
    assert accounts.keys[sha256(made["api_key"])].scopes == {Scope.READ, Scope.READ_PERSONAL}
    send, ask = (shlex.split(line) for line in made["curl"])
    item = json.loads(send[send.index("-d") + 1])
    assert item["sHash"] == sign_for(demo, item, now())
    assert send[-1] == made["sources"][0]["callback_url"]
    assert f"Authorization: Bearer {made['api_key']}" in ask
    assert ask[-1] == f"https://hooks.example.test/v1/inquiries?inquiry_id={item['data']['iId']}"


def test_eight_at_once_make_one(database_url: str, vault: Vault, tmp_path: Path) -> None:
    def start(_: int) -> dict[str, Any]:
        with psycopg.connect(database_url, autocommit=True) as connection:
            return first_start(connection, vault, _settings(tmp_path))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(8)))
    assert all(answer == answers[0] for answer in answers)
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert len(list_sources(connection)) == 2
        assert len(list_keys(connection)) == 1


def test_it_comes_back_until_it_was_shown(database_url: str, vault: Vault, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = first_start(connection, vault, _settings(tmp_path))
        again = first_start(connection, vault, _settings(tmp_path, port=8001))
        assert again["api_key"] == made["api_key"]
        assert again["sources"][0]["callback_url"].startswith("http://127.0.0.1:8001/")
        mark_shown(connection)
        assert first_start(connection, vault, _settings(tmp_path)) == {}
        kept = connection.execute("SELECT value FROM installation WHERE key = 'first-start'").fetchone()
        assert kept == (b"shown",)


def test_what_is_kept_until_then_is_not_readable(database_url: str, vault: Vault, tmp_path: Path) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = first_start(connection, vault, _settings(tmp_path))
        kept = connection.execute("SELECT value FROM installation WHERE key = 'first-start'").fetchone()
    assert kept
    assert made["api_key"].encode() not in kept[0]


def test_a_terminal_gets_text_and_no_file(database_url: str, vault: Vault, tmp_path: Path) -> None:
    terminal = _Terminal()
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = first_start(connection, vault, _settings(tmp_path))
        show_first_start(connection, vault, _settings(tmp_path), terminal)
        assert terminal.getvalue() == render_first_start(made)
        show_first_start(connection, vault, _settings(tmp_path), terminal)
    assert terminal.getvalue() == render_first_start(made)
    assert list(tmp_path.iterdir()) == []
    for line in (*made["curl"], made["api_key"], made["sources"][0]["secret"]):
        assert line in terminal.getvalue()


def test_without_a_terminal_a_private_file_gets_it(database_url: str, vault: Vault, tmp_path: Path) -> None:
    out = io.StringIO()
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = first_start(connection, vault, _settings(tmp_path))
        show_first_start(connection, vault, _settings(tmp_path), out)
    (path,) = tmp_path.iterdir()
    assert path.name == FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == made
    assert out.getvalue() == ""


def test_what_could_not_be_shown_is_shown_by_the_next_start(database_url: str, vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.mkdir()  # nothing can be put in its place
    with psycopg.connect(database_url, autocommit=True) as connection:
        made = first_start(connection, vault, _settings(tmp_path))
        with pytest.raises(OSError, match=FILE_NAME):
            show_first_start(connection, vault, _settings(tmp_path), io.StringIO())
        path.rmdir()
        show_first_start(connection, vault, _settings(tmp_path), io.StringIO())
    assert json.loads(path.read_text()) == made
