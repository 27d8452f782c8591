"""Binds the jobs to their paths and describes them for the OpenAPI document.

What the endpoints do stands in `listing`.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.accounts.model import Access, Scope
from app.jobs.listing import FIELDS, NotDead, answer_job, answer_jobs, answer_retry
from app.jobs.schemas import Job, JobPage
from app.problems import described
from app.query.access import Forbidden, identified, require
from app.query.documented import (
    described_detail,
    detail_problems,
    fields_parameters,
    list_problems,
    looks_parameters,
    page_parameters,
)
from app.query.posted import posted_body, posted_parameters

router = APIRouter(prefix="/v1", tags=["jobs"])

JobId = Annotated[str, Path(description="the job's number", examples=["4711"])]


async def keeper(access: Annotated[Access, Depends(identified)]) -> Access:
    """Return who asks, if they may administer and the key has no walls: jobs are of all sources."""
    require(access, Scope.ADMIN)
    if access.source_ids is not None or access.brokers is not None:
        raise Forbidden("The key is for certain sources or brokers; jobs are of all.")
    return access


Keeper = Annotated[Access, Depends(keeper)]


@router.get(
    "/jobs",
    name="list_jobs",
    operation_id="list_jobs",
    response_model=None,
    responses={200: {"model": JobPage, "description": "A page."}, **list_problems()},
    openapi_extra={"parameters": [*page_parameters(), *looks_parameters(Job), *fields_parameters(FIELDS)]},
)
async def list_jobs(request: Request, access: Keeper) -> Response:
    """List jobs, newest first. Those that were given up are `state=dead`.

    Needs `admin`, and a key without walls. What is done is cleared away after a day, what is dead after 30 days.
    """
    return await answer_jobs(request, access)


@router.post(
    "/jobs/query",
    name="query_jobs",
    operation_id="query_jobs",
    response_model=None,
    responses={200: {"model": JobPage, "description": "A page."}, **list_problems()},
    openapi_extra={"requestBody": posted_body({"limit": 20, "state": "dead"})},
)
async def query_jobs(request: Request, access: Keeper) -> Response:
    """List jobs by parameters in the body. Needs `admin`, and a key without walls."""
    return await answer_jobs(request, access, await posted_parameters(request))


@router.get(
    "/jobs/{id}",
    name="get_job",
    operation_id="get_job",
    response_model=None,
    **described_detail(Job),
)
async def get_job(request: Request, id: JobId, access: Keeper) -> Response:  # noqa: A002 - the path's name
    """Get one job. Needs `admin`, and a key without walls."""
    return await answer_job(request, id, access)


@router.post(
    "/jobs/{id}/retry",
    name="retry_job",
    operation_id="retry_job",
    status_code=202,
    response_model=None,
    responses={
        202: {"model": Job, "description": "It waits to be done again."},
        **detail_problems(),
        **described(NotDead),
    },
)
async def retry_job(request: Request, id: JobId, access: Keeper) -> Response:  # noqa: A002 - the path's name
    """Try a dead job again, at once. Needs `admin`, and a key without walls."""
    return await answer_retry(request, id, access)
