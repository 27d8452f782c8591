"""Keeps files once each, named by the SHA-256 of their bytes: in a folder, or in a bucket of S3.

Which document has which file stands in the database. A file that no document has, left by a process that was killed
between the two, does no harm: it is taken for the next document with the same bytes.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from app.config import Settings

_CHUNK: Final = 256 * 1024
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class StoreError(Exception):
    """The store cannot be used at the moment; the text names what went wrong, and no key."""


class FileMissingError(StoreError):
    """The store has not the file that it should have."""


class Store:
    """Where the files are. `folder` is set where that is a folder of this machine."""

    def __init__(self, inner: ObjectStore, folder: Path | None = None) -> None:
        self._inner = inner
        self.folder = folder

    async def keep(self, file: IO[bytes], sha256: str, size: int) -> None:
        """Keep a file; when this returns it is durable. One that is there already is left.

        Raises:
            StoreError: it is not kept.
        """
        try:
            if await self._size_of(sha256) != size:
                file.seek(0)
                await obstore.put_async(self._inner, _path(sha256), file)
            # One that was there may be of a process that was killed before this.
            if self.folder is not None:
                await asyncio.to_thread(_make_durable, self.folder / _path(sha256))
        except (BaseError, OSError) as error:
            raise StoreError(type(error).__name__) from None

    async def _size_of(self, sha256: str) -> int | None:
        try:
            return (await obstore.head_async(self._inner, _path(sha256)))["size"]
        except FileNotFoundError:
            return None

    async def probe(self) -> None:
        """Write something, read it and delete it again, under a name that no file has.

        Raises:
            StoreError: one of them fails, or what is read is something else.
        """
        name = f"probe-{os.urandom(8).hex()}"
        try:
            await obstore.put_async(self._inner, name, name.encode())
            found = bytes(await (await obstore.get_async(self._inner, name)).bytes_async())
            await obstore.delete_async(self._inner, name)
        except (BaseError, OSError) as error:
            raise StoreError(type(error).__name__) from None
        if found != name.encode():
            raise StoreError("what was written is read as something else")

    async def open(self, sha256: str, first: int, length: int) -> AsyncIterator[bytes]:
        """Return a stream of a file's bytes; that it is there has then been seen.

        Raises:
            FileMissingError: there is no such file, or it is shorter.
            StoreError: the store cannot be asked.
        """
        if not length:
            return _nothing()
        try:
            found = await obstore.get_async(self._inner, _path(sha256), options={"range": (first, first + length)})
            if found.range[1] - found.range[0] != length:
                raise FileMissingError("is shorter than it was")
            return _chunks(found.stream(min_chunk_size=_CHUNK))
        except FileNotFoundError:
            raise FileMissingError("is not there") from None
        except (BaseError, OSError) as error:
            raise StoreError(type(error).__name__) from None


async def _nothing() -> AsyncIterator[bytes]:
    for _ in ():
        yield b""


async def _chunks(stream: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield bytes(chunk)


def _path(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def _make_durable(path: Path) -> None:
    """Have a file, and the entries that lead to it, survive a power cut."""
    path.chmod(_FILE_MODE)
    path.parent.chmod(_FOLDER_MODE)
    for one in (path, path.parent, path.parent.parent):
        handle = os.open(one, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def open_store(settings: Settings) -> Store:
    """Return the store that the settings name, the same one each time.

    Raises:
        StoreError: it cannot be opened; the text names the setting.
    """
    return _open(_address(settings))


def find_folder(settings: Settings) -> Path | None:
    """Return the folder that is the store, None where it is a bucket."""
    address = _address(settings)
    return Path(unquote(urlsplit(address).path)) if address.startswith("file:") else None


def _address(settings: Settings) -> str:
    return settings.document_store or settings.data_dir.absolute().as_uri() + "/documents"


@lru_cache
def _open(address: str) -> Store:
    try:
        if address.startswith("file:"):
            folder = Path(unquote(urlsplit(address).path))
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            return Store(LocalStore(prefix=folder), folder)
        return Store(from_url(address))
    except (BaseError, OSError, ValueError) as error:
        raise StoreError(f"CALLBOX_DOCUMENT_STORE cannot be opened ({type(error).__name__})") from None
