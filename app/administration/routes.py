"""Binds what administrators do to its paths and describes it for the OpenAPI document.

What the endpoints do stands in `sources`, `source_parts` and `keys`; keys and entries are listed in `lists`.
"""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from app.administration import keys, source_parts, sources
from app.administration.authority import Admin, BeyondKey
from app.administration.doing import REPEATED, administration_of, change, make, read_order, without_body
from app.administration.lists import AnId
from app.administration.lists import router as lists
from app.administration.schemas import (
    Configuration,
    KeyMade,
    KeyShown,
    NewKey,
    NewSecret,
    NewSource,
    NewToken,
    SecretPage,
    SecretShown,
    SourceChange,
    TokenMade,
    TokenPage,
    TokenShown,
)
from app.problems import Invalid, NotFound, described
from app.query.access import Forbidden, Unauthorized
from app.query.answers import answer, tagged_answer
from app.query.documented import OnDemand, described_detail
from app.query.rate import TooManyRequests
from app.query.reading import DatabaseAway, TooSlow
from app.submissions.documented import inlined
from app.submissions.problems import BodyTooLong, IdempotencyKeyReused

router = APIRouter(prefix="/v1")
router.routes.extend(lists.routes)

_EXAMPLES: Final[dict[type[BaseModel], Any]] = {
    NewSource: {"provider": "thinksurance", "name": "pool-nord", "secrets": ["a shared secret"]},
    SourceChange: {"mode": "observe", "settings": {"overdue_after": "48h"}},
    NewToken: {"label": "since-2026"},
    NewSecret: {"secret": "a shared secret", "label": "since-2026"},
    NewKey: {"name": "dashboard", "scopes": ["read"], "sources": ["thinksurance-demo"], "expires": "90d"},
}
"""An example of each body."""

_COMMON = (Unauthorized, Forbidden, BeyondKey, Invalid, BodyTooLong, TooManyRequests, TooSlow, DatabaseAway)
_REPEATS = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Under a key it is made once: the same request again answers 200 with what was made, but not what is"
    " shown once; another request is refused (409). 1 to 255 visible ASCII characters, kept for 30 days.",
    "schema": {"type": "string"},
    "example": "pool-nord-2026",
}
_HEADERS = {REPEATED: {"description": "`true` on a repeat", "schema": {"type": "string"}}}

Name = Annotated[str, Path(description="the source's name", examples=["thinksurance-demo"])]
PartId = Annotated[str, Path(description="its id or its label", examples=["token-1"])]


def _body(schema: type[BaseModel], *, repeats: bool = True) -> dict[str, Any]:
    """Return how a body is described in the OpenAPI document: it is read only once it is known who asks."""
    return OnDemand(partial(_made_body, schema, repeats=repeats))


def _made_body(schema: type[BaseModel], *, repeats: bool) -> dict[str, Any]:
    described_as = schema.model_json_schema()
    plain = inlined(described_as, described_as.get("$defs", {}))
    content = {"application/json": {"schema": plain, "example": _EXAMPLES[schema]}}
    found: dict[str, Any] = {"requestBody": {"required": True, "content": content}}
    return found | ({"parameters": [_REPEATS]} if repeats else {})


def _made(schema: type[BaseModel], *problems: type[Any]) -> dict[int | str, dict[str, Any]]:
    return {
        201: {"model": schema, "description": "It is made."},
        200: {"model": schema, "description": "It had been made under this `Idempotency-Key`.", "headers": _HEADERS},
        **described(*_COMMON, IdempotencyKeyReused, *problems),
    }


