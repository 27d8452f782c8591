"""Lists how `sHash` may be made, most likely first: the recipe is not published, but what it can be made of is known.

The grounds: the field table calls it a check of where the request comes from (V1 IP Notification Response), each entry
of a dictionary carries its own, and both sides share `secret`, `hash`, tokens and ids. Trying them is `calibration`'s.
"""

from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import NamedTuple

from app.providers.thinksurance.recipes import DATA_PARTS, KEYS

DIGESTS = ("md5", "sha1", "sha256", "sha512")
SEPARATORS = ("", "|", "-", ":", ".", "_", ",", ";", "#", "/", "+", "&", "*", "=", "~", "$", "@", " ", "::", "||", "\n")

_Parts = tuple[str, ...]


class Guess(NamedTuple):
    """What a message is made of; hashed by each of DIGESTS, plainly or as HMAC with each of `keys`."""

    parts: _Parts
    separator: str
    keys: tuple[str | None, ...]


_LIKELY: tuple[_Parts, ...] = (
    ("bToken", "iId", "secret"),
    ("bToken", "iId", "hash"),
    ("secret", "bToken", "iId"),
    ("hash", "bToken", "iId"),
    ("hash", "secret", "iId"),
    ("iId", "bToken", "secret"),
    ("iId", "bToken", "hash"),
    ("bToken", "iId", "hash", "secret"),
    ("bToken", "iId", "secret", "hash"),
    ("hash", "secret", "bToken", "iId"),
    ("secret", "hash", "bToken", "iId"),
    ("bToken", "bExternalId", "iId", "secret"),
    ("bToken", "iId", "iUpdated", "secret"),
    ("bToken", "iId", "status", "secret"),
    ("bToken", "iId", "iUpdated", "status", "secret"),
    ("bToken", "bExternalId", "iId", "iCreated", "iUpdated", "status", "secret"),
    ("bToken", "bExternalId", "iId", "iCreated", "iUpdated", "status", "hash"),
    ("bToken", "secret"),
    ("secret", "bToken"),
    ("bToken", "hash"),
    ("hash", "bToken"),
    ("hash", "secret"),
    ("secret", "hash"),
    ("data_raw", "secret"),
    ("secret", "data_raw"),
    ("data_raw", "hash"),
    ("hash", "data_raw"),
    ("data_raw", "hash", "secret"),
    ("hash", "secret", "data_raw"),
)
_LIKELY_KEYED: tuple[_Parts, ...] = (("data_raw",), ("bToken", "iId"), ("iId",), ("bToken",))
_WITH_ACCOUNT = ("aToken", "bToken", "bExternalId", "iId")
_MOST_CHOSEN = 3


def guesses(known: Iterable[str]) -> Iterator[Guess]:
    """Yield each guess once that needs no secret value but `known` ones (`secret`, `hash`, `aToken`)."""
    has = frozenset(known)
    seen: set[tuple[_Parts, str]] = set()
    keys = tuple(key for key in KEYS if key in has)
    for parts, separator, keyed in _all():
        if separator and len(parts) == 1:
            continue
        lacking = {"secret", "hash", "aToken"}.intersection(parts) - has
        if lacking or (keyed and not keys) or (parts, separator) in seen:
            continue
        seen.add((parts, separator))
        yield Guess(parts, separator, keys if keyed else (None,))


def _all() -> Iterator[tuple[_Parts, str, bool]]:
    """Yield parts, separator and "with a key", some of them twice."""
    for separators in (SEPARATORS[:1], SEPARATORS[1:]):
        for parts in _LIKELY:
            yield from ((parts, separator, False) for separator in separators)
        for parts in _LIKELY_KEYED:
            yield from ((parts, separator, True) for separator in separators)
    for separator in SEPARATORS:
        for chosen in _chosen():
            yield from ((parts, separator, False) for parts in _with_secrets(chosen))
            if chosen:
                yield chosen, separator, True


def _chosen() -> Iterator[_Parts]:
    """Yield what may be taken of the item, in every order, fewest first; then with the account's token."""
    for count in range(_MOST_CHOSEN + 1):
        yield from permutations(DATA_PARTS, count)
    for count in range(1, _MOST_CHOSEN + 1):
        yield from (parts for parts in permutations(_WITH_ACCOUNT, count) if "aToken" in parts)


def _with_secrets(chosen: _Parts) -> Iterator[_Parts]:
    """Yield what was taken of the item with one secret at each place, or both at the ends."""
    for secret in KEYS:
        for place in range(len(chosen), -1, -1):
            yield (*chosen[:place], secret, *chosen[place:])
    for first, second in permutations(KEYS):
        yield (*chosen, first, second)
        yield (first, second, *chosen)
        yield (first, *chosen, second)
