"""Reads what a caller sends to have a call made: the body, the account it names, the headers beside it.

The fields of a body are checked by its kind, before anything is sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request

from app.accounts.model import Access, Source
from app.problems import Invalid
from app.providers.checking import FieldProblem
from app.query.reading import reading_of
from app.submissions import wegroup
from app.submissions.calls import field_errors
from app.submissions.problems import BodyTooLong

ACCESS_TOKEN = "X-WeGroup-Access-Token"  # noqa: S105 - the name of a header
IDEMPOTENCY_KEY = "Idempotency-Key"

MOST_BYTES = 1_000_000
_MOST_DEPTH = 32
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_TOKEN = re.compile(r"[\x21-\x7e]{1,8000}")


async def read_body(request: Request) -> dict[str, Any]:
    """Return the body as an object.

    Raises:
        BodyTooLong: it has more than a megabyte.
        Invalid: it is no JSON object, or holds text that cannot be kept.
    """
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BYTES:
            raise BodyTooLong
    return parse_body(bytes(raw))


def parse_body(raw: bytes) -> dict[str, Any]:
    """Return a body as an object; raises as `read_body`."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise wrong("", "not-json", "is no JSON") from None
    if not isinstance(body, dict):
        raise wrong("", "not-an-object", "is no JSON object")
    for pointer, depth, text in _texts(body, "", 1):
        if depth > _MOST_DEPTH:
            raise wrong("", "too-deep", f"is nested deeper than {_MOST_DEPTH} levels")
        if "\x00" in text:
            raise wrong(pointer, "unusable-text", "holds the character U+0000")
    return body


def _texts(value: Any, pointer: str, depth: int) -> Iterator[tuple[str, int, str]]:
    """Yield each text and each name, with where it stands and how deep."""
    if isinstance(value, str):
        yield pointer, depth, value
    elif depth > _MOST_DEPTH:
        yield pointer, depth, ""
    elif isinstance(value, dict):
        for name, child in value.items():
            yield pointer, depth, name
            yield from _texts(child, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", depth + 1)
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from _texts(child, f"{pointer}/{place}", depth + 1)


def take_source(request: Request, body: dict[str, Any], provider: str, access: Access) -> Source:
    """Take `source` out of a body and return the account it names.

    Raises:
        Invalid: it names none of the provider that the key may see.
    """
    sources = reading_of(request).book.present.sources.values()
    visible = [one for one in sources if access.source_ids is None or one.id in access.source_ids]
    return find_source(body.pop("source", None), provider, visible)


def find_source(name: Any, provider: str, sources: list[Source]) -> Source:
    """Return the source of a name; raises as `take_source`."""
    if name is None:
        raise wrong("/source", "missing", "is needed: the name of the account to call by")
    for source in sources:
        if source.name == name and source.provider == provider:
            return source
    names = ", ".join(sorted(source.name for source in sources if source.provider == provider))
    raise wrong("/source", "unknown-value", f"is no {provider} source; there are: {names or 'none'}")


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the key by which a repeat is known.

    Raises:
        Invalid: it is empty, too long or not plain.
    """
    return _header(headers, IDEMPOTENCY_KEY, _KEY, "has 1 to 255 visible ASCII characters")


def access_token(headers: Mapping[str, str]) -> str | None:
    """Return the caller's own access token at WeGroup; raises as `idempotency_key`."""
    return _header(headers, ACCESS_TOKEN, _TOKEN, "is no access token")


def _header(headers: Mapping[str, str], name: str, form: re.Pattern[str], detail: str) -> str | None:
    value = headers.get(name.lower())
    if value is not None and not form.fullmatch(value):
        error = {"in": "header", "name": name, "code": "unusable", "detail": detail}
        raise Invalid(f"The header `{name}` {detail}.", errors=[error])
    return value


def wrong(pointer: str, code: str, detail: str) -> Invalid:
    """Return the problem with one field of the body, or (an empty pointer) with all of it."""
    error = {"in": "body", "pointer": pointer, "code": code, "detail": detail}
    return Invalid(f"The body's field `{pointer}` {detail}." if pointer else f"The body {detail}.", errors=[error])


def unusable(problems: Sequence[FieldProblem]) -> Invalid:
    """Return the problem with the fields that the kind of call cannot use."""
    errors = [_place(one) for one in field_errors(problems)]
    missing = [one.dotted for one in problems if one.code == "missing"]
    detail = f"Nothing was sent: these fields are missing: {', '.join(missing)}." if missing else None
    return Invalid(detail or "Nothing was sent: fields of the body cannot be used; `errors` says which.", errors=errors)


def _place(error: Mapping[str, str]) -> dict[str, str]:
    """Return an error with where it is: all but the caller's access token stands in the body."""
    if error["pointer"] != f"/{wegroup.ACCESS_TOKEN}":
        return {"in": "body", **error}
    return {"in": "header", "name": ACCESS_TOKEN, "code": error["code"], "detail": error["detail"]}
