"""Binds the statistics to their paths and describes them for the OpenAPI document."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.query.access import Reader
from app.query.buckets import WORDS
from app.query.counted import STATISTICS
from app.query.documented import filter_parameters, list_problems, own_parameter
from app.query.funnel import GROUPS, answer_funnel
from app.query.inquiries import INQUIRIES
from app.query.schemas.statistics import FunnelStatistic
from app.query.statistics import answer_statistic

router = APIRouter(prefix="/v1/stats", tags=["statistics"])

_ZONE = own_parameter("tz", "The time zone of buckets and of dates in filters; the service's own by default.", "UTC")
_ABOUT = {
    "deliveries": "Count deliveries, and how long it took to process them.",
    "inquiries": "Count inquiries, and sum up their premiums.",
    "leads": "Count leads.",
}


def _group_by(groups: Any) -> dict[str, Any]:
    names = ", ".join(groups)
    return own_parameter("group_by", f"By what to group, separated by commas: {names}.", next(iter(groups)))


def _add(name: str) -> None:
    statistic = STATISTICS[name]

    async def endpoint(request: Request, access: Reader) -> Response:
        return await answer_statistic(request, name, access)

    times = list(statistic.times)
    own = [
        _group_by(statistic.groups),
        own_parameter("bucket", "Into which buckets of time; none by default.", "day", WORDS),
        own_parameter("by", f"The time that buckets go by; `{times[0]}` by default.", times[0], times),
        _ZONE,
    ]
    router.add_api_route(
        f"/{name}",
        endpoint,
        methods=["GET"],
        name=f"count_{name}",
        operation_id=f"count_{name}",
        summary=_ABOUT[name].rstrip("."),
        description=f"{_ABOUT[name]} Buckets without rows are present, from the beginning that a filter names until "
        "now or its end. Exact, late ones too.",
        response_model=None,
        responses={200: {"model": statistic.schema, "description": "It."}, **list_problems()},
        openapi_extra={"parameters": [*own, *filter_parameters(statistic.resource)]},
    )


for _name in STATISTICS:
    _add(_name)


@router.get(
    "/funnel",
    name="count_funnel",
    operation_id="count_funnel",
    response_model=None,
    responses={200: {"model": FunnelStatistic, "description": "It."}, **list_problems()},
    openapi_extra={
        "parameters": [
            own_parameter("from", "The first status, as number or name.", "4") | {"required": True},
            own_parameter("to", "The second status.", "6") | {"required": True},
            _group_by(GROUPS),
            _ZONE,
            *filter_parameters(INQUIRIES),
        ]
    },
)
async def count_funnel(request: Request, access: Reader) -> Response:
    """Count how many inquiries went from one status to another, and in how many days.

    By the days that the platform states (`iUpdated`), so that late callbacks are counted right.
    """
    return await answer_funnel(request, access)
