"""Hands the file of a document out: a download that is never shown, whole or in part.

Who may see which document is settled by the query room's walls, scopes and audit.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Header, Request, Response
from sqlalchemy import select
from starlette.responses import StreamingResponse

from app.accounts.model import Access
from app.documents.kinds import disposition, safe_name, served_as
from app.documents.ranges import Span, UnsatisfiableError, find_span, is_known
from app.documents.store import FileMissingError, Store, StoreError
from app.problems import Problem, described
from app.query.access import FieldHidden, Reader
from app.query.details import check_parameters, no_such, parse_id
from app.query.documented import detail_problems
from app.query.documents import DOCUMENTS
from app.query.personal import may_see
from app.query.reading import reading_of
from app.query.resource import Row, find_row_of
from app.query.routes import RecordId
from app.query.trail import note_reading
from app.query.walls import Statement, walled
from app.storage.models import documents

_log = structlog.get_logger(__name__)

_HEADERS: Final = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
_ASKED: Final = ("state", "last_error", "sha256", "size", "content_type", "name", "full_name")


class NotArchived(Problem):
    """Callbox has no copy of this document (yet); `state` says how far it is, `last_error` what is in the way."""

    status = 409
    code = "not-archived"
    title = "Not archived"


class NoSuchRange(Problem):
    """The document has no bytes in this range; `Content-Range` says how many it has."""

    status = 416
    code = "no-such-range"
    title = "No such range"


class StoreAway(Problem):
    """The place where documents are kept cannot be read at the moment; ask again soon."""

    status = 503
    code = "document-store-away"
    title = "Document store away"


OpenStore = Callable[[], Store]
"""Opens the store at the first question: one that cannot be opened must not keep the API from coming in."""

router = APIRouter(prefix="/v1")

_FILE: Final[Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.get(
    "/documents/{id}/content",
    name="get_document_content",
    operation_id="get_document_content",
    response_model=None,
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": _FILE},
        206: {"description": "The part of it that `Range` names.", "content": _FILE},
        304: {"description": "It is what `If-None-Match` names."},
        **detail_problems(),
        **described(NotArchived, NoSuchRange),
    },
    tags=["documents"],
)
async def get_document_content(
    request: Request,
    id: RecordId,  # noqa: A002 - the path's name
    access: Reader,
    range: Annotated[str | None, Header(description="one range: `bytes=0-1023`")] = None,  # noqa: A002 - the header's
    if_range: Annotated[str | None, Header(description="the `ETag` that the range is meant for")] = None,
    if_none_match: Annotated[str | None, Header(description="the `ETag` of what the caller has")] = None,
) -> Response:
    """Get the file of a document, as a download.

    Needs `read:personal`. Its type is told from its bytes, and its name is made safe; it is never shown by a browser,
    and a page or XML comes as `application/octet-stream`. `ETag` is the SHA-256 of the file.
    """
    check_parameters(request)
    row = await _row(request, id, access)
    tag = f'"{row["sha256"]}"'
    if is_known(if_none_match, tag):
        return Response(status_code=304, headers=_HEADERS | {"ETag": tag})
    size = int(row["size"])
    try:
        span = find_span(range, if_range, tag, size)
    except UnsatisfiableError:
        raise NoSuchRange(headers={"Content-Range": f"bytes */{size}"}) from None
    await note_reading(reading_of(request), access, "documents/content", [row["id"]])
    return await _download(request.app.state.open_document_store, row, span, tag)


async def _row(request: Request, text: str, access: Access) -> Row:
    """Return what is known of an archived document.

    Raises:
        NotFound: there is none of this id that the key may see.
        FieldHidden: the key lacks `read:personal`.
        NotArchived: there is no file.
    """
    statement: Statement = select(documents.c.id, *(documents.c[name] for name in _ASKED))
    statement = statement.where(documents.c.id == parse_id(DOCUMENTS, text))
    async with reading_of(request).asking() as connection:
        row = find_row_of(await connection.execute(walled(statement, documents, access)))
    if row is None:
        raise no_such(DOCUMENTS)
    if not may_see(access):
        raise FieldHidden("The file of a document is personal; the key lacks the scope `read:personal`.")
    if row["state"] != "archived":
        raise NotArchived(state=row["state"], last_error=row["last_error"])
    return row


async def _download(open_store: OpenStore, row: Row, span: Span | None, tag: str) -> Response:
    size, digest, kind = int(row["size"]), str(row["sha256"]), str(row["content_type"])
    first, length = (span.first, span.length) if span else (0, size)
    try:
        stream = await open_store().open(digest, first, length)
    except StoreError as error:
        _log.error(
            "document.missing" if isinstance(error, FileMissingError) else "documents.store_away",
            document_id=str(row["id"]),
            error=str(error),
        )
        raise StoreAway(headers={"Retry-After": "10"}) from None
    name = safe_name(row["full_name"] or row["name"], kind, str(row["id"]))
    headers = _HEADERS | {"ETag": tag, "Content-Length": str(length), "Content-Disposition": disposition(name)}
    if span is not None:
        headers["Content-Range"] = f"bytes {span.first}-{span.last}/{size}"
    sent = stream if span else _verified(stream, digest)
    return StreamingResponse(sent, 206 if span else 200, headers, media_type=served_as(kind))


async def _verified(stream: AsyncIterator[bytes], digest: str) -> AsyncIterator[bytes]:
    """Yield what is in a whole file, its end only if all of it has the digest: an answer that breaks off is no file."""
    found, waiting = hashlib.sha256(), b""
    async for chunk in stream:
        if waiting:
            yield waiting
        found.update(chunk)
        waiting = chunk
    if found.hexdigest() != digest:
        raise StoreError("the file is not what was stored")
    if waiting:
        yield waiting
