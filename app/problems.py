"""Says what went wrong in the one form of RFC 9457, whoever raised it.

Each room has its own problems, children of `Problem`; here are the general ones and the handlers.
"""

import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.crypto import mask_tokens
from app.posted import located
from app.request_id import HEADER, request_id_of

if TYPE_CHECKING:  # receiving does without FastAPI, which is slow to import
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError

MEDIA_TYPE = "application/problem+json"
_CALLBACKS = "/callbacks/"
_LONGEST_INSTANCE = 200
_LONGEST_NAME = 100
_HOME = str(Path(__file__).parent)
_MOST_FRAMES = 8
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_CODES = {"literal_error": "unknown-value", "enum": "unknown-value", "extra_forbidden": "unknown-field"}

log = structlog.get_logger(__name__)


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """Something went wrong."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"
    type: ClassVar[str] = "urn:callbox:problem:internal-error"

    def __init_subclass__(cls) -> None:
        """Derive the type from the code."""
        cls.type = f"urn:callbox:problem:{cls.code}"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Take `detail` instead of the docstring; `members` stand beside the standard ones in the body."""
        self.detail = detail or " ".join((type(self).__doc__ or self.title).split())
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})
        self.members = members
        super().__init__(self.detail)


class InternalError(Problem):
    """Something went wrong on our side. Name the request_id to those who run this service."""


class NotFound(Problem):
    """There is nothing here."""

    status = 404
    code = "not-found"
    title = "Not found"


class Invalid(Problem):
    """Something in the request cannot be used; `errors` says what."""

    status = 422
    code = "invalid-request"
    title = "Invalid request"


class _Plain(Problem):
    """A problem that has nothing but its HTTP status."""

    def __init__(self, status: int, detail: str | None, headers: Mapping[str, str] | None) -> None:
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
        super().__init__(detail or phrase, headers=headers)
        self.plain_status = status
        self.plain_title = phrase.capitalize()


_DETAILS = {
    404: "There is nothing at this path; /openapi.json lists the paths.",
    405: "This path does not take this method; the header Allow lists those it takes.",
}


def instance_of(scope: Scope) -> str:
    """Return the path of a request without anything secret: no query, no token, nothing after the provider."""
    path = str(scope.get("path", ""))
    if _CALLBACKS in path:
        before, _, rest = path.partition(_CALLBACKS)
        provider, slash, _ = rest.partition("/")
        path = f"{before}{_CALLBACKS}{provider}{slash}" + ("***" if slash else "")
    return mask_tokens(path)[:_LONGEST_INSTANCE]


def problem_body(problem: Problem, scope: Scope) -> dict[str, Any]:
    """Return the members of a problem as they are answered."""
    status, title, code, kind = problem.status, problem.title, problem.code, problem.type
    if isinstance(problem, _Plain):
        status, title = problem.plain_status, problem.plain_title
        code = title.lower().replace(" ", "-").replace("'", "")
        kind = f"urn:callbox:problem:{code}"
    return {
        "type": kind,
        "code": code,
        "title": title,
        "status": status,
        "detail": problem.detail,
        "instance": instance_of(scope),
        "request_id": request_id_of(scope),
        "errors": located(problem.errors, scope),
        **problem.members,
    }


def problem_response(problem: Problem, scope: Scope) -> Response:
    """Return a problem as an ASGI response; for the parts that stand beside FastAPI's routing."""
    body = problem_body(problem, scope)
    headers = {HEADER: body["request_id"], "Cache-Control": "no-store"} | problem.headers
    content = orjson.dumps(body, default=str)
    return Response(content, status_code=body["status"], headers=headers, media_type=MEDIA_TYPE)


def _from_http(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase if error.status_code in HTTPStatus._value2member_map_ else None
    detail = error.detail if isinstance(error.detail, str) and error.detail != phrase else None
    return _Plain(error.status_code, detail or _DETAILS.get(error.status_code), error.headers)


def _methods_at(app: "FastAPI", scope: Scope) -> list[str]:
    """Return what may be done at a path: Starlette names the methods of one route only, and there may be others."""
    from starlette.routing import Match  # noqa: PLC0415 - as above, receiving does without

    tries = [(method, {**scope, "method": method}) for method in _METHODS]
    found = [method for method, wanted in tries if any(one.matches(wanted)[0] is Match.FULL for one in app.routes)]
    return sorted({*found, "HEAD"}) if "GET" in found else found


def _from_validation(error: "RequestValidationError") -> Problem:
    """Say what FastAPI refused, without the refused values."""
    return Invalid(errors=[_one_error(one) for one in error.errors()])


def _one_error(one: Mapping[str, Any]) -> dict[str, str]:
    where, *rest = [str(step) for step in one.get("loc", ())] or ["body"]
    place = {"pointer": "/" + "/".join(rest)} if where == "body" else {"name": ".".join(rest)[:_LONGEST_NAME]}
    return {"in": where, **place, "code": code_of(str(one.get("type", "invalid"))), "detail": str(one.get("msg", ""))}


def code_of(kind: str) -> str:
    """Return our code for what pydantic calls a fault: a word with hyphens."""
    return _CODES.get(kind, kind.replace("_", "-"))


def report_failure(error: BaseException, scope: Scope) -> None:
    """Log an unforeseen exception by its kind and the places it passed; its text may hold data and is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    shown = [frame for frame in frames if f"{_HOME}/" in frame.filename or frame is frames[-1]][-_MOST_FRAMES:]
    log.error(
        "request.failed",
        request_id=request_id_of(scope),
        error=f"{type(error).__module__}.{type(error).__qualname__}",
        at=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in shown],
    )


class CatchAllMiddleware:
    """Turns what nobody foresaw into a 500 problem, before anything outside could log its text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:  # noqa: BLE001 - this is the outermost door
            report_failure(error, scope)
            if started:
                raise RuntimeError("the answer broke off, see request.failed") from None
            await problem_response(InternalError(), scope)(scope, receive, send)


def install(app: "FastAPI") -> None:
    """Make every error of `app` a problem: its own, FastAPI's, Starlette's and the unforeseen ones.

    Call it before other middlewares are added, so that they lie outside and see the finished answer.
    """
    from fastapi.exceptions import RequestValidationError  # noqa: PLC0415 - see above

    async def on_problem(request: Request, error: Exception) -> Response:
        return problem_response(error if isinstance(error, Problem) else InternalError(), request.scope)

    async def on_http(request: Request, error: Exception) -> Response:
        found = _from_http(error) if isinstance(error, HTTPException) else InternalError()
        if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            found.headers["Allow"] = ", ".join(_methods_at(app, request.scope))
        return problem_response(found, request.scope)

    async def on_validation(request: Request, error: Exception) -> Response:
        found = _from_validation(error) if isinstance(error, RequestValidationError) else InternalError()
        return problem_response(found, request.scope)

    async def on_anything(request: Request, error: Exception) -> Response:
        report_failure(error, request.scope)
        return problem_response(InternalError(), request.scope)

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_anything)
    app.add_middleware(CatchAllMiddleware)
    _describe(app)


SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "code", "title", "status", "detail", "instance", "request_id", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:callbox:problem:invalid-request"]},
        "code": {"type": "string", "description": "the kind of problem, stable", "examples": ["invalid-request"]},
        "title": {"type": "string", "examples": ["Invalid request"]},
        "status": {"type": "integer", "examples": [422]},
        "detail": {"type": "string", "examples": ["Something in the request cannot be used; `errors` says what."]},
        "instance": {"type": "string", "description": "the path, secrets masked", "examples": ["/v1/inquiries"]},
        "request_id": {"type": "string", "examples": ["0f8fad5bd9cb469fa16570867728950e"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "code", "detail"],
                "properties": {
                    "in": {"type": "string", "examples": ["query"]},
                    "name": {"type": "string", "description": "of the parameter", "examples": ["status"]},
                    "pointer": {"type": "string", "description": "into the body (RFC 6901)", "examples": ["/kind"]},
                    "code": {"type": "string", "examples": ["not-an-integer"]},
                    "detail": {"type": "string", "examples": ["is not a whole number"]},
                },
            },
        },
    },
}


def described(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of an endpoint that may answer with these problems."""
    by_status: dict[int, list[type[Problem]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {
            "description": "; ".join(f"`{kind.code}`: {' '.join((kind.__doc__ or '').split())}" for kind in of_status),
            "content": content,
        }
        for status, of_status in sorted(by_status.items())
    }


def _describe(app: "FastAPI") -> None:
    """Put the schema that `described` refers to into the OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = SCHEMA
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
