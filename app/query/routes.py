"""Binds the questions to their paths and describes them for the OpenAPI document."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.query.access import Reader, StraightRoute, Writer
from app.query.attention import router as attention_router
from app.query.bodies import answer_body
from app.query.brokers import router as brokers_router
from app.query.bulk_replays import answer_replays
from app.query.cursor import CursorAhead
from app.query.customers import CUSTOMERS
from app.query.deliveries import DELIVERIES
from app.query.details import answer_detail
from app.query.documented import (
    as_of_parameter,
    described_detail,
    detail_problems,
    history_problems,
    list_parameters,
    list_problems,
    page_parameters,
    past_problems,
    replay_parameters,
)
from app.query.documents import DOCUMENTS
from app.query.drift import DRIFT
from app.query.events import EVENTS
from app.query.export import router as export_router
from app.query.gaps import GAPS
from app.query.history import answer_history
from app.query.inquiries import INQUIRIES
from app.query.leads import LEADS
from app.query.lists import answer_list
from app.query.posted import posted_body, posted_parameters
from app.query.replays import answer_replay
from app.query.resource import Resource
from app.query.schemas.parts import History, Queued, QueuedPage
from app.query.search import router as search_router
from app.query.sources import SOURCES, answer_source
from app.query.statistics_routes import router as statistics_router
from app.query.stream import router as stream_router
from app.query.time_travel import PARAMETER as AS_OF
from app.query.time_travel import TRAVELLING, answer_as_of

RESOURCES = (DELIVERIES, EVENTS, INQUIRIES, CUSTOMERS, DOCUMENTS, LEADS, SOURCES, GAPS, DRIFT)
"""All lists."""

_WITH_HISTORY = (INQUIRIES, CUSTOMERS, LEADS)

Endpoint = Callable[..., Awaitable[Response]]
RecordId = Annotated[str, Path(description="Callbox's id", examples=["019a9c3e-1f00-7abc-8def-0123456789ab"])]

router = APIRouter(prefix="/v1", route_class=StraightRoute)


def _list_endpoint(resource: Resource) -> Endpoint:
    async def endpoint(request: Request, access: Reader) -> Response:
        return await answer_list(request, resource, access)

    return endpoint


def _detail_endpoint(resource: Resource) -> Endpoint:
    travels = resource in TRAVELLING

    async def endpoint(request: Request, id: RecordId, access: Reader) -> Response:  # noqa: A002 - the path's name
        if travels and AS_OF in request.query_params:
            return await answer_as_of(request, resource, id, access)
        return await answer_detail(request, resource, id, access, (AS_OF,) if travels else ())

    return endpoint


def _history_endpoint(resource: Resource) -> Endpoint:
    async def endpoint(request: Request, id: RecordId, access: Reader) -> Response:  # noqa: A002 - the path's name
        return await answer_history(request, resource, id, access)

    return endpoint


def _add(path: str, endpoint: Endpoint, name: str, about: str, **more: Any) -> None:
    router.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        name=name,
        operation_id=name,
        summary=about.partition(".")[0],
        description=about,
        response_model=None,
        **more,
    )


def _problems(resource: Resource) -> dict[int | str, dict[str, Any]]:
    return list_problems() if resource.feed is None else list_problems(CursorAhead)


def _add_list(resource: Resource) -> None:
    about = f"List {resource.name}, newest first. Filters are `field=value` and `field[op]=value`."
    model: Any = resource.page
    if resource.feed is not None:
        model = resource.feed | resource.page  # in this order: generated clients take the first that fits
        about += " With `order=asc` they come in the order in which they became readable, to be followed for ever."
    link = {"Link": {"description": 'the next page, `rel="next"`', "schema": {"type": "string"}}}
    _add(
        f"/{resource.name}",
        _list_endpoint(resource),
        f"list_{resource.name}",
        about,
        responses={200: {"model": model, "description": "A page.", "headers": link}, **_problems(resource)},
        tags=[resource.name],
        openapi_extra={"parameters": list_parameters(resource)},
    )


def _add_posted(resource: Resource) -> None:
    async def endpoint(request: Request, access: Reader) -> Response:
        return await answer_list(request, resource, access, await posted_parameters(request))

    model: Any = resource.page if resource.feed is None else resource.feed | resource.page
    router.add_api_route(
        f"/{resource.name}/query",
        endpoint,
        methods=["POST"],
        name=f"query_{resource.name}",
        operation_id=f"query_{resource.name}",
        summary=f"List {resource.name} by parameters in the body",
        description="The same as the list, for names in URLs end in the logs of proxies. A list of values is a "
        "repeated parameter.",
        response_model=None,
        responses={200: {"model": model, "description": "A page."}, **_problems(resource)},
        tags=[resource.name],
        openapi_extra={"requestBody": posted_body({"limit": 20, "order": "asc"})},
    )


def _add_detail(resource: Resource) -> None:
    model = resource.detail_schema or resource.schema
    about, documented = "", described_detail(model)
    if resource in TRAVELLING:
        about = f" With `as_of` as it was known then: from the {resource.kind}'s events received until that time."
        documented = described_detail(model, as_of_parameter(), problems=past_problems())
    _add(
        f"/{resource.name}/{{id}}",
        _detail_endpoint(resource),
        f"get_{resource.kind}",
        f"Get one {resource.kind}. {resource.hint}{about}",
        tags=[resource.name],
        **documented,
    )


def _add_history(resource: Resource) -> None:
    _add(
        f"/{resource.name}/{{id}}/history",
        _history_endpoint(resource),
        f"get_{resource.kind}_history",
        f"Get what changed in one {resource.kind}. Each entry is an event that changed something, newest first.",
        responses={200: {"model": History, "description": "A page."}, **history_problems()},
        tags=[resource.name],
        openapi_extra={"parameters": page_parameters()},
    )


for _resource in RESOURCES:
    _add_list(_resource)
for _others in (
    attention_router,
    brokers_router,
    export_router,
    search_router,
    statistics_router,
    stream_router,  # before the details, whose paths would take its last word for an id
):
    router.routes.extend(_others.routes)
for _resource in RESOURCES:
    _add_posted(_resource)
    if _resource is not SOURCES:
        _add_detail(_resource)
    if _resource in _WITH_HISTORY:
        _add_history(_resource)

_BYTES = {"description": "The bytes.", "content": {"application/octet-stream": {"schema": {"type": "string"}}}}


@router.get(
    "/deliveries/{id}/body",
    name="get_delivery_body",
    operation_id="get_delivery_body",
    response_model=None,
    response_class=Response,
    responses={200: _BYTES, **detail_problems()},
    tags=["deliveries"],
)
async def get_delivery_body(request: Request, id: RecordId, access: Reader) -> Response:  # noqa: A002 - the path's name
    """Get the bytes of a delivery as they came.

    Needs `read:personal`. Callback tokens and API keys inside are overwritten with `*`, but for keys with `admin`.
    """
    return await answer_body(request, id, access)


@router.post(
    "/deliveries/{id}/replay",
    name="replay_delivery",
    operation_id="replay_delivery",
    status_code=202,
    response_model=None,
    responses={202: {"model": Queued, "description": "It waits to be processed."}, **detail_problems()},
    tags=["deliveries"],
)
async def replay_delivery(request: Request, id: RecordId, access: Writer) -> Response:  # noqa: A002 - the path's name
    """Process a delivery again, with today's reader and secrets.

    It makes no new delivery and no new id. Needs `write`.
    """
    return await answer_replay(request, id, access)


@router.post(
    "/deliveries/replay",
    name="replay_deliveries",
    operation_id="replay_deliveries",
    status_code=202,
    response_model=None,
    responses={
        200: {"model": QueuedPage, "description": "With `dry_run`: how many there are."},
        202: {"model": QueuedPage, "description": "They wait to be processed."},
        **list_problems(),
    },
    tags=["deliveries"],
    openapi_extra={"parameters": replay_parameters(DELIVERIES)},
)
async def replay_deliveries(request: Request, access: Writer) -> Response:
    """Process the deliveries of a filter again, newest first, with today's reader and secrets.

    At least one filter is needed. At most 100 at a time, so that what comes meanwhile is not kept waiting: go on with
    `next_cursor`. Needs `write`.
    """
    return await answer_replays(request, access)


@router.get(
    "/sources/{name}",
    name="get_source",
    operation_id="get_source",
    response_model=None,
    tags=["sources"],
    **described_detail(SOURCES.schema),
)
async def get_source(
    request: Request,
    name: Annotated[str, Path(description="the source's name", examples=["thinksurance-demo"])],
    access: Reader,
) -> Response:
    """Get one source by its name."""
    return await answer_source(request, name, access)
