"""Tries the ways to a file, by hash in V1.1, by hash in V1, by its link, and says why it was not had.

What is done about a failure is `fetching`'s.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import httpx2

from app.accounts.model import Source
from app.documents.incoming import Incoming, TooLargeError
from app.documents.keeping import Held
from app.documents.kinds import contradicts, sniff
from app.providers.calling import CallError, ServerFailedError, TimedOutError, UnreachableError
from app.providers.checking import InvalidRequestError
from app.providers.downloading import NotAFileError
from app.providers.links import Allowed, GuardedTransport, LinkRefusedError, allowed_links
from app.providers.thinksurance.calls import DEFAULT_BASE_URL, ThinksuranceClient
from app.providers.thinksurance.calls.documents import OWN_HOSTS, download_link
from app.providers.thinksurance.calls.session import LoginRefusedError
from app.query.schemas.inquiries import TROUBLES

_NOT_THERE = (404, 410)
_TOKEN_NAMES = ("token", "docToken")

Write = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class _Way:
    name: str
    go: Callable[[Write], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Brought:
    """By which way a file came, and its media type; or the `trouble`, and for how long the platform wants no more."""

    way: str = ""
    content_type: str = ""
    trouble: str | None = None
    wait_seconds: float = 0.0


async def bring(held: Held, source: Source, client: ThinksuranceClient | None, incoming: Incoming) -> Brought:
    """Fill `incoming` and say how; `client` is None where the source has no API user."""
    troubles, wait_seconds = ["no-way"], 0.0
    for way in _ways(held, source, client):
        incoming.clear()
        try:
            await way.go(incoming.write)
        except TooLargeError:
            return Brought(trouble="too-large")
        except CallError as error:
            troubles.append(_trouble(error))
            wait_seconds = max(wait_seconds, error.wait_seconds or 0.0)
            continue
        kind = sniff(incoming.head, held.name)
        if not contradicts(kind, held.name):
            return Brought(way.name, kind)
        troubles.append("not-a-file")
    # Of several the one that gives most hope.
    return Brought(trouble=min(troubles, key=TROUBLES.index), wait_seconds=wait_seconds)


def _ways(held: Held, source: Source, client: ThinksuranceClient | None) -> Iterator[_Way]:
    if client is not None:
        tokens = [held.broker_token] if held.broker_token else source.credentials.get("b_token", ())
        for token in tokens:
            yield _Way("v1.1", partial(client.get_document, held.hash, broker_token=token))
        for token in tokens:
            yield _Way("v1", partial(client.v1.get_document, held.hash, broker_token=token))
    allowed = links_of(source)
    if held.link and allowed.some:
        for link in _spellings(held.link, held.token):
            yield _Way("link", partial(_follow, link, allowed))


def links_of(source: Source) -> Allowed:
    """Return where links of a source may lead; Thinksurance's own hosts are among them if it has an API user there.

    A source that only receives asks nobody for anything, unless it names `document_hosts` itself.
    """
    base = source.settings.get("base_url", DEFAULT_BASE_URL) if source.credentials.get("hash") else None
    try:
        return allowed_links(base, source.settings.get("document_hosts", ""), OWN_HOSTS if base else ())
    except ValueError:  # set before there was a check
        return Allowed()


def _spellings(link: str, token: str | None) -> Sequence[str]:
    """Return a link as it came and then, for it is not documented where the token goes, with it as a parameter."""
    if token is None or token in link:
        return [link]
    try:
        url = httpx2.URL(link)
        return [link, *(str(url.copy_add_param(name, token)) for name in _TOKEN_NAMES)]
    except httpx2.InvalidURL:
        return [link]


async def _follow(link: str, allowed: Allowed, write: Write) -> None:
    async with GuardedTransport(allowed) as transport:
        await download_link(allowed.check(link), write, transport)


def _trouble(error: CallError) -> str:
    """Return the word for an error; none of its own words, for they may name a person."""
    if error.status in _NOT_THERE:
        return "not-found"
    for kind, word in (
        (InvalidRequestError, "no-way"),
        (LinkRefusedError, "link-refused"),
        (LoginRefusedError, "login-refused"),
        (NotAFileError, "not-a-file"),
        (TimedOutError, "timed-out"),
        (UnreachableError, "unreachable"),
        (ServerFailedError, "server-failed"),
    ):
        if isinstance(error, kind):
            return word
    return "refused"
