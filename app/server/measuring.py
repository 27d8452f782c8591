"""Gives the processes of a service the folder in which they share their measures.

What is measured is `app.metrics`' business.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""What prometheus-client reads when it is imported."""

_PREFIX = "callbox-metrics-"
_LOCK_NAME = "lock"
_ROOM = 8 << 20
# The files are mapped into memory, and to write to one on a full disk ends the process (SIGBUS, tried): so not on the
# disk that fills up.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - made there with a name of its own, for us alone


class MeasuresFolder:
    """A folder for the time of this process; what killed ones left is removed."""

    def __init__(self) -> None:
        place = _place()
        for left in place.glob(f"{_PREFIX}*"):
            _remove_if_left(left)
        self.path, self._lock = _made_in(place)
        while not self.path.exists():  # another start took it for one that is left, before it was locked
            os.close(self._lock)
            self.path, self._lock = _made_in(place)

    def environment(self) -> dict[str, str]:
        """Return the environment for a process that shares it: ours with its name, which is put into ours too."""
        os.environ[METRICS_VARIABLE] = str(self.path)
        return dict(os.environ)

    def remove(self) -> None:
        """Remove it with all measures."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _made_in(place: Path) -> tuple[Path, int]:
    """Return a new folder and the lock in it."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _place() -> Path:
    """Return memory where this system shows it as a folder and has room there, else where other passing files lie."""
    with contextlib.suppress(OSError):
        room = os.statvfs(_IN_MEMORY)
        if os.access(_IN_MEMORY, os.W_OK | os.X_OK) and room.f_bavail * room.f_frsize >= _ROOM:
            return _IN_MEMORY
    return Path(tempfile.gettempdir())


def _remove_if_left(folder: Path) -> None:
    """Remove a folder of ours whose process is gone."""
    with contextlib.suppress(OSError), _locked(folder / _LOCK_NAME):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; raise OSError where it is another's, or not there yet."""
    lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
