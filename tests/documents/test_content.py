"""The file of a document over HTTP: a download within walls, whole or in part, and never shown."""

import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from psycopg.types.json import Jsonb
from starlette.testclient import TestClient

from app import problems, query
from app.accounts.keys import add_key
from app.accounts.model import Scope
from app.accounts.snapshot import AccountBook
from app.config import Settings
from app.documents import content
from app.documents.store import open_store
from app.request_id import RequestIdMiddleware
from app.storage.engine import open_read_engine
from tests.documents.conftest import Desk

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 3000
DIGEST = hashlib.sha256(PDF).hexdigest()


class Counter:
    """Where documents are handed out."""

    def __init__(self, desk: Desk, client: TestClient) -> None:
        self.desk = desk
        self.client = client
        self.reader = self.key()

    def key(self, *scopes: Scope, **walls: Any) -> str:
        """Make a key; without scopes one that reads everything."""
        wanted = scopes or (Scope.READ, Scope.READ_PERSONAL)
        return add_key(self.desk.database, "test", scopes=wanted, **walls).key

    def get(self, document: UUID | str, key: str | None = None, **headers: str) -> Any:
        """Ask for the file of a document."""
        sent = {"Authorization": f"Bearer {key or self.reader}"}
        return self.client.get(
            f"/v1/documents/{document}/content", headers=sent | {n.replace("_", "-"): t for n, t in headers.items()}
        )

    def noted(self, document: UUID) -> int:
        """Return how often the audit log says that the file was read."""
        question = "SELECT count(*) FROM audit WHERE action = 'personal.read' AND detail @> %s"
        entry = Jsonb({"resource": "documents/content", "ids": [str(document)]})
        ((count,),) = self.desk.database.execute(question, (entry,)).fetchall()
        return int(count)

    def shown(self, document: UUID) -> dict[str, Any]:
        """Return what is told of a document."""
        answer = self.client.get(f"/v1/documents/{document}", headers={"Authorization": f"Bearer {self.reader}"})
        return dict(answer.json())


