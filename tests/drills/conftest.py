"""What the drills need beside the common fixtures."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app.storage import embedded
from app.storage.database import migrate


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A DATA_DIR on a short path that the user of the embedded server can reach."""
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "data"


class OwnServer:
    """A PostgreSQL with a migrated database, which a drill may stop and start as it likes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = embedded.start(folder, durable=False, say=lambda _: None)
        self.url = self._server.url
        self.socket = f"{folder.resolve()}/postgres/socket/.s.PGSQL.5432"
        migrate(self.url)

    def stop(self) -> None:
        """Stop it and wait for its end; who is connected is thrown out."""
        self._server.stop()

    def start(self) -> None:
        """Start it again."""
        self._server = embedded.start(self._folder, durable=False, say=lambda _: None)


@pytest.fixture
def own_server(short_folder: Path) -> Iterator[OwnServer]:
    """A PostgreSQL of this drill's own."""
    server = OwnServer(short_folder)
    yield server
    server.stop()


class SmallDisk:
    """A file system of a few megabytes, which can be filled up and emptied again."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as file:
            for piece in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(piece)) == piece:
                        pass
                except OSError:
                    continue

    def make_room(self) -> None:
        """Take away what `fill` put there."""
        self._ballast.unlink()


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], SmallDisk]]:
    """Make file systems of so many megabytes; needs root, for only root may mount."""
    with ExitStack() as stack:
        yield lambda megabytes: stack.enter_context(_mounted(megabytes))


@contextmanager
def _mounted(megabytes: int) -> Iterator[SmallDisk]:
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        place = Path(made)
        place.chmod(0o755)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "callbox-drill", made]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("needs root, and the right to mount a tmpfs")
        try:
            yield SmallDisk(place)
        finally:
            subprocess.run(["umount", "-l", made], check=True)  # noqa: S607
