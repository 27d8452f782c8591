"""Does what administrators ask for: in one transaction beside the event loop, once under an `Idempotency-Key`.

What is done is told by the endpoints; who may ask for it is settled in `authority`.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.accounts.snapshot import AccountsUnavailableError
from app.accounts.writing import AccountError, Connection
from app.config import Settings
from app.crypto import Vault
from app.posted import pointer_to
from app.problems import Invalid, code_of
from app.query.answers import answer, to_json
from app.query.details import check_parameters
from app.query.reading import DatabaseAway, reading_of, translated_errors
from app.query.trail import actor_of
from app.storage.database import UnreachableError, connect
from app.submissions.bodies import idempotency_key, parse_body
from app.submissions.problems import BodyTooLong, IdempotencyKeyReused

REPEATED: Final = "Idempotency-Replayed"
MOST_BYTES: Final = 262_144
_OPTIONS: Final = "-c timezone=UTC -c statement_timeout=5s -c lock_timeout=2s -c synchronous_commit=on -c jit=off"
_FORGET: Final = "DELETE FROM api_requests WHERE created_at < clock_timestamp() - interval '30 days'"
_BEGIN: Final = """
INSERT INTO api_requests (actor, idempotency_key, request_sha256) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_KNOWN: Final = "SELECT request_sha256, answer FROM api_requests WHERE actor = %s AND idempotency_key = %s"
_END: Final = "UPDATE api_requests SET answer = %s::jsonb WHERE actor = %s AND idempotency_key = %s"
_TYPES: Final = ("str", "list[str]")
"""What pydantic names where a value may be of several types, and is no place in the body."""

Made = TypeVar("Made")
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Administration:
    """What the endpoints stand on: set as `app.state.administration` while the application runs."""

    url: str
    vault: Vault
    settings: Settings

    async def do(self, work: Callable[[Connection], Made]) -> Made:
        """Do something in one transaction on the primary, and return what it returns once that is committed.

        Raises:
            DatabaseAway, TooSlow: nothing was done, or (DatabaseAway) nobody knows.
        """
        return await asyncio.shield(asyncio.to_thread(self._do, work))

    def _do(self, work: Callable[[Connection], Made]) -> Made:
        try:
            with (
                translated_errors(),
                closing(connect(self.url, options=_OPTIONS)) as connection,
                connection.transaction(),
            ):
                return work(connection)
        except UnreachableError:
            raise DatabaseAway(headers={"Retry-After": "2"}) from None


@dataclass(frozen=True, slots=True)
class Order:
    """What an administrator asks for: who, under which key of theirs, and by which a repeat is known.

    `pointers` name the fields of the body that the words of the accounts room stand for. None: there is no body, and
    the words stand for parts of the path.
    """

    request: Request
    access: Access
    pointers: Mapping[str, str] | None
    idempotency_key: str | None = None
    digest: bytes = b""

    @property
    def actor(self) -> str:
        """Return how the audit log names who asks."""
        return actor_of(self.access)


def administration_of(request: Request) -> Administration:
    """Return what the application was started with."""
    found = request.app.state.administration
    if not isinstance(found, Administration):
        raise TypeError("app.state.administration is not set")
    return found


async def read_order(
    request: Request, access: Access, schema: type[Body], pointers: Mapping[str, str]
) -> tuple[Order, Body]:
    """Return what is asked for, and the body.

    Raises:
        Invalid: the body is none such; every field is named, no value repeated.
        BodyTooLong: it is longer than anything that makes sense here.
    """
    check_parameters(request)
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MOST_BYTES:
            raise BodyTooLong("The body is longer than 256 kB.")
    try:
        body = schema.model_validate(parse_body(bytes(raw) or b"{}"))
    except ValidationError as error:
        raise _unusable(error) from None
    # Keyed, so that no secret in the body can be guessed by its digest.
    place = f"{request.method} {request.url.path}\n".encode()
    digest = hmac.digest(reading_of(request).cursor_key, b"administration" + place + raw, "sha256")
    return Order(request, access, pointers, idempotency_key(request.headers), digest), body


def _unusable(error: ValidationError) -> Invalid:
    found = error.errors(include_input=False, include_url=False, include_context=False)
    errors = [
        {
            "in": "body",
            "pointer": "".join(pointer_to(str(step)) for step in one["loc"] if step not in _TYPES),
            "code": code_of(one["type"]),
            "detail": one["msg"],
        }
        for one in found
    ]
    names = ", ".join(dict.fromkeys(f"`{one['pointer']}`" for one in errors))
    return Invalid(f"Fields of the body cannot be used: {names}.", errors=errors)


async def make(
    order: Order, work: Callable[[Connection], dict[str, Any]], shown_once: Mapping[str, Any] | None = None
) -> Response:
    """Answer 201 with what `work` made, or 200 with what it made before under the same `Idempotency-Key`.

    `shown_once` are the fields that are not kept, and what a repeat shows in their place.

    Raises:
        IdempotencyKeyReused: the key was used for another request.
        Invalid: the accounts room refused; the field is named.
    """
    kept = dict(shown_once or {})

    def once(connection: Connection) -> tuple[dict[str, Any], bool]:
        name = (order.actor, order.idempotency_key)
        if order.idempotency_key is None:
            return work(connection), False
        connection.execute(_FORGET)
        if not connection.execute(_BEGIN, (*name, order.digest)).rowcount:
            digest, before = connection.execute(_KNOWN, name).fetchone() or (b"", None)
            if bytes(digest) != order.digest or before is None:
                raise IdempotencyKeyReused("This `Idempotency-Key` was used for another request.")
            return before | kept, True
        made = work(connection)
        left = {field: value for field, value in made.items() if field not in kept}
        connection.execute(_END, (to_json(left).decode(), *name))
        return made, False

    made, is_repeat = await change(order, once)
    headers = {REPEATED: "true"} if is_repeat else {}
    if (own := (made.get("links") or {}).get("self")) is not None:
        headers["Location"] = own
    return answer(made, status=200 if is_repeat else 201, headers=headers)


async def change(order: Order, work: Callable[[Connection], Made]) -> Made:
    """Do something, and have this process know of it at once; the others do within two seconds.

    Raises:
        Invalid: the accounts room refused; the field is named.
    """
    try:
        made = await administration_of(order.request).do(work)
    except AccountError as error:
        raise _refused(error, order.pointers) from None
    with suppress(AccountsUnavailableError):
        await reading_of(order.request).book.refresh()
    return made


def _refused(error: AccountError, pointers: Mapping[str, str] | None) -> Invalid:
    if pointers is None:
        one = {"in": "path", "name": error.field, "code": "refused", "detail": error.reason}
        return Invalid(f"The path's `{error.field}`: {error.reason}.", errors=[one])
    pointer = pointers.get(error.field, "/" + error.field.replace(".", "/"))
    one = {"in": "body", "pointer": pointer, "code": "refused", "detail": error.reason}
    return Invalid(f"The body's field `{pointer}`: {error.reason}.", errors=[one])


def without_body(request: Request, access: Access) -> Order:
    """Return an order that needs no body."""
    check_parameters(request)
    return Order(request, access, None)


def pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names with each of their values; null and `[]`, which remove, are an empty one."""
    return [
        (name, one or "")
        for name, value in values.items()
        for one in (value if isinstance(value, list) else [value]) or [""]
    ]


def jsonable(shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown as it will stand in the answer, so that a repeat shows the very same."""
    found: dict[str, Any] = orjson.loads(to_json(shown))
    return found
