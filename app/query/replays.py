"""Takes the order to process a delivery again; doing it is the processor's business."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.audit import record_async
from app.accounts.model import Access
from app.query.answers import answer
from app.query.deliveries import DELIVERIES, PENDING
from app.query.details import check_parameters, no_such, parse_id
from app.query.reading import reading_of
from app.query.trail import actor_of
from app.query.walls import Statement, walled
from app.storage.models import deliveries, inbox


async def answer_replay(request: Request, text: str, access: Access) -> Response:
    """Put a delivery into the inbox again and return that it waits there.

    Raises:
        NotFound: there is no delivery of this id that the key may see.
    """
    check_parameters(request)
    delivery_id = parse_id(DELIVERIES, text)
    own = deliveries.c
    chosen: Statement = select(own.id, own.source_id).where(own.id == delivery_id)
    async with reading_of(request).writing() as connection:
        row = (await connection.execute(walled(chosen, deliveries, access))).mappings().one_or_none()
        if row is None:
            raise no_such(DELIVERIES)
        await connection.execute(
            insert(inbox).values(delivery_id=row["id"], source_id=row["source_id"]).on_conflict_do_nothing()
        )
        await record_async(connection, actor_of(access), "delivery.replay", {"id": str(delivery_id)})
    waiting = {"id": delivery_id, "status": PENDING, "links": {"self": f"/v1/deliveries/{delivery_id}"}}
    return answer(waiting, status=202)
