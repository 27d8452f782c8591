"""Looks at what needs somebody: the same as `/v1/attention`, asked by one who may see everything."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from app.cli.doctor.finding import Finding, Subject
from app.config import ConfigError
from app.crypto import WrongKeyError
from app.times import to_text


def look_at_attention(subject: Subject) -> Iterator[Finding]:
    """Tell each notice; only an error among them is a fault, for the others are people's to decide."""
    notices = asyncio.run(_notices(subject))
    detail = " ".join(notice["sentence"] for notice in notices) or "nothing needs anybody"
    is_well = not any(notice["severity"] == "error" for notice in notices)
    yield Finding("attention", well=is_well, detail=detail, values={"notices": [_plain(one) for one in notices]})


async def _notices(subject: Subject) -> list[dict[str, Any]]:
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - here and below: heavy

    from app.accounts.model import Access, Scope  # noqa: PLC0415
    from app.accounts.opening import vault_of  # noqa: PLC0415
    from app.accounts.snapshot import read_accounts  # noqa: PLC0415
    from app.query.attention import notices  # noqa: PLC0415
    from app.storage.engine import open_read_engine  # noqa: PLC0415

    everything = Access(key_id=UUID(int=0), name="cli", scopes=frozenset(Scope))
    try:
        known = [*read_accounts(subject.connection, vault_of(subject.settings)).sources.values()]
    except (WrongKeyError, ConfigError):  # which is told by itself
        known = []
    engine = open_read_engine(subject.url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await notices(connection, everything, known)
    except DBAPIError as error:
        raise (error.orig or error) from None  # what the other looks raise too
    finally:
        await engine.dispose()


def _plain(notice: dict[str, Any]) -> dict[str, Any]:
    oldest_at = notice["oldest_at"]
    return notice | {"oldest_at": None if oldest_at is None else to_text(oldest_at)}
