"""Looks at the store of the documents: whether a file can be written to it, read and deleted.

What is kept in it is the jobs' business.
"""

import asyncio
from typing import Final

from app.cli.doctor.finding import Finding
from app.cli.doctor.spool import can_be_written
from app.config import Settings

WITHIN_S: Final = 10.0


def look_at_document_store(settings: Settings) -> Finding:
    """Find whether it can be used, by a file that is deleted again; a folder that is not there yet is not made.

    To make it would leave a folder of this user's to a service that may be another's.
    """
    from app.documents.store import find_folder  # noqa: PLC0415 - heavy

    folder = find_folder(settings)
    place = "the bucket" if folder is None else str(folder)
    if folder is not None and not folder.exists():
        well = can_be_written(folder)
        detail = f"{place} is not there yet" + ("" if well else ", and cannot be made")
    else:
        trouble = _trouble(settings)
        well = trouble is None
        detail = f"{place} can be written and read" if well else f"{place} cannot be used: {trouble}"
    setting = "CALLBOX_DOCUMENT_STORE" if settings.document_store else "CALLBOX_DATA_DIR"
    values = {"folder": None if folder is None else str(folder)}
    return Finding("document_store", well=well, detail=detail if well else f"{setting}: {detail}", values=values)


def _trouble(settings: Settings) -> str | None:
    """Return why the store cannot be used, None where it can."""
    from app.documents.store import StoreError, open_store  # noqa: PLC0415 - heavy

    async def tried() -> None:
        await asyncio.wait_for(open_store(settings).probe(), WITHIN_S)

    try:
        asyncio.run(tried())
    except TimeoutError:
        return f"it does not answer within {WITHIN_S:g} s"
    except StoreError as error:
        return str(error)
    return None
