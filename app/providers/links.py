"""Decides which links of a platform may be followed, and connects only to the address that was checked.

A link comes from whoever knows a callback URL, so it is a stranger's. It may lead to named origins only, over https
unless the name says otherwise, and never to an address inside a network of our own. Who follows one, and what it
brings, is the caller's business.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx2

from app.providers.calling import PermanentCallError
from app.providers.tls import tls

LINK = "link"

_TEXT = re.compile(r"[!-\[\]-~]{1,4000}")
"""Printable ASCII without blanks and without the backslash, which some readers of addresses take for a slash."""
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PORTS = {"https": 443, "http": 80}
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
_LOCALLY_TRANSLATED = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_COMPATIBLE = ipaddress.IPv6Network("::/96")

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host, the best first; raises OSError where there is none."""


class LinkRefusedError(PermanentCallError):
    """A link that is not followed. The text says why, and nothing of the link."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, as browsers compare them."""

    scheme: str
    host: str
    port: int

    @property
    def is_address(self) -> bool:
        """Tell whether the host is an address instead of a name."""
        return find_address(self.host) is not None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The origins that links may lead to. Only one that is `named` by its address may be in a network of our own."""

    origins: frozenset[Origin] = frozenset()
    named: frozenset[Origin] = frozenset()

    @property
    def some(self) -> bool:
        """Tell whether there are any."""
        return bool(self.origins or self.named)

    def check(self, link: str) -> httpx2.URL:
        """Return the link as it may be asked for, without its fragment.

        Raises:
            LinkRefusedError: it may not.
        """
        if not _TEXT.fullmatch(link):
            raise LinkRefusedError(LINK, "is no plain address")
        try:
            url = httpx2.URL(link)
        except httpx2.InvalidURL:
            raise LinkRefusedError(LINK, "is no plain address") from None
        self.check_url(url)
        return url.copy_with(fragment=None)

    def check_url(self, url: httpx2.URL) -> Origin:
        """Return the origin that a URL leads to; raises as `check` does."""
        if url.userinfo:
            raise LinkRefusedError(LINK, "has a user in it")
        origin = origin_of(url)
        if origin is None:
            raise LinkRefusedError(LINK, "is neither https nor http")
        if origin not in self.origins | self.named:
            raise LinkRefusedError(LINK, "leads to a host that is not allowed")
        return origin

    def check_address(self, origin: Origin, address: str) -> None:
        """Raise LinkRefusedError where a host's address must not be connected to."""
        if not is_public(address) and not (origin in self.named and origin.is_address):
            raise LinkRefusedError(LINK, "leads into a private network")


def origin_of(url: httpx2.URL) -> Origin | None:
    """Return the origin of a URL, None where it is not of the web."""
    if url.scheme not in _PORTS or not url.raw_host:
        return None
    return Origin(url.scheme, url.raw_host.decode("ascii", "replace").lower(), url.port or _PORTS[url.scheme])


def parse_origins(text: str) -> frozenset[Origin]:
    """Return the origins in a setting, by comma: `docs.example.org`, `docs.example.org:8443`, `http://127.0.0.1:9000`.

    Raises:
        ValueError: names what is wrong.
    """
    return frozenset(_parse_origin(word) for word in filter(None, (word.strip() for word in text.split(","))))


def _parse_origin(word: str) -> Origin:
    try:
        url = httpx2.URL(word if "://" in word else f"https://{word}")
    except httpx2.InvalidURL:
        raise ValueError(f"{word!r} is no host such as docs.example.org") from None
    origin = origin_of(url)
    plain = url.path in {"", "/"} and not url.query and not url.fragment and not url.userinfo
    if origin is None or not plain or not (_NAME.fullmatch(origin.host) or origin.is_address):
        raise ValueError(f"{word!r} is no host such as docs.example.org")
    return origin


def allowed_links(base_url: str | None, hosts: str, own: Iterable[str] = ()) -> Allowed:
    """Return what links may lead to: the source's `base_url`, the setting `document_hosts`, the platform's `own` hosts.

    Raises:
        ValueError: one of them is no host.
    """
    try:
        base = origin_of(httpx2.URL(base_url)) if base_url else None
    except httpx2.InvalidURL:
        raise ValueError("base_url is no address") from None
    known = {Origin("https", host, 443) for host in own} | ({base} if base else set())
    return Allowed(frozenset(known), parse_origins(hosts))


def find_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a text is, None for anything else."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_public(text: str) -> bool:
    """Tell whether an address is one of the open internet, whatever form it is written or wrapped in."""
    address = find_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _TRANSLATED:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        elif address.sixtofour or address.teredo or address in _LOCALLY_TRANSLATED or address in _COMPATIBLE:
            return False
    return address is not None and address.is_global and not (address.is_multicast or address.is_reserved)


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host by the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _to_one_host() -> httpx2.AsyncBaseTransport:
    return httpx2.AsyncHTTPTransport(verify=tls())


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Carries requests to allowed origins only, each to an address that was checked in the same moment.

    The name is resolved once, here, so that it cannot lead elsewhere between check and connection; TLS still asks for
    the name. Every request is checked, so that a redirect is too. Proxies of the environment are not used.
    `resolve` and `make` (which returns the transport to one host) are seams for tests.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolve = resolve,
        make: Callable[[], httpx2.AsyncBaseTransport] = _to_one_host,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._make = make
        # One for each name: connections are kept by address, and one made for a name must not serve another's.
        self._by_name: dict[str, httpx2.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        origin = self._allowed.check_url(request.url)
        trouble: Exception = httpx2.ConnectError("no address")
        for address in await self._addresses(origin):
            try:
                return await self._transport(origin.host).handle_async_request(_addressed(request, origin, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                trouble = error
        raise trouble

    async def _addresses(self, origin: Origin) -> list[str]:
        """Return the checked addresses of a host; one that is private refuses them all."""
        try:
            found = [origin.host] if origin.is_address else await self._resolve(origin.host, origin.port)
        except (OSError, UnicodeError):
            raise httpx2.ConnectError("the name is not known") from None
        for address in found:
            self._allowed.check_address(origin, address)
        return found

    def _transport(self, name: str) -> httpx2.AsyncBaseTransport:
        return self._by_name.setdefault(name, self._make())

    async def aclose(self) -> None:
        """Close the connections."""
        for transport in self._by_name.values():
            await transport.aclose()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        await self.aclose()


def _addressed(request: httpx2.Request, origin: Origin, address: str) -> httpx2.Request:
    """Return the request to an address; it still names the host, to the server and to TLS."""
    extensions = dict(request.extensions)
    if not origin.is_address:
        extensions["sni_hostname"] = origin.host
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )
