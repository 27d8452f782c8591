"""Notes in the audit log who read what is personal, before it is answered.

The log itself is kept by the accounts room.
"""

from collections.abc import Sequence
from typing import Any

from app.accounts.audit import record_async
from app.accounts.model import Access
from app.query.personal import may_see
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
    detail = {"resource": resource, "count": len(ids), "ids": [str(one) for one in ids], **more}
    async with reading.adding() as connection:
        await record_async(connection, actor_of(access), "personal.read", detail)
