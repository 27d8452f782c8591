"""Reads questions that are sent as JSON: the same parameters as in a URL, where names in logs would be a leak."""

from typing import Any, Final

import orjson
from starlette.requests import Request

from app.posted import have_posted, pointer_to
from app.problems import Invalid
from app.query.filters import Parameters

MOST_BYTES: Final = 65_536
_EXAMPLE: Final = {"customer.last_name[prefix]": "Muster", "status": [4, 6], "limit": 20}


async def posted_parameters(request: Request) -> Parameters:
    """Return the parameters in a body: an object of texts, numbers, booleans, objects, or lists for a repeated one.

    Raises:
        Invalid: the body is none such, or there are parameters in the URL besides.
    """
    have_posted(request)
    if request.query_params:
        raise _wrong("", "in-the-url", "is the one place for parameters here; there are some in the URL")
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MOST_BYTES:
            raise _wrong("", "too-large", f"is larger than {MOST_BYTES} bytes")
    try:
        body = orjson.loads(bytes(raw) or b"{}")
    except orjson.JSONDecodeError:
        raise _wrong("", "not-json", "is no JSON") from None
    if not isinstance(body, dict):
        raise _wrong("", "not-an-object", "is no object of parameters")
    found: list[tuple[str, str]] = []
    for name, value in body.items():
        if value == []:
            raise _wrong(pointer_to(name), "empty", "is an empty list: leave it out, or ask with [null]")
        texts = [_text(name, one) for one in (value if isinstance(value, list) else [value])]
        found += [(name, text) for text in texts]
    return found


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        try:
            return orjson.dumps(value).decode()
        except orjson.JSONEncodeError:
            raise _wrong(pointer_to(name), "too-deep", "is nested deeper than anything that is kept") from None
    if isinstance(value, str | int | float):
        return str(value)
    raise _wrong(pointer_to(name), "unusable-value", "is no text, number or boolean, nor a list of them")


def _wrong(pointer: str, code: str, detail: str) -> Invalid:
    where = f"`{pointer}`" if pointer else "The body"
    return Invalid(f"{where} {detail}.", errors=[{"in": "body", "pointer": pointer, "code": code, "detail": detail}])


def posted_body(example: Any = None) -> dict[str, Any]:
    """Return how such a body is described in the OpenAPI document."""
    schema = {"type": "object", "additionalProperties": True}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example or _EXAMPLE}}}
