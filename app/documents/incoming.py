"""Takes a file in as it arrives: counted, hashed, bounded, and on disk once it is more than a little.

Where it is kept for good is `store`'s.
"""

import hashlib
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from app.documents.kinds import HEAD_BYTES

_IN_MEMORY = 1 << 20


class TooLargeError(Exception):
    """A file is larger than may be kept."""


class Incoming:
    """One file; a context that leaves nothing behind. `folder` is where it waits, None for the system's."""

    def __init__(self, most_bytes: int, folder: Path | None) -> None:
        self._most_bytes = most_bytes
        where = None if folder is None else str(folder)
        self._file: Any = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=where)  # noqa: SIM115 - see __exit__
        self.clear()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Throw the file away."""
        self._file.close()

    def clear(self) -> None:
        """Forget what came, for another try."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.head = b""
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            TooLargeError: they are too many.
        """
        self.size += len(chunk)
        if self.size > self._most_bytes:
            raise TooLargeError
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._digest.update(chunk)
        self._file.write(chunk)

    @property
    def sha256(self) -> str:
        """Return the digest of what came."""
        return self._digest.hexdigest()

    @property
    def file(self) -> IO[bytes]:
        """Return what came, as a file to be read."""
        found: IO[bytes] = self._file
        return found
