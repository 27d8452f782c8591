"""`simulate`: what is sent, how it is arranged, and what the summary says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.accounts.snapshot import read_accounts
from app.accounts.writing import Connection
from app.cli.sending import Body, Tally, arrange
from app.crypto import Vault, sha256
from app.providers import PROVIDERS
from app.times import now

if TYPE_CHECKING:
    from tests.cli.conftest import Run

HOME = Path(__file__).parents[2]


class Platformless(ThreadingHTTPServer):
    """A service that takes everything and answers as it was told."""

    request_queue_size = 128  # many senders at once, on a machine that is busy

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.status = 200
        self.taken: list[tuple[str, str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Platformless)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, self.headers["Content-Type"], body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing."""


@pytest.fixture
def service(run: "Run", monkeypatch: pytest.MonkeyPatch) -> Iterator[Platformless]:
    """Take what the simulator sends."""
    del run
    server = Platformless()
    monkeypatch.setenv("CALLBOX_PUBLIC_URL", server.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_arrives_is_signed_for_the_source(
    run: "Run", service: Platformless, connection: Connection, vault: Vault
) -> None:
    words = ("--secret", "s", "--recipe", '{"algorithm": "hmac-sha512", "parts": ["data_raw"]}')
    run("sources", "add", "thinksurance", "a", *words)
    ran = run("simulate", "--source", "a", "--count", "60", "--rate", "1000", "--seed", "3", "--json")
    assert (ran.code, ran.err) == (0, "")
    summary = ran.json
    assert (summary["sent"], summary["acknowledged"], summary["answers"]) == (60, 60, {"200": 60})
    assert summary["seed"] == 3
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["max"]
    accounts = read_accounts(connection, vault)
    verdicts = Counter[str]()
    for path, content_type, body in service.taken:
        token = accounts.tokens[sha256(path.removeprefix("/callbacks/thinksurance/"))]
        items = PROVIDERS["thinksurance"].find(body, content_type, token.source, now()).items
        verdicts.update(item.verdict.value for item in items)
    assert set(verdicts) == {"verified", "unsigned"}
    assert verdicts["verified"] > 40


def test_the_same_seed_sends_the_same_bodies(run: "Run", service: Platformless) -> None:
    run("sources", "add", "wegroup", "w")
    sent = []
    for seed in ("5", "5", "6"):
        service.taken.clear()
        run("simulate", "--source", "w", "--count", "30", "--rate", "1000", "--seed", seed, "--repeats", "0.2")
        sent.append(sorted(body for _, _, body in service.taken))
    assert sent[0] == sent[1] != sent[2]


def test_refusals_are_counted_and_fail(run: "Run", service: Platformless) -> None:
    run("sources", "add", "wegroup", "w")
    service.status = 503
    ran = run("simulate", "--source", "w", "--count", "5", "--rate", "1000", "--json")
    assert ran.code == 1
    assert (ran.json["acknowledged"], ran.json["answers"]) == (0, {"503": 5})
    assert "503: 5" in run("simulate", "--source", "w", "--count", "5", "--rate", "1000").out


def test_where_nothing_answers_a_hint_is_given(run: "Run", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOX_PUBLIC_URL", "http://127.0.0.1:1")
    run("sources", "add", "wegroup", "w")
    ran = run("simulate", "--source", "w", "--count", "3", "--rate", "1000", "--json")
    assert (ran.code, ran.json["failures"]) == (1, {"ConnectError": 3})
    assert "CALLBOX_PUBLIC_URL" in ran.err


def test_a_source_that_cannot_receive_is_refused(run: "Run") -> None:
    run("sources", "add", "wegroup", "w")
    run("sources", "token", "revoke", "w", "token-1")
    assert "no live token" in run("simulate", "--source", "w", "--json").error
    run("sources", "disable", "w")
    assert "is disabled" in run("simulate", "--source", "w", "--json").error
    assert run("simulate", "--source", "x", "--json").error == "name: there is no source 'x'"


def test_the_rate_is_kept(run: "Run", service: Platformless) -> None:
    run("sources", "add", "wegroup", "w")
    began = time.monotonic()
    summary = run("simulate", "--source", "w", "--count", "21", "--rate", "40", "--json").json
    assert time.monotonic() - began >= 0.5
    assert summary["rate"] <= 42
    assert len(service.taken) == 21


@pytest.mark.process
def test_an_interrupted_one_prints_its_summary(
    run: "Run", service: Platformless, database_url: str, encryption_key: str
) -> None:
    run("sources", "add", "wegroup", "w")
    env = {**os.environ, "CALLBOX_DATABASE_URL": database_url, "CALLBOX_ENCRYPTION_KEY": encryption_key}
    words = ("simulate", "--source", "w", "--count", "100000", "--rate", "50", "--json")
    command = [sys.executable, "-m", "app", *words]
    with subprocess.Popen(command, cwd=HOME, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while len(service.taken) < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, b"")
    summary = json.loads(out)
    # What was on its way when the signal came is sent and not acknowledged.
    assert 5 <= summary["sent"] < 100000
    assert summary["acknowledged"] == sum(summary["answers"].values()) <= summary["sent"]


def _numbered() -> Iterator[Body]:
    return (("application/json", str(number).encode()) for number in range(10_000))


def _arranged(repeats: float, shuffle: float, seed: int = 1) -> list[int]:
    return [int(body) for _, body in arrange(_numbered(), 1000, repeats=repeats, shuffle=shuffle, seed=seed)]


def test_by_default_all_come_once_and_in_order() -> None:
    assert _arranged(0, 0) == list(range(1000))


def test_repeats_take_their_share_of_the_count() -> None:
    arranged = _arranged(0.3, 0)
    assert len(arranged) == 1000
    assert 220 < 1000 - len(set(arranged)) < 380
    assert arranged == _arranged(0.3, 0)
    assert arranged != _arranged(0.3, 0, seed=2)


def test_what_is_shuffled_comes_later_but_comes() -> None:
    arranged = _arranged(0, 0.2)
    assert sorted(arranged) == list(range(1000))
    late = sum(1 for place, number in enumerate(arranged) if any(later > number for later in arranged[:place]))
    assert 120 < late < 280
    assert sorted(_arranged(0, 1)) == list(range(1000))


def test_percentiles_are_of_what_was_measured() -> None:
    tally = Tally(latencies=[0.001 * number for number in range(1, 101)])
    assert (tally.latency_ms(0.5), tally.latency_ms(0.99), tally.latency_ms(1.0)) == (51.0, 100.0, 100.0)
    assert Tally().latency_ms(0.5) is None
