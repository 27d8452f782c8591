"""Finds where in a JSON text the values stand, for signatures over the bytes as they were sent.

Only for text that `lenient_json` has read already; it checks nothing itself and is not on the usual path.
"""

import json
import re
from collections.abc import Iterator

Span = tuple[int, int]

_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*+"?|[\[\]{}:,]', re.DOTALL)
_BLANKS = b" \t\r\n"


def object_spans(raw: bytes, within: Span | None = None) -> dict[str, Span]:
    """Return where the members' values of the object at `within` (default: all of `raw`) stand; empty if it is none.

    Of a doubled name the last stands, as in the values read.
    """
    start, end = _trim(raw, *(within or (0, len(raw))))
    if start == end or raw[start] != ord("{"):
        return {}
    spans: dict[str, Span] = {}
    for name, value_start, value_end in _members(raw, start, end):
        if name is not None:
            spans[_name(name)] = _trim(raw, value_start, value_end)
    return spans


def array_spans(raw: bytes) -> list[Span]:
    """Return where the elements of the array `raw` stand; empty if it is none."""
    start, end = _trim(raw, 0, len(raw))
    if start == end or raw[start] != ord("["):
        return []
    return [_trim(raw, first, last) for _, first, last in _members(raw, start, end)]


def _members(raw: bytes, start: int, end: int) -> Iterator[tuple[bytes | None, int, int]]:
    """Yield (name as written, start, end) of each member of the container that opens at `start`."""
    depth = 1
    is_object = raw[start : start + 1] == b"{"
    name: bytes | None = None
    value_start = start + 1
    for token in _TOKEN.finditer(raw, start + 1, end):
        mark = raw[token.start()]
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
            if depth == 0:
                if name is not None or (not is_object and raw[value_start : token.start()].strip()):
                    yield name, value_start, token.start()
                return
        elif depth == 1:
            if mark == ord(","):
                yield name, value_start, token.start()
                name, value_start = None, token.end()
            elif mark == ord(":"):
                value_start = token.end()
            elif is_object and name is None:
                name = token[0]


def _name(literal: bytes) -> str:
    """Return a member's name from its JSON text."""
    try:
        return str(json.loads(literal.decode("utf-8", "replace"), strict=False))
    except ValueError:
        return ""


def _trim(raw: bytes, start: int, end: int) -> Span:
    """Return the span without the blanks around it."""
    while start < end and raw[start] in _BLANKS:
        start += 1
    while end > start and raw[end - 1] in _BLANKS:
        end -= 1
    return start, end