@pytest.fixture
def counter(desk: Desk, vault: Any) -> Iterator[Counter]:
    """The counter, over the desk's documents."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        engine = open_read_engine(desk.url)
        book = AccountBook(desk.url, vault)
        await book.start()
        app.state.reading = query.Reading(engine=engine, primary=engine, book=book, cursor_key=query.cursor_key("test"))
        app.state.open_document_store = partial(open_store, desk.settings)
        yield
        await book.stop()
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    problems.install(app)
    app.add_middleware(RequestIdMiddleware)
    app.include_router(query.router)
    app.include_router(content.router)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Counter(desk, client)
    desk.database.execute("DELETE FROM api_keys")


def test_a_file_is_a_download_with_its_type_and_a_safe_name(desk: Desk, counter: Counter) -> None:
    document = desk.announce(desk.source(), PDF, full_name="../Antrag Müller.exe")
    desk.sweep()
    answer = counter.get(document)
    assert (answer.status_code, answer.content) == (200, PDF)
    headers = answer.headers
    assert headers["content-type"] == "application/pdf"
    assert headers["content-length"] == str(len(PDF))
    assert headers["content-disposition"] == (
        "attachment; filename=\"_Antrag Muller.exe.pdf\"; filename*=UTF-8''_Antrag%20M%C3%BCller.exe.pdf"
    )
    assert headers["content-security-policy"].startswith("sandbox")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-store"
    assert headers["etag"] == f'"{DIGEST}"'
    assert headers["accept-ranges"] == "bytes"
    shown = counter.shown(document)
    assert shown["links"]["content"] == f"/v1/documents/{document}/content"
    assert (shown["state"], shown["size"], shown["sha256"], shown["fetched_by"]) == (
        "archived",
        len(PDF),
        DIGEST,
        "v1.1",
    )
    assert counter.noted(document) == 1


def test_parts_of_a_file(desk: Desk, counter: Counter) -> None:
    document = desk.announce(desk.source(), PDF)
    desk.sweep()
    part = counter.get(document, Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, PDF[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(PDF)}"
    assert part.headers["content-length"] == "100"
    assert part.headers["content-disposition"].startswith("attachment")
    assert counter.get(document, Range="bytes=-7").content == PDF[-7:]
    assert counter.get(document, Range=f"bytes={len(PDF) - 5}-").content == PDF[-5:]
    same = counter.get(document, Range="bytes=0-9", If_Range=f'"{DIGEST}"')
    assert (same.status_code, same.content) == (206, PDF[:10])
    other = counter.get(document, Range="bytes=0-9", If_Range='"other"')
    assert (other.status_code, other.content) == (200, PDF)
    several = counter.get(document, Range="bytes=0-9,20-29")
    assert (several.status_code, several.content) == (200, PDF)
    beyond = counter.get(document, Range=f"bytes={len(PDF)}-")
    assert (beyond.status_code, beyond.json()["code"]) == (416, "no-such-range")
    assert beyond.headers["content-range"] == f"bytes */{len(PDF)}"
    known = counter.get(document, If_None_Match=f'"{DIGEST}"')
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["cache-control"] == "private, no-store"
    assert counter.noted(document) == 6  # each time that bytes of it were handed out


def test_what_is_not_archived_says_how_far_it_is(desk: Desk, counter: Counter) -> None:
    source = desk.source()
    document = desk.announce(source)
    answer = counter.get(document)
    assert (answer.status_code, answer.json()["code"]) == (409, "not-archived")
    assert (answer.json()["state"], answer.json()["last_error"]) == ("announced", None)
    shown = counter.shown(document)
    assert (shown["links"]["content"], shown["attempts"]) == (None, 0)
    desk.double.settings.document_ways = ""
    desk.sweep()
    answer = counter.get(document)
    assert (answer.json()["state"], answer.json()["last_error"]) == ("failed", "not-found")
    shown = counter.shown(document)
    assert (shown["state"], shown["last_error"], shown["attempts"]) == ("failed", "not-found", 1)
    assert shown["seconds_left"] == 0
    found = counter.client.get(
        "/v1/documents?state=failed&last_error=not-found&attempts[gte]=1&fetched_by[null]=true",
        headers={"Authorization": f"Bearer {counter.reader}"},
    )
    assert [row["id"] for row in found.json()["data"]] == [str(document)]


@pytest.mark.parametrize("state", ["fetching", "expired"])
def test_of_what_is_on_its_way_or_expired_there_is_no_file(desk: Desk, counter: Counter, state: str) -> None:
    document = desk.announce(desk.source(), state=state)
    answer = counter.get(document)
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (409, "not-archived", state)


def test_walls_and_scopes(desk: Desk, counter: Counter) -> None:
    source = desk.source()
    desk.source("other")
    document = desk.announce(source, PDF)
    desk.sweep()
    assert counter.get(document, counter.key(Scope.READ)).json()["code"] == "field-hidden"
    assert counter.get(document, counter.key(sources=["other"])).status_code == 404
    assert counter.get(document, counter.key(brokers=["43"])).status_code == 404
    assert counter.get(document, counter.key(sources=["ts"], brokers=["42"])).status_code == 200
    assert counter.get(document, counter.key(Scope.WRITE)).status_code == 403
    assert counter.get(uuid4()).status_code == 404
    assert counter.get("not-an-id").status_code == 404
    assert counter.client.get(f"/v1/documents/{document}/content").status_code == 401
    refused = counter.client.get(
        f"/v1/documents/{document}/content?a=1", headers={"Authorization": f"Bearer {counter.reader}"}
    )
    assert refused.status_code == 422
    assert counter.noted(document) == 1


def test_a_file_that_is_gone_or_changed_is_not_handed_out(desk: Desk, counter: Counter) -> None:
    document = desk.announce(desk.source(), PDF)
    desk.sweep()
    path: Path = desk.folder / DIGEST[:2] / DIGEST
    path.write_bytes(PDF[:-1] + b"?")
    with pytest.raises(Exception, match="broke off"):
        _strict(counter).get(f"/v1/documents/{document}/content", headers={"Authorization": f"Bearer {counter.reader}"})
    path.write_bytes(PDF[:-1])
    assert counter.get(document).json()["code"] == "document-store-away"
    path.unlink()
    answer = counter.get(document)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


def test_a_store_that_cannot_be_read_or_opened_is_away(desk: Desk, counter: Counter) -> None:
    document = desk.announce(desk.source(), PDF)
    desk.sweep()
    folder: Path = desk.folder / DIGEST[:2]
    (folder / DIGEST).unlink()
    folder.rmdir()
    folder.write_text("in the way")
    unreadable = counter.get(document)
    app: Any = counter.client.app
    app.state.open_document_store = partial(open_store, Settings(document_store="file:///dev/null/documents"))
    for answer in (unreadable, counter.get(document)):
        assert (answer.status_code, answer.json()["code"]) == (503, "document-store-away")
        assert answer.headers["retry-after"] == "10"


def _strict(counter: Counter) -> TestClient:
    """Return a client that raises what breaks an answer off, on the loop that already runs."""
    client = TestClient(counter.client.app)
    client.portal = counter.client.portal
    return client


@pytest.mark.parametrize("content", [b"<script>alert(1)</script>", b"<svg xmlns='x' onload='alert(1)'></svg>"])
def test_what_a_browser_would_run_is_handed_out_as_bytes(desk: Desk, counter: Counter, content: bytes) -> None:
    document = desk.announce(desk.source(), content, full_name=None, name=None)
    desk.sweep()
    answer = counter.get(document)
    assert (answer.content, answer.headers["content-type"]) == (content, "application/octet-stream")


def test_text_is_handed_out_as_text(desk: Desk, counter: Counter) -> None:
    document = desk.announce(desk.source(), b"Erika;Beispiel\n", full_name="Liste.csv")
    desk.sweep()
    answer = counter.get(document)
    assert (answer.content, answer.headers["content-type"]) == (b"Erika;Beispiel\n", "text/plain; charset=utf-8")
    assert 'filename="Liste.csv"' in answer.headers["content-disposition"]
