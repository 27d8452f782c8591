"""Files in a bucket of S3, over real HTTP; the folder is seen in the tests of fetching."""

import asyncio
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.config import Settings
from app.documents.store import FileMissingError, Store, StoreError, open_store
from tests.doubles.serving import serve

SMALL = b"%PDF-1.4 small"
LARGE = b"%PDF-1.4 " + bytes(range(256)) * 30_000


class Bucket:
    """Plays S3 as far as it is used here: objects, ranges, uploads in parts."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.puts = 0
        self.signed: set[bool] = set()
        self.app = Starlette(routes=[Route("/{key:path}", self._answer, methods=["GET", "HEAD", "PUT", "POST"])])

    async def _answer(self, request: Request) -> Response:
        key, query, body = request.path_params["key"], request.query_params, await request.body()
        self.signed.add(request.headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 Credential=invented/"))
        if request.method == "POST" and "uploads" in query:
            self.parts[key] = {}
            return _xml(
                f"<InitiateMultipartUploadResult><UploadId>u</UploadId><Key>{key}</Key></InitiateMultipartUploadResult>"
            )
        if request.method == "POST":
            self.objects[key] = b"".join(part for _, part in sorted(self.parts.pop(key).items()))
            return _xml('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>')
        if request.method == "PUT":
            self.puts += 1
            if "partNumber" in query:
                self.parts[key][int(query["partNumber"])] = body
            else:
                self.objects[key] = body
            return Response(headers={"ETag": '"e"'})
        return self._read(request, key)

    def _read(self, request: Request, key: str) -> Response:
        found = self.objects.get(key)
        if found is None:
            return Response(status_code=404)
        headers = {"ETag": '"e"', "Last-Modified": "Mon, 09 Mar 2026 12:00:00 GMT"}
        if "range" not in request.headers:
            return Response(found, headers=headers)
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        end = min(int(last), len(found) - 1)
        headers["Content-Range"] = f"bytes {first}-{end}/{len(found)}"
        return Response(found[int(first) : end + 1], 206, headers)


def _xml(text: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>{text}', media_type="application/xml")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket that the usual variables lead to."""
    made = Bucket()
    with serve(made.app) as served:
        monkeypatch.setenv("AWS_ENDPOINT", served.url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "invented")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "invented")
        yield made


async def _kept(store: Store, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    await store.keep(io.BytesIO(content), digest, len(content))
    return digest


async def _read(store: Store, digest: str, first: int, length: int) -> bytes:
    return b"".join([chunk async for chunk in await store.open(digest, first, length)])


def test_files_are_kept_once_in_a_bucket_and_read_in_parts(bucket: Bucket) -> None:
    async def tried() -> None:
        store = open_store(Settings(document_store="s3://documents/callbox"))
        small, large = await _kept(store, SMALL), await _kept(store, LARGE)
        assert bucket.objects == {
            f"documents/callbox/{small[:2]}/{small}": SMALL,
            f"documents/callbox/{large[:2]}/{large}": LARGE,
        }
        before = bucket.puts
        await _kept(store, SMALL)
        assert bucket.puts == before
        assert await _read(store, large, 0, len(LARGE)) == LARGE
        assert await _read(store, large, 100, 7) == LARGE[100:107]
        assert await _read(store, small, 0, 0) == b""
        with pytest.raises(FileMissingError):
            await store.open("0" * 64, 0, 1)
        with pytest.raises(FileMissingError):
            await store.open(small, 0, len(SMALL) + 1)

    asyncio.run(tried())
    assert bucket.signed == {True}


def test_a_store_that_cannot_be_opened_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="CALLBOX_DOCUMENT_STORE"):
        open_store(Settings(document_store=f"file://{tmp_path}/file/documents"))


def test_the_folder_may_be_named(tmp_path: Path) -> None:
    async def tried() -> None:
        store = open_store(Settings(document_store=f"file://{tmp_path}/a%20folder"))
        digest = await _kept(store, SMALL)
        assert (tmp_path / "a folder" / digest[:2] / digest).read_bytes() == SMALL

    asyncio.run(tried())
