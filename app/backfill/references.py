"""Fetches what a thin notification refers to besides its inquiry, where its links allow, and keeps it as it came.

Where links may lead is settled in `app.providers.links`; no schema of these answers is published, so nothing is read
out of them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import structlog

from app.accounts.model import Source
from app.backfill.storing import Keeper
from app.jobs.bench import Bench
from app.processing.pulls import Cause
from app.providers import PROVIDERS
from app.providers.calling import CallError, PermanentCallError
from app.providers.tables import as_list
from app.providers.thinksurance.calls.v2 import v2_for
from app.providers.thinksurance.identity import find_broker, find_reference, reference_subject
from app.providers.values import platform_id

MOST_LINKS = 20
_INQUIRY = "inquiry"
_NOT_THERE = (404, 410)

_log = structlog.get_logger(__name__)


class Link(NamedTuple):
    """A link of a notification: what it is of, where it leads, and what is said to be there."""

    subject: str
    href: str
    content_type: str


async def keep_references(bench: Bench, source: Source, notification: Any) -> None:
    """Fetch and keep what the links of a notification lead to.

    What is refused, by us or by the platform, is left out. What only failed now keeps nothing behind it waiting, and is
    raised at the end, to be tried again.
    """
    links = list(links_of(notification))[:MOST_LINKS]
    if not links:
        return
    broker = find_broker(notification.get("brokerReference")) or ""
    client = bench.followers.get(source, v2_for)
    trouble: CallError | None = None
    for link in links:
        moment = bench.clock()
        try:
            async with bench.turns.take(source.id):
                answer = await client.get(link.href, link.content_type)
        except CallError as error:
            if isinstance(error, PermanentCallError) or error.status in _NOT_THERE:
                _log.info("reference.refused", source=source.name, error=str(error))
            else:
                trouble = trouble or error
            continue
        keeper = Keeper(source, PROVIDERS[source.provider], bench.zone, moment, Cause.REFERENCE)
        await bench.ask(keeper.keep_reference, answer.body, answer.content_type, link.subject, broker)
    if trouble is not None:
        raise trouble


def links_of(notification: Any) -> Iterator[Link]:
    """Yield the links of a notification, but for those to inquiries, which are pulled by their id."""
    for kind, name, reference in _references(notification):
        if kind.casefold() != _INQUIRY:
            subject = reference_subject(kind, name)
            for _, link in as_list(reference.get("links")):
                href, content_type = (link.get("href"), link.get("contentType")) if isinstance(link, dict) else ("", "")
                if isinstance(href, str) and href:
                    yield Link(subject, href, content_type if isinstance(content_type, str) else "")


def inquiries_of(notification: Any) -> list[int]:
    """Return the inquiries that a notification names."""
    named = [name for kind, name, _ in _references(notification) if kind.casefold() == _INQUIRY]
    numbers = (platform_id(name, lambda _: None) for name in named)
    return [number for number in dict.fromkeys(numbers) if number is not None]


def _references(notification: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    affected = notification.get("affected") if isinstance(notification, dict) else None
    for _, reference in as_list(affected):
        pair = find_reference(reference)
        if pair is not None:
            yield *pair, reference
