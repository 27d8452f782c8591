"""What Callbox is measured against, as ASGI applications for uvicorn: `constant`, `empty`, `usual`.

How they are started and loaded is told in `contenders` and `receiving`.
"""

import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import JSON, BigInteger, Column, DateTime, Identity, MetaData, Table, Text, func, insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.types import Receive, Scope, Send

SECRET_VARIABLE = "BENCH_SECRET"
DATABASE_VARIABLE = "BENCH_DATABASE_URL"

_ANSWER = b"{}"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def constant(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a constant without looking: the ceiling of the server underneath."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _ANSWER})


empty = FastAPI()


@empty.post("/callbacks/{token}")
async def _read_only(token: str, request: Request) -> dict[str, str]:
    """Read the body and do nothing: the endpoint that does nothing."""
    del token  # taken from the path as Callbox's is
    await request.body()
    return {}


class Notification(BaseModel):
    """An IP notification as a hand-written receiver declares it."""

    sHash: str  # noqa: N815 - the platform's name
    data: dict[str, Any]


_metadata = MetaData()
kept = Table(
    "usual_callbacks",
    _metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("inquiry_id", Text, nullable=False, index=True),
    Column("payload", JSON, nullable=False),
)


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(os.environ[DATABASE_VARIABLE], pool_size=20, max_overflow=20)
    app.state.sessions = async_sessionmaker(engine)
    yield
    await engine.dispose()


usual = FastAPI(lifespan=_connected)


@usual.post("/callbacks/{token}")
async def _keep(token: str, notification: Notification, request: Request) -> dict[str, str]:
    """Verify, insert, commit: what one writes by hand."""
    del token
    data = notification.data
    signed = f"{data['bToken']}{data['iId']}{os.environ[SECRET_VARIABLE]}"
    expected = hashlib.md5(signed.encode()).hexdigest()  # noqa: S324 - the platform's recipe
    if not hmac.compare_digest(expected, notification.sHash):
        raise HTTPException(401)
    sessions: async_sessionmaker[AsyncSession] = request.app.state.sessions
    async with sessions() as session:
        await session.execute(insert(kept).values(inquiry_id=str(data["iId"]), payload=data))
        await session.commit()
    return {"status": "ok"}


def table() -> str:
    """Return the SQL that makes the table of `usual`."""
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - only the one who prepares needs it
    from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement  # noqa: PLC0415

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made: list[DDLElement] = [CreateTable(kept), *map(CreateIndex, kept.indexes)]
    return ";".join(str(one.compile(dialect=dialect)) for one in made)
