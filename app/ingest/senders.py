"""Finds out from where a request came, behind proxies that are trusted by settings.

Whether a source takes callbacks from there is decided in `sender_checks`.
"""

import ipaddress
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return the networks of a text such as `CALLBOX_TRUSTED_PROXIES`: addresses or networks, by comma."""
    return tuple(ipaddress.ip_network(word.strip(), strict=False) for word in text.split(",") if word.strip())


def sender_address(peer: str, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]) -> str:
    """Return the address that sent: the right-most of `X-Forwarded-For` that is no trusted proxy's, else the peer's."""
    if not trusted or not is_within(peer, trusted):
        return peer
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
    sender = peer
    for word in reversed(forwarded.split(",")):
        address = _parse(word)
        if address is None:  # an honest proxy writes addresses; what stands left of this is anybody's
            break
        sender = str(address)
        if not _is_in(address, trusted):
            break
    return sender


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an address is in one of the networks; what is no address is in none."""
    parsed = _parse(address)
    return parsed is not None and _is_in(parsed, networks)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _parse(word: str) -> Address | None:
    """Return the address of `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1` or `[2001:db8::1]:567`, without an IPv6 zone."""
    word = word.strip()
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        address = ipaddress.ip_address(word.partition("%")[0] if ":" in word else word)  # a zone may be any text
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
