"""Writes answers: JSON by orjson, times in UTC with milliseconds and `Z`, links to the next page."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from app.accounts.model import Access
from app.query.personal import may_see
from app.times import to_text

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


def to_json(value: Any) -> bytes:
    """Return a value of rows as JSON."""
    return orjson.dumps(value, default=_plain, option=_OPTIONS)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a value as the answer of an endpoint. Answers depend on the key, so nobody between may keep them."""
    return Response(
        to_json(value),
        status_code=status,
        headers={"Cache-Control": "private, no-store", **(headers or {})},
        media_type="application/json",
    )


def tagged_answer(request: Request, value: Any, access: Access) -> Response:
    """Return a value with its `ETag`, or 304 where the caller has it.

    The tag is another one with `read:personal`, also where nothing is hidden now: what is cached by it is of one scope.
    """
    body = to_json(value)
    tag = f'"{hashlib.sha256(body + bytes([may_see(access)])).hexdigest()[:32]}"'
    headers = {"Cache-Control": "private, no-cache", "ETag": tag, "Vary": "Authorization"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def reader_gone(receive: Receive) -> bool:
    """Return when the reader of an answer has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return True


def next_link(base: str, path: str, parameters: Sequence[tuple[str, str]], cursor: str) -> str:
    """Return the header `Link` to the next page: the same question with another cursor."""
    kept = [(name, text) for name, text in parameters if name != "cursor"]
    return f'<{base}{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
