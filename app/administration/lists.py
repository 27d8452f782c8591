"""Binds the lists of keys and of the audit log to their paths: lists like any other, for administrators.

What a row is stands in `keys` and `entries`; how a list is answered is the query room's business.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.administration.authority import Admin
from app.administration.entries import ENTRIES
from app.administration.keys import KEYS
from app.query.details import answer_detail
from app.query.documented import described_detail, list_parameters, list_problems
from app.query.lists import answer_list
from app.query.posted import posted_body, posted_parameters
from app.query.resource import Resource

router = APIRouter(prefix="/v1")

AnId = Annotated[str, Path(description="Callbox's id", examples=["019a9c3e-1f00-7abc-8def-0123456789ab"])]


def _add_list(resource: Resource, one: str, all_: str, about: str) -> None:
    async def listed(request: Request, access: Admin) -> Response:
        return await answer_list(request, resource, access)

    async def posted(request: Request, access: Admin) -> Response:
        return await answer_list(request, resource, access, await posted_parameters(request))

    async def detail(request: Request, id: AnId, access: Admin) -> Response:  # noqa: A002 - the path's name
        return await answer_detail(request, resource, id, access)

    page = {200: {"model": resource.page, "description": "A page."}, **list_problems()}
    name, path, kind = resource.name, f"/{resource.name}", resource.kind
    more: dict[str, Any] = {"response_model": None, "tags": ["administration"]}
    router.add_api_route(
        path,
        listed,
        name=f"list_{name}",
        operation_id=f"list_{name}",
        summary=f"List {all_}",
        description=f"List {all_}, newest first: {about}. Needs `admin`.",
        responses=page,
        openapi_extra={"parameters": list_parameters(resource)},
        **more,
    )
    router.add_api_route(
        f"{path}/query",
        posted,
        methods=["POST"],
        name=f"query_{name}",
        operation_id=f"query_{name}",
        summary=f"List {all_} by parameters in the body",
        description=f"List {all_} by parameters in the body: {about}. Needs `admin`.",
        responses=page,
        openapi_extra={"requestBody": posted_body({"limit": 20, "order": "asc"})},
        **more,
    )
    router.add_api_route(
        f"{path}/{{id}}",
        detail,
        name=f"get_{kind}",
        operation_id=f"get_{kind}",
        summary=f"Get {one}",
        description=f"Get {one}. Needs `admin`.",
        **described_detail(resource.schema),
        **more,
    )


_add_list(KEYS, "an API key", "API keys", "the revoked too, never the keys themselves")
_add_list(
    ENTRIES,
    "an entry of the audit log",
    "the audit log",
    "who read personal data, exported, replayed, changed keys or sources",
)
