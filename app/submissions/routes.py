"""Binds calls, their list and the catalogs to their paths and describes them for the OpenAPI document.

What the endpoints do stands in `sending`, `listing` and `catalogs`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Path, Request, Response

from app.problems import Invalid, described
from app.query.access import Forbidden, Reader, Unauthorized, Writer
from app.query.answers import answer
from app.query.details import answer_detail, check_parameters
from app.query.documented import OnDemand, described_detail, list_parameters, list_problems
from app.query.lists import answer_list
from app.query.posted import posted_body, posted_parameters
from app.query.rate import TooManyRequests
from app.query.reading import DatabaseAway, TooSlow, reading_of
from app.query.trail import actor_of, note_reading
from app.submissions.bodies import access_token, idempotency_key, read_body, take_source
from app.submissions.calls import Kind
from app.submissions.catalogs import What, answer_catalog
from app.submissions.documented import headers, request_body
from app.submissions.kinds import KINDS
from app.submissions.listing import SUBMISSIONS
from app.submissions.problems import (
    AnswerNotKept,
    BodyTooLong,
    CallUnderWay,
    IdempotencyKeyReused,
    PlatformFailed,
    SourceNotReady,
)
from app.submissions.schemas import Catalog, MadeSubmission
from app.submissions.sending import Order, Sender, shown

REPEATED = "Idempotency-Replayed"

_log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1")

Endpoint = Callable[..., Awaitable[Response]]
SubmissionId = Annotated[str, Path(description="Callbox's id", examples=["019a9c3e-1f00-7abc-8def-0123456789ab"])]


def sender_of(request: Request) -> Sender:
    """Return what the application was started with."""
    found = request.app.state.sender
    if not isinstance(found, Sender):
        raise TypeError("app.state.sender is not set")
    return found


def _submit_endpoint(kind: Kind) -> Endpoint:
    async def endpoint(request: Request, access: Writer) -> Response:
        check_parameters(request)
        body = await read_body(request)
        source = take_source(request, body, kind.provider, access)
        order = Order(
            source=source,
            kind=kind,
            body=body,
            access=access,
            actor=actor_of(access),
            idempotency_key=idempotency_key(request.headers),
            access_token=access_token(request.headers) if kind.provider == "wegroup" else None,
        )
        made = await sender_of(request).submit(order, reading_of(request).book.present.sources)
        if made.is_repeat:  # the request and its answer are read from what is kept
            await note_reading(reading_of(request), access, SUBMISSIONS.name, [made.row["id"]])
        _log.info("submission.made", submission=str(made.row["id"]), kind=kind.path, state=made.row["state"])
        told: Mapping[str, str] = {REPEATED: "true"} if made.is_repeat else {}
        place = {"Location": f"/v1/submissions/{made.row['id']}"}
        return answer(shown(made, access), status=200 if made.is_repeat else 201, headers=place | dict(told))

    return endpoint


_PROBLEMS = (
    Unauthorized,
    Forbidden,
    Invalid,
    IdempotencyKeyReused,
    AnswerNotKept,
    SourceNotReady,
    BodyTooLong,
    TooManyRequests,
    CallUnderWay,
    DatabaseAway,
    TooSlow,
)


def _add_submit(kind: Kind) -> None:
    router.add_api_route(
        f"/submissions/{kind.path}",
        _submit_endpoint(kind),
        methods=["POST"],
        name=f"submit_{kind.provider}_{kind.name}",
        operation_id=f"submit_{kind.provider}_{kind.name}".replace("-", "_"),
        summary=kind.about.partition(". ")[0].rstrip("."),
        description=f"{kind.about} The body has the platform's own field names beside `source`. Whatever the platform"
        " says, the answer is the submission: look at its `state`. Needs `write`.",
        status_code=201,
        response_model=None,
        responses={
            201: {"model": MadeSubmission, "description": "The call was made; `state` says what came of it."},
            200: {"model": MadeSubmission, "description": "It had been made before under this `Idempotency-Key`."},
            **described(*_PROBLEMS),
        },
        openapi_extra=OnDemand(lambda: {"requestBody": request_body(kind), "parameters": headers(kind)}),
        tags=["submissions"],
    )


for _kind in KINDS.values():
    _add_submit(_kind)


@router.get(
    "/submissions",
    name="list_submissions",
    operation_id="list_submissions",
    response_model=None,
    responses={200: {"model": SUBMISSIONS.page, "description": "A page."}, **list_problems()},
    openapi_extra={"parameters": list_parameters(SUBMISSIONS)},
    tags=["submissions"],
)
async def list_submissions(request: Request, access: Reader) -> Response:
    """List submissions, newest first. Open ones are `state=sending,accepted,unknown`, late ones `state=overdue`."""
    return await answer_list(request, SUBMISSIONS, access)


@router.post(
    "/submissions/query",
    name="query_submissions",
    operation_id="query_submissions",
    response_model=None,
    responses={200: {"model": SUBMISSIONS.page, "description": "A page."}, **list_problems()},
    openapi_extra={"requestBody": posted_body({"limit": 20, "state": "overdue"})},
    tags=["submissions"],
)
async def query_submissions(request: Request, access: Reader) -> Response:
    """List submissions by parameters in the body, so that no reference stands in a URL and so in a log."""
    return await answer_list(request, SUBMISSIONS, access, await posted_parameters(request))


@router.get(
    "/submissions/{id}",
    name="get_submission",
    operation_id="get_submission",
    response_model=None,
    tags=["submissions"],
    **described_detail(SUBMISSIONS.schema),
)
async def get_submission(request: Request, id: SubmissionId, access: Reader) -> Response:  # noqa: A002 - the path's name
    """Get one submission: a call that Callbox made, with its answer and the first callback about it."""
    return await answer_detail(request, SUBMISSIONS, id, access)


_SOURCE = {
    "name": "source",
    "in": "query",
    "required": False,
    "description": "The account to ask by; needed where there are several.",
    "schema": {"type": "string"},
    "example": "thinksurance-demo",
}
_PROFESSION = {
    "name": "professionId",
    "in": "query",
    "required": False,
    "description": "Only the products for this profession.",
    "schema": {"type": "integer"},
    "example": 311,
}


def _add_catalog(what: What, parameters: list[dict[str, Any]]) -> None:
    async def endpoint(request: Request, access: Reader) -> Response:
        return await answer_catalog(request, sender_of(request).catalogs, what, access)

    router.add_api_route(
        f"/catalogs/thinksurance/{what}",
        endpoint,
        methods=["GET"],
        name=f"get_thinksurance_{what}",
        operation_id=f"get_thinksurance_{what}",
        summary=f"Get Thinksurance's {what}",
        description=f"Get Thinksurance's {what}, as the account sees them. Kept for ten minutes.",
        response_model=None,
        responses={
            200: {"model": Catalog, "description": "All of them."},
            **described(
                Unauthorized, Forbidden, Invalid, SourceNotReady, TooManyRequests, PlatformFailed, DatabaseAway, TooSlow
            ),
        },
        openapi_extra={"parameters": parameters},
        tags=["catalogs"],
    )


_add_catalog("products", [_SOURCE, _PROFESSION])
_add_catalog("professions", [_SOURCE])
