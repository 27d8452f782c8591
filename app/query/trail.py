"""Notes in the audit log who read what is personal, before it is answered.

The log itself is kept by the accounts room.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from app.accounts.audit import record_reading
from app.accounts.model import Access
from app.query.personal import may_see
from app.query.prepared import driver_of
from app.query.reading import Reading


def actor_of(access: Access) -> str:
    """Return how the log names who asked."""
    return f"key:{access.key_id}"


async def note_reading(reading: Reading, access: Access, resource: str, ids: Sequence[Any], **more: Any) -> None:
    """Commit an entry that says which records were read; never by which values they were found.

    Nothing is noted for keys that see nothing personal.
    """
    if not may_see(access):
        return
    detail = {"resource": resource, "count": len(ids), "ids": [*ids], **more}
    async with reading.adding() as connection:
        await record_reading(driver_of(connection), actor_of(access), "personal.read", detail)


@asynccontextmanager
async def noting(
    reading: Reading, access: Access, resource: str, ids: Sequence[Any], **more: Any
) -> AsyncGenerator[None]:
    """Have `note_reading` done at the end, begun at once: the disk is waited for while the answer is written."""
    noted = asyncio.create_task(note_reading(reading, access, resource, ids, **more))
    await asyncio.sleep(0)  # so that the entry is on its way
    try:
        yield
    finally:
        await noted
