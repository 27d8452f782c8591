"""Receives callbacks: finds the source by its token, judges what came, has it stored, and only then answers.

Plain ASGI beside FastAPI's routing, for the way is hot. Finding and judging items is the platforms' business, storing
the sink's; the bounds of a connection (headers, time) are the server's.
"""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson
import structlog
from starlette.types import Message, Receive, Scope, Send

from app import metrics
from app.accounts.model import Accounts, Token
from app.accounts.snapshot import AccountsUnavailableError
from app.crypto import sha256
from app.ids import IdSource, time_of
from app.ingest.answers import NOTIFIED, UNAUTHENTIC, Answer, answer_for, refusal_for
from app.ingest.bodies import BodyTooLargeError, decoded_body, header_value
from app.ingest.contract import METHODS, VIAS, Findings, Provider, Reason, Source
from app.ingest.refusals import (
    AccountsAway,
    BodyTooLarge,
    InvalidSignature,
    Overloaded,
    SenderRefused,
    StorageAway,
    UnknownCallback,
    WrongMethod,
)
from app.ingest.room import FullError, Room, Share
from app.ingest.rows import NotKeptError, Row, Sink
from app.ingest.sender_checks import Sender, find_refusal, sealed_headers
from app.ingest.senders import Network, sender_address
from app.ingest.tally import Kept, Tally, tell_kept
from app.problems import InternalError, Problem, problem_response, report_failure
from app.request_id import HEADER, request_id_of

DELIVERY_HEADER = "Callbox-Delivery"
PROBES = ("GET", "HEAD", "OPTIONS")
ALLOWED = ", ".join((*METHODS, *PROBES))
PREFIX = "callbacks"

_PUSH = VIAS.index("push")
_PARSED_AT_ONCE = 256 * 1024
_THREADS = 2  # what a body decompresses and parses to is bounded by their number
_METHOD_CODES = {method: code for code, method in enumerate(METHODS)}
_JSON = (b"content-type", b"application/json")

_DELIVERY_ID = DELIVERY_HEADER.lower().encode()
_REQUEST_ID = HEADER.lower().encode()

_log = structlog.get_logger(__name__)


class _DisconnectedError(Exception):
    """The sender went away before its body was complete."""


class Book(Protocol):
    """What the receiver asks of the accounts: see `app.accounts.snapshot.AccountBook`."""

    @property
    def present(self) -> Accounts:
        """The accounts as known here."""

    async def refresh(self) -> None:
        """Read them again now; raises AccountsUnavailableError."""

    def note_use(self, token_id: Any) -> None:
        """Remember that a token was used."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of what is received; bytes."""

    max_body_bytes: int = 5 << 20
    max_in_flight_bytes: int = 64 << 20
    trusted_proxies: Sequence[Network] = ()


