"""Reads the conditions and the range that a download is asked for with (RFC 9110, 13 and 14).

Pure. One range is served; several at once are answered whole, as the RFC allows.
"""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.IGNORECASE)
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `first` to `last`, both counted in."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Return how many there are."""
        return self.last - self.first + 1


class UnsatisfiableError(Exception):
    """A range that has nothing of the file in it."""


def find_span(asked: str | None, if_range: str | None, tag: str, size: int) -> Span | None:
    """Return the bytes that are asked for; None for all of them.

    `If-Range` holds for the strong tag alone: a time says less than a digest.

    Raises:
        UnsatisfiableError: there are no such bytes.
    """
    if asked is None or (if_range is not None and if_range.strip() != tag):
        return None
    found = _ONE_RANGE.fullmatch(asked.strip())
    if found is None or not (found[1] or found[2]) or max(map(len, found.groups())) > _MOST_DIGITS:
        return None
    if not found[1]:
        wanted = int(found[2])
        if wanted == 0 or size == 0:
            raise UnsatisfiableError
        return Span(max(0, size - wanted), size - 1)
    first = int(found[1])
    last = int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None  # not a range at all
    if first >= size:
        raise UnsatisfiableError
    return Span(first, min(last, size - 1))


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Tell whether the caller has what the tag stands for."""
    known = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
    return tag in known or "*" in known