def _changed(schema: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": schema, "description": "It."}, **described(*_COMMON, NotFound)}


@router.post(
    "/sources",
    name="add_source",
    operation_id="add_source",
    status_code=201,
    response_model=None,
    responses=_made(Configuration),
    openapi_extra=_body(NewSource),
    tags=["administration"],
)
async def add_source(request: Request, access: Admin) -> Response:
    """Make a source.

    Its callback URL is a credential, which no answer holds: the command in `url_command` shows it. Needs `admin` and a
    key without walls.
    """
    order, body = await read_order(request, access, NewSource, sources.POINTERS)
    return await make(order, sources.new_source(order, body))


@router.get(
    "/sources/{name}/configuration",
    name="get_source_configuration",
    operation_id="get_source_configuration",
    response_model=None,
    tags=["administration"],
    **described_detail(Configuration, problems=described(*_COMMON, NotFound)),
)
async def get_source_configuration(request: Request, name: Name, access: Admin) -> Response:
    """Get how a source is set up, and what else it can be given; no secrets. Needs `admin`."""
    order = without_body(request, access)
    shown = await administration_of(request).do(sources.shown_configuration(order, name))
    return tagged_answer(request, shown, access)


@router.patch(
    "/sources/{name}",
    name="change_source",
    operation_id="change_source",
    response_model=None,
    responses=_changed(Configuration),
    openapi_extra=_body(SourceChange, repeats=False),
    tags=["administration"],
)
async def change_source(request: Request, name: Name, access: Admin) -> Response:
    """Change mode, recipe, credentials or settings of a source, disable or enable it.

    What is not given stays; running receivers know within two seconds. Settings that decide where credentials are sent
    (`..._url`, `..._hosts`, `test_source`) are changed on the command line only. Needs `admin`.
    """
    order, body = await read_order(request, access, SourceChange, sources.POINTERS)
    return answer(await change(order, sources.changed_source(order, name, body)))


@router.get(
    "/sources/{name}/tokens",
    name="list_source_tokens",
    operation_id="list_source_tokens",
    response_model=None,
    responses=_changed(TokenPage),
    tags=["administration"],
)
async def list_source_tokens(request: Request, name: Name, access: Admin) -> Response:
    """List the tokens of a source, the revoked too; never their URLs. Needs `admin`."""
    without_body(request, access)
    return answer(await administration_of(request).do(source_parts.tokens_of(access, name)))


@router.post(
    "/sources/{name}/tokens",
    name="add_source_token",
    operation_id="add_source_token",
    status_code=201,
    response_model=None,
    responses=_made(TokenMade, NotFound),
    openapi_extra=_body(NewToken),
    tags=["administration"],
)
async def add_source_token(request: Request, name: Name, access: Admin) -> Response:
    """Give a source one more token; the earlier ones stay good.

    The URL with it is a credential, which no answer holds: the command in `url_command` shows it. Needs `admin`.
    """
    order, body = await read_order(request, access, NewToken, source_parts.POINTERS)
    return await make(order, source_parts.new_token(order, name, body))


@router.delete(
    "/sources/{name}/tokens/{token}",
    name="revoke_source_token",
    operation_id="revoke_source_token",
    response_model=None,
    responses=_changed(TokenShown),
    tags=["administration"],
)
async def revoke_source_token(request: Request, name: Name, token: PartId, access: Admin) -> Response:
    """Answer 404 at a token's URL for good, within two seconds; once more changes nothing. Needs `admin`."""
    order = without_body(request, access)
    return answer(await change(order, source_parts.revoked_token(order, name, token)))


@router.get(
    "/sources/{name}/secrets",
    name="list_source_secrets",
    operation_id="list_source_secrets",
    response_model=None,
    responses=_changed(SecretPage),
    tags=["administration"],
)
async def list_source_secrets(request: Request, name: Name, access: Admin) -> Response:
    """List the shared secrets of a source by label, the revoked too; never their values. Needs `admin`."""
    without_body(request, access)
    return answer(await administration_of(request).do(source_parts.secrets_of(access, name)))


@router.post(
    "/sources/{name}/secrets",
    name="add_source_secret",
    operation_id="add_source_secret",
    status_code=201,
    response_model=None,
    responses=_made(SecretShown, NotFound),
    openapi_extra=_body(NewSecret),
    tags=["administration"],
)
async def add_source_secret(request: Request, name: Name, access: Admin) -> Response:
    """Give a source one more secret to check signatures by; the earlier ones stay good. Needs `admin`."""
    order, body = await read_order(request, access, NewSecret, source_parts.POINTERS)
    return await make(order, source_parts.new_secret(order, name, body))


@router.delete(
    "/sources/{name}/secrets/{secret}",
    name="revoke_source_secret",
    operation_id="revoke_source_secret",
    response_model=None,
    responses=_changed(SecretShown),
    tags=["administration"],
)
async def revoke_source_secret(request: Request, name: Name, secret: PartId, access: Admin) -> Response:
    """Judge nothing by a secret, but for what comes in the next five seconds; once more changes nothing.

    What came before stays verified. Needs `admin`.
    """
    order = without_body(request, access)
    return answer(await change(order, source_parts.revoked_secret(order, name, secret)))


@router.post(
    "/keys",
    name="add_key",
    operation_id="add_key",
    status_code=201,
    response_model=None,
    responses=_made(KeyMade),
    openapi_extra=_body(NewKey),
    tags=["administration"],
)
async def add_key(request: Request, access: Admin) -> Response:
    """Make an API key; it is shown this once.

    It can do at most what the key that asks can: no other scopes, no wider walls, no later end. Needs `admin`.
    """
    order, body = await read_order(request, access, NewKey, keys.POINTERS)
    return await make(order, keys.new_key(order, body), {"key": None})


@router.delete(
    "/keys/{id}",
    name="revoke_key",
    operation_id="revoke_key",
    response_model=None,
    responses=_changed(KeyShown),
    tags=["administration"],
)
async def revoke_key(request: Request, id: AnId, access: Admin) -> Response:  # noqa: A002 - the path's name
    """Refuse a key for good, within two seconds; once more changes nothing. Needs `admin`."""
    return await keys.answer_revoked(request, id, access)
