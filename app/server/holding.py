"""Holds DATA_DIR for one `serve`, and says who holds it.

The lock is the kernel's and is given back when its holder dies; the file only tells who that is.
"""

import fcntl
import os
from pathlib import Path

from app.config import ConfigError

FILE_NAME = "serve.lock"


class HeldError(Exception):
    """Another `serve` runs on this DATA_DIR; the text names it."""


def hold(data_dir: Path, address: str) -> int:
    """Take DATA_DIR for this process, making it where it is missing, and return the handle that holds it.

    Raises:
        HeldError: another process has it.
        ConfigError: it cannot be made or written.
    """
    path = data_dir / FILE_NAME
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"CALLBOX_DATA_DIR: {error.filename or data_dir}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.pread(handle, 200, 0).decode(errors="replace").split("\n")
        os.close(handle)
        who = f" as process {told[0]} at {told[1]}" if len(told) > 1 else ""
        raise HeldError(f"Callbox runs already{who} on CALLBOX_DATA_DIR {data_dir}") from None
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n{address}\n".encode(), 0)
    except OSError as error:
        os.close(handle)
        raise ConfigError(f"CALLBOX_DATA_DIR: {path}: {error.strerror}") from error
    return handle
