"""Fetches what a thin notification refers to besides its inquiry, where its links allow, and keeps it as it came.

Where links may lead is settled in `app.providers.links`; no schema of these answers is published, so nothing is read
out of them.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import structlog

from app.accounts.model import Source
from app.backfill.storing import Keeper
from app.jobs.bench import Bench
from app.processing.pulls import Cause
from app.providers import PROVIDERS
from app.providers.calling import PermanentCallError
from app.providers.tables import as_list, record_key
from app.providers.thinksurance.calls.v2 import v2_for
from app.providers.thinksurance.identity import find_broker, find_reference

MOST_LINKS = 20
_INQUIRY = "inquiry"

_log = structlog.get_logger(__name__)


async def keep_references(bench: Bench, source: Source, notification: Any) -> list[UUID]:
    """Fetch and keep what the links of a notification lead to; return the deliveries made of it.

    What is refused, by us or by the platform, is left out; what only failed now is raised, to be tried again.
    """
    links = list(links_of(notification))[:MOST_LINKS]
    if not links:
        return []
    broker = find_broker(notification.get("brokerReference")) or ""
    kept: list[UUID] = []
    client = bench.followers.get(source, v2_for)
    for subject, link in links:
        moment = bench.clock()
        try:
            async with bench.turns.take(source.id):
                answer = await client.get(link)
        except PermanentCallError as error:
            _log.info("reference.refused", source=source.name, kind=subject.partition("/")[0], error=str(error))
            continue
        keeper = Keeper(source, PROVIDERS[source.provider], bench.zone, moment, Cause.REFERENCE)
        stored = await bench.ask(keeper.keep_reference, answer.body, answer.content_type, subject, broker)
        kept += stored.deliveries
    return kept


def links_of(notification: Any) -> Iterator[tuple[str, str]]:
    """Yield the subject and the address of each link, but for those to inquiries, which are pulled by their id."""
    affected = notification.get("affected") if isinstance(notification, dict) else None
    for _, reference in as_list(affected):
        pair = find_reference(reference)
        if pair is None or pair[0].casefold() == _INQUIRY:
            continue
        subject = record_key(f"{pair[0][:64]}/", pair[1])
        for _, link in as_list(reference.get("links")):
            href = link.get("href") if isinstance(link, dict) else None
            if isinstance(href, str) and href:
                yield subject, href