class Receiver:
    """The ASGI application behind `/callbacks/{provider}/{token}`.

    `providers` are the platforms by name; nothing else of them is known here.
    """

    def __init__(
        self, book: Book, providers: Mapping[str, Provider], sink: Sink, ids: IdSource, limits: Limits
    ) -> None:
        self._book = book
        self._providers = providers
        self._sink = sink
        self._ids = ids
        self._limits = limits
        self._room = Room(limits.max_in_flight_bytes)
        self._tally = Tally(tell_kept)
        self._aside = ThreadPoolExecutor(_THREADS, thread_name_prefix="judge")
        self._log = _log.bind()  # else structlog makes a logger anew for each line, also for one that is not written

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._answer(scope, receive, send)
        except Problem as problem:
            metrics.REFUSALS.labels(problem.code).inc()
            _log.debug("callback.refused", reason=problem.code, request_id=request_id_of(scope))
            await problem_response(problem, scope)(scope, receive, send)
        except _DisconnectedError:
            metrics.REFUSALS.labels("disconnected").inc()
        except Exception as error:  # noqa: BLE001 - the outermost door: no text of it may reach a log or a sender
            report_failure(error, scope)
            await problem_response(InternalError(), scope)(scope, receive, send)

    def close(self) -> None:
        """Have all counted that was kept."""
        self._tally.tell()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = await self._find_token(scope["path"])
        method: str = scope["method"]
        if method in PROBES:
            await _send(send, scope, 204, [(b"allow", ALLOWED.encode())])
            return
        if method not in _METHOD_CODES:
            raise WrongMethod(headers={"Allow": ALLOWED})
        try:
            with self._room.share() as share:
                body = await self._read_body(scope, receive, share)
                await self._take_in(scope, send, token, body)
        except FullError:
            raise Overloaded from None

    async def _find_token(self, path: str) -> Token:
        """Return the live token of a path; an unknown one is asked for once in the database."""
        words = [word for word in path.split("/") if word]
        if len(words) != 3 or words[0] != PREFIX or words[1] not in self._providers:  # noqa: PLR2004 - prefix and two
            raise UnknownCallback
        _, provider, secret = words
        digest = sha256(secret)
        token = self._book.present.tokens.get(digest)
        if token is None:
            try:
                await self._book.refresh()
            except AccountsUnavailableError:
                raise AccountsAway from None
            token = self._book.present.tokens.get(digest)
        if token is None or token.source.provider != provider:
            raise UnknownCallback
        return token

    async def _read_body(self, scope: Scope, receive: Receive, share: Share) -> bytes:
        """Return the body as it comes, within the bounds while it comes."""
        limit = self._limits.max_body_bytes
        if _declared_length(scope) > limit:
            raise BodyTooLarge(limit)
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _DisconnectedError
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise BodyTooLarge(limit)
            share.take(len(piece))
            pieces.append(piece)
            more = message.get("more_body", False)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _take_in(self, scope: Scope, send: Send, token: Token, body: bytes) -> None:
        """Judge a body, have it stored, answer."""
        began = time.perf_counter()
        delivery_id = self._ids.next()
        received_at = time_of(delivery_id)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        source = token.source
        peer = scope["client"][0] if scope.get("client") else ""
        address = sender_address(peer, scope["headers"], self._limits.trusted_proxies)
        sender = Sender(address, sealed_headers(headers, source, delivery_id.bytes), delivery_id.bytes)
        answer = await self._judge(source, body, sender, received_at)
        row = Row(
            id=delivery_id,
            source_id=source.id,
            token_id=token.id,
            received_at=received_at,
            via=_PUSH,
            method=_METHOD_CODES[scope["method"]],
            answered=answer.status,
            verdict=answer.verdict.rank,
            size=len(body),
            judged=answer.judged,
            body_sha256=hashlib.sha256(body).digest(),
            remote_addr=address.encode(),
            query=scope["query_string"],
            headers=orjson.dumps(sender.headers),
            body=body,
        )
        try:
            await self._sink.write(row)
        except NotKeptError:
            raise StorageAway from None
        self._book.note_use(token.id)
        self._tally.note(Kept(source.provider, answer, time.perf_counter() - began))
        await self._send_answer(send, scope, row, answer, source)

    async def _send_answer(self, send: Send, scope: Scope, row: Row, answer: Answer, source: Source) -> None:
        """Answer what was kept."""
        delivery_id = str(row.id)
        kept = (_DELIVERY_ID, delivery_id.encode())
        if answer.status == UNAUTHENTIC:
            await problem_response(_unauthentic(answer, source, delivery_id), scope)(scope, _nothing, send)
        elif answer.status == NOTIFIED:
            await _send(send, scope, NOTIFIED, [kept])
        else:
            await _send(send, scope, answer.status, [kept, _JSON], answer.body(delivery_id))
        if answer.reason is None:
            self._log.debug("delivery.accepted", delivery_id=delivery_id, status=answer.status)
        else:
            more = {} if answer.failed is None else {"check": answer.failed.value}
            reason = answer.reason.value
            self._log.info("delivery.quarantined", delivery_id=delivery_id, status=answer.status, reason=reason, **more)

    async def _judge(self, source: Source, body: bytes, sender: Sender, received_at: datetime) -> Answer:
        """Return the answer to a body; off the loop where that may take long."""
        encoding = header_value(sender.headers, "content-encoding")
        if not encoding and len(body) <= _PARSED_AT_ONCE:
            return self._judge_now(source, body, sender, encoding, received_at)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._aside, self._judge_now, source, body, sender, encoding, received_at
            )
        except BodyTooLargeError:
            raise BodyTooLarge(self._limits.max_body_bytes) from None

    def _judge_now(self, source: Source, body: bytes, sender: Sender, encoding: str, received_at: datetime) -> Answer:
        content = decoded_body(body, encoding, self._limits.max_body_bytes) if encoding else body
        if (failed := find_refusal(source, sender, body)) is not None:
            return refusal_for(failed, source)
        if content is None:
            return answer_for(Findings(reason=Reason.NOT_JSON), source)
        content_type = header_value(sender.headers, "content-type")
        try:
            return answer_for(self._providers[source.provider].find(content, content_type, source, received_at), source)
        except Exception as error:  # noqa: BLE001 - a fault of the reader must not refuse a body: it is kept, and told
            _log.error("delivery.find_failed", provider=source.provider, error=type(error).__qualname__)
            return answer_for(Findings(reason=Reason.UNKNOWN_SHAPE), source)


def _declared_length(scope: Scope) -> int:
    """Return the Content-Length, 0 where it is missing; the server has refused one that is no number."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
    return 0


def _unauthentic(answer: Answer, source: Source, delivery_id: str) -> Problem:
    """Return the problem of a 401: it does not say at what a sender failed, for that may be a stranger."""
    headers = {DELIVERY_HEADER: delivery_id}
    if answer.failed is None:
        return InvalidSignature(headers=headers, id=delivery_id)
    if "sender_user" in source.settings:  # some clients log in only when they are asked to
        headers["WWW-Authenticate"] = 'Basic realm="callbox", charset="UTF-8"'
    return SenderRefused(headers=headers, id=delivery_id)


async def _send(send: Send, scope: Scope, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    headers.append((_REQUEST_ID, request_id_of(scope).encode("latin-1")))
    if status != NOTIFIED:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _nothing() -> Message:
    """Stand for a request body that was read already."""
    return {"type": "http.disconnect"}
