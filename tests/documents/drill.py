"""Fetches many documents with the real work process, kills it now and then, and compares every file with what it was.

Run it with `python -m tests.documents.drill [--documents 1000] [--bytes 200000] [--kills 0] [--delay 0]`. It says how
many documents a second were archived and how much memory that took; the exit status is 0 if none was lost or wrong.
"""

import argparse
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.config import Settings
from app.crypto import Vault, new_encryption_key
from app.storage import embedded
from app.storage.database import connect, migrate
from tests.documents.conftest import Desk
from tests.doubles.serving import serve
from tests.doubles.showing import say
from tests.doubles.thinksurance import Thinksurance

HOME = Path(__file__).resolve().parents[2]
WITHIN_S = 900


@contextmanager
def working(desk: Desk, key: str) -> "Iterator[subprocess.Popen[bytes]]":
    """Run the work process."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CALLBOX_")}
    environment |= {"CALLBOX_DATABASE_URL": desk.url, "CALLBOX_ENCRYPTION_KEY": key, "CALLBOX_MIGRATE": "off"}
    environment |= {"CALLBOX_DATA_DIR": str(desk.settings.data_dir), "CALLBOX_LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, "-m", "app", "work"], cwd=HOME, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def count(desk: Desk, state: str) -> int:
    """Return how many documents are in a state."""
    row = desk.database.execute("SELECT count(*) FROM documents WHERE state = %s", (state,)).fetchone()
    return int(row[0]) if row else 0


def until(desk: Desk, archived: int, process: "subprocess.Popen[bytes]") -> int:
    """Wait until so many documents are archived; return the most memory the process ever had, in MB."""
    end, most = time.monotonic() + WITHIN_S, 0
    while count(desk, "archived") < archived:
        if time.monotonic() > end or process.poll() is not None:
            raise SystemExit(f"only {count(desk, 'archived')} of {archived} archived")
        status = Path(f"/proc/{process.pid}/status").read_text()
        most = max(most, *(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")))
        time.sleep(0.05)
    return most


def drill(desk: Desk, key: str, documents: int, size: int, kills: int) -> None:
    """Announce, fetch, kill, compare."""
    source = desk.source()
    expected = {}
    for number in range(documents):
        content = b"%PDF-1.7 " + number.to_bytes(4, "big") + random.Random(number).randbytes(size)  # noqa: S311
        expected[desk.announce(source, content)] = hashlib.sha256(content).hexdigest()
    begun, most = time.monotonic(), 0
    for number in range(kills):
        with working(desk, key) as process:
            most = max(most, until(desk, documents * (number + 1) // (kills + 2), process))
            process.kill()
            process.wait()
        say(f"killed with {count(desk, 'archived')} archived and {count(desk, 'fetching')} under way")
    with working(desk, key) as process:
        most = max(most, until(desk, documents, process))
    seconds = time.monotonic() - begun
    found = {one: desk.row(one)["sha256"] for one in expected}
    assert found == expected, "every document has its own bytes"
    files = {name: hashlib.sha256(content).hexdigest() for name, content in desk.files().items()}
    assert all(name == digest for name, digest in files.items()), "every file is what it is called"
    assert set(expected.values()) <= set(files)
    asked = len(desk.world.files.asked)
    say(
        f"{documents} documents of {size} bytes, {kills} kills: all archived with their own bytes in {seconds:.1f} s,"
        f" {documents / seconds:.0f} a second; {len(files)} files, {asked} downloads; at most {most} MB"
    )


def main() -> None:
    """Run the drill."""
    options = argparse.ArgumentParser(description="Fetches many documents.")
    options.add_argument("--documents", type=int, default=1000)
    options.add_argument("--bytes", type=int, default=200_000)
    options.add_argument("--kills", type=int, default=0)
    options.add_argument("--delay", type=float, default=0.0, help="seconds that the platform takes for each")
    chosen = options.parse_args()
    key = new_encryption_key()
    with tempfile.TemporaryDirectory(prefix="cbxdocs") as folder:
        Path(folder).chmod(0o755)  # as root the server is another user and must reach its folder
        server = embedded.start(Path(folder) / "data", durable=False)
        double = Thinksurance()
        double.world.files.delay_seconds = chosen.delay
        try:
            with serve(double) as served, connect(server.url) as database:
                migrate(server.url)
                settings = Settings(data_dir=Path(folder) / "files")
                desk = Desk(server.url, database, Vault(key), double, served.url, settings)
                drill(desk, key, chosen.documents, chosen.bytes, chosen.kills)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
