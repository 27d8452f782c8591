"""Plays the documents of Thinksurance: announced with a token that ends, handed out on three ways in many forms.

How it answers is set in `thinksurance_rules.Settings`; what else it does is `thinksurance`'s.
"""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from tests.doubles.thinksurance_rules import RefusalError, Settings

Item = dict[str, Any]

PDF = b"%PDF-1.4\n% an invented policy\n%%EOF\n"
LINKS = "https://app.dev.thinksurance.de/some/path"
BERLIN = ZoneInfo("Europe/Berlin")
_WEEK = timedelta(days=7)
_PIECE = 64 * 1024


@dataclass
class DocToken:
    """A token for the documents of one inquiry."""

    text: str
    ends_at: datetime


@dataclass
class Files:
    """The platform's files: by hash, with the content that a test gives them, else a small PDF.

    `links` is what links begin with; `asked` counts the requests by way.
    """

    settings: Settings
    links: str = LINKS
    contents: dict[str, bytes] = field(default_factory=dict)
    tokens: dict[int, DocToken] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    delay_seconds: float = 0.0
    is_open: Callable[[], bool] = lambda: True
    """Asked until it says so before a file is handed out."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _numbers: Any = field(default_factory=itertools.count)

    def holder(self, inquiry_id: int, digest: str, updated_on: Any) -> Any:
        """Return the documents holder of an inquiry with one file; a token that has ended is followed by another."""
        token = self._token(inquiry_id, updated_on)
        link = f"{self.links}/{digest}"
        if self.settings.link_token == "in-link":
            link += f"?t={token.text}"
        file = {"name": "Antrag", "fullName": "Antrag.pdf", "hash": digest, "fullFilePath": link}
        file["documentPurpose"] = "antrag"
        ended: Any = {"token": token.text, "expired": f"{token.ends_at.astimezone(BERLIN):%Y-%m-%d %H:%M:%S}"}
        holder: Item = {"docToken": ended, "files": [file]}
        if self.settings.docs_form == "text-token":
            holder["docToken"] = token.text
        if self.settings.docs_form == "numbered":
            holder["files"] = {"0": file}
        return [holder] if self.settings.docs_form == "list" else holder

    def end_tokens(self) -> None:
        """Let every token have ended."""
        for token in self.tokens.values():
            token.ends_at = self.clock() - timedelta(seconds=1)

    def _token(self, inquiry_id: int, updated_on: Any) -> DocToken:
        held = self.tokens.get(inquiry_id)
        if held is None or held.ends_at <= self.clock():
            text = f"d41fa07c{inquiry_id:x}" + (f"{next(self._numbers):x}" if held else "")
            seconds = self.settings.document_seconds
            noon = datetime.fromisoformat(f"{updated_on}T12:00:00").replace(tzinfo=BERLIN)
            ends_at = noon + _WEEK if seconds is None else self.clock() + timedelta(seconds=seconds)
            self.tokens[inquiry_id] = DocToken(text, ends_at)
        return self.tokens[inquiry_id]

    async def linked(self, request: Request) -> Response:
        """Answer a link."""
        digest = request.path_params["digest"]
        if self.settings.link_token != "none":
            name = {"in-link": "t"}.get(self.settings.link_token, self.settings.link_token)
            given = request.query_params.get(name)
            live = [one.text for one in self.tokens.values() if one.ends_at > self.clock()]
            if given not in live:
                raise RefusalError("Token is not valid or expired.", 403)
        return await self.answer("link", digest, form="bytes")

    async def answer(self, way: str, digest: str, *, form: str | None = None) -> Response:
        """Return a file as it is handed out on a way."""
        self.asked.append((way, digest))
        if way not in self.settings.document_ways.split(","):
            raise RefusalError("Document not found.", 404)
        await asyncio.sleep(self.delay_seconds)
        while not self.is_open():  # noqa: ASYNC110 - asked of another thread
            await asyncio.sleep(0.01)
        content, chosen = self.contents.get(digest, PDF), self.settings.document_form
        if chosen in {"page", "words", "truncated", "part", "endless"}:
            return _misbehaving(chosen, content)
        text = base64.b64encode(content)
        match form or chosen:
            case "json":
                return JSONResponse({"pdfbinary": text.decode()})
            case "quoted":
                return JSONResponse(text.decode())
            case "bytes":
                return Response(content, media_type="text/pdf")
            case "lines":
                return Response(base64.encodebytes(content), media_type="text/pdf")
        return Response(text, media_type="text/pdf")


def _misbehaving(form: str, content: bytes) -> Response:
    match form:
        case "page":
            return HTMLResponse("<!doctype html><html><body>Please log in, Erika Beispiel.</body></html>")
        case "words":
            return Response(b"Access for Erika Beispiel is denied.", media_type="text/pdf")
        case "truncated":
            text = base64.b64encode(content)
            return Response(text[: len(text) // 8 * 4 + 1], media_type="text/pdf")
        case "part":
            return Response(content, 206, media_type="text/pdf")
    return StreamingResponse(_endless(), media_type="text/pdf")


async def _endless() -> AsyncIterator[bytes]:
    piece = base64.b64encode(b"%PDF-1.4 " + bytes(_PIECE // 4 * 3 - 9))
    while True:
        yield piece
        await asyncio.sleep(0)  # else nobody hears that the caller has gone
