"""Answers the platform's catalogs, kept in memory for ten minutes."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access, Source
from app.problems import Invalid
from app.providers.calling import CallError
from app.providers.thinksurance.calls import client_for
from app.query.answers import answer
from app.query.details import check_parameters
from app.query.reading import reading_of, translated_errors
from app.submissions.clients import Clients
from app.submissions.problems import PlatformFailed
from app.submissions.rows import check_enabled
from app.times import now

KEPT_S = 600.0
_MOST_ENTRIES = 1000
_LONGEST_ID = 18

What = Literal["products", "professions"]
_Place = tuple[UUID, What, int | None]


@dataclass(slots=True)
class Catalogs:
    """The catalogs of one process: one question to the platform at a time for each. `primary` knows the sources."""

    clients: Clients
    primary: AsyncEngine
    _kept: dict[_Place, tuple[float, Mapping[str, Any]]] = field(default_factory=dict)
    _locks: dict[_Place, asyncio.Lock] = field(default_factory=dict)

    async def get(self, source: Source, what: What, profession_id: int | None) -> Mapping[str, Any]:
        """Return a catalog, at most ten minutes old.

        Raises:
            PlatformFailed: there is none that is young enough, and the platform does not give one.
            SourceNotReady: the source is disabled or lacks credentials.
            DatabaseAway, TooSlow: nobody could tell whether it is.
        """
        with translated_errors():
            async with self.primary.connect() as connection:
                await check_enabled(connection, source)
        place = (source.id, what, profession_id)
        if len(self._locks) > _MOST_ENTRIES:
            self._locks.clear()
            self._kept.clear()
        async with self._locks.setdefault(place, asyncio.Lock()):
            kept = self._kept.get(place)
            if kept is not None and time.monotonic() - kept[0] < KEPT_S:
                return kept[1]
            client = self.clients.get(source, client_for)
            try:
                found = await (client.get_products(profession_id) if what == "products" else client.get_professions())
            except CallError as error:
                raise _failed(error) from None
            entries = [{"id": one.id, "name": one.name} for one in found]
            fetched_at: datetime = now()
            catalog = {"data": entries, "next_cursor": None, "fetched_at": fetched_at}
            self._kept[place] = (time.monotonic(), catalog)
            return catalog


def _failed(error: CallError) -> PlatformFailed:
    detail = f"Thinksurance gave no catalog: {error.detail}."
    return PlatformFailed(detail, retry_could_help=error.retry_could_help)


async def answer_catalog(request: Request, catalogs: Catalogs, what: What, access: Access) -> Response:
    """Return the products or professions of the account that `source` names.

    Raises:
        Invalid: a parameter is wrong, or `source` is missing where there are several.
        PlatformFailed, SourceNotReady: as `Catalogs.get`.
    """
    known = ("source", "professionId") if what == "products" else ("source",)
    check_parameters(request, known)
    sources = reading_of(request).book.present.sources.values()
    visible = [one for one in sources if access.source_ids is None or one.id in access.source_ids]
    source = _source(request.query_params.get("source"), [one for one in visible if one.provider == "thinksurance"])
    profession_id = _number(request.query_params.get("professionId"))
    return answer(await catalogs.get(source, what, profession_id))


def _source(name: str | None, sources: list[Source]) -> Source:
    if name is None and len(sources) == 1:
        return sources[0]
    found = next((source for source in sources if source.name == name), None)
    if found is None:
        names = ", ".join(sorted(source.name for source in sources))
        raise _wrong("source", "unknown-value", f"is no thinksurance source; there are: {names or 'none'}")
    return found


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_ID:
        raise _wrong("professionId", "not-an-integer", "is no whole number")
    return int(text)


def _wrong(name: str, code: str, detail: str) -> Invalid:
    error = {"in": "query", "name": name, "code": code, "detail": detail}
    return Invalid(f"The parameter `{name}` {detail}.", errors=[error])
