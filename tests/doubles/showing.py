"""Runs a real Callbox on a database of its own, and shows each question that it is asked, for `demo`.

What is shown, in which order, is the demonstration's.
"""

import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.ports import free_port

HOME = Path(__file__).parents[2]
READY_WITHIN_S = 180.0
_STOP_WITHIN_S = 20.0

Json = dict[str, Any]


class NotTrueError(Exception):
    """Something did not come out as the demonstration says."""


def say(text: str = "") -> None:
    """Tell whoever watches."""
    print(text, flush=True)  # noqa: T201 - it is all about being seen


def check(what: str, *, is_true: bool) -> None:
    """Say that something came true, or end the demonstration."""
    say(f"   {'✓' if is_true else '✗'} {what}")
    if not is_true:
        raise NotTrueError(what)


class Service:
    """A running Callbox: its address, its command line, and what it is asked over HTTP."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        plain = {name: text for name, text in os.environ.items() if not name.startswith("CALLBOX_")}
        self._environment = plain | {
            "CALLBOX_DATA_DIR": str(folder / "data"),
            "CALLBOX_PORT": self.url.rpartition(":")[2],
            "CALLBOX_LOG_LEVEL": "warning",
        }
        self._key = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the service while the context lasts."""
        with (self.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=HOME,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                self._await_ready(process)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_WITHIN_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _await_ready(self, process: "subprocess.Popen[bytes]") -> None:
        end = time.monotonic() + READY_WITHIN_S
        with httpx2.Client(trust_env=False, timeout=30) as client:
            while time.monotonic() < end and process.poll() is None:
                try:
                    if client.get(f"{self.url}/readyz?for=query").status_code == httpx2.codes.OK:
                        return
                except httpx2.HTTPError:
                    pass
                time.sleep(0.1)
        raise NotTrueError("Callbox did not start")

    def log(self) -> str:
        """Return the end of what the service has logged."""
        return (self.folder / "log").read_text()[-4000:] if (self.folder / "log").exists() else ""

    def command(self, *words: str) -> Json:
        """Run a command of Callbox and return its JSON."""
        say(f"   $ callbox {shlex.join(words)}")
        done = subprocess.run(
            [sys.executable, "-m", "app", *words, "--json"],
            cwd=HOME,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotTrueError(done.stderr.strip())
        found: Json = json.loads(done.stdout)
        return found

    def log_in(self) -> None:
        """Make the key that everything else is asked with."""
        words = ("--scope", "read", "--scope", "read:personal", "--scope", "write")
        self._key = str(self.command("keys", "add", "demo", *words)["key"])

    def get(self, path: str) -> Json:
        """Ask for something, showing the question."""
        say(f"   GET {path}")
        return self.ask("GET", path, {}).json()  # type: ignore[no-any-return]  # an object, by the API's document

    def post(self, path: str, body: Mapping[str, Any]) -> httpx2.Response:
        """Have a call made, showing the request."""
        say(f"   POST {path}\n        {json.dumps(body, ensure_ascii=False)}")
        return self.ask("POST", path, {"json": dict(body), "headers": {"Idempotency-Key": secrets.token_hex(8)}})

    def ask(self, method: str, path: str, given: Mapping[str, Any]) -> httpx2.Response:
        """Send a request with the key."""
        headers = {"Authorization": f"Bearer {self._key}", **given.get("headers", {})}
        with httpx2.Client(trust_env=False, timeout=120) as client:
            return client.request(method, f"{self.url}{path}", headers=headers, json=given.get("json"))

    def until_answered(self, submission: Json, within_s: float) -> Json:
        """Wait for the first callback about a submission and show what is known of it then."""
        path = f"/v1/submissions/{submission['id']}"
        say(f"   GET {path}   (until it is answered)")
        end = time.monotonic() + within_s
        while (known := self.ask("GET", path, {}).json())["state"] != "answered" and time.monotonic() < end:
            time.sleep(0.1)
        seconds = known["time_to_answer_seconds"]
        check(f"the submission turned `{known['state']}`, {seconds} s after the call", is_true=seconds is not None)
        found: Json = known
        return found
