"""Reads JSON as platforms really send it: what orjson takes at once, and what a slower reader can still mend.

Which reading of the values makes sense is left to the platforms; nothing here knows a field's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from app.crypto import mask_tokens
from app.ingest.contract import Warned
from app.ingest.json_mending import MAX_DEPTH, Mended, NotJsonError, mend

__all__ = ["MAX_DEPTH", "Mended", "NotJsonError", "Parsed", "dotted", "notes_by_member", "notes_under", "parse"]

_MAX_PATH = 200
_NUL_ESCAPE = b"\\u0000"
_LONG_NUMBER = b"0" * 19
_MARKS = b":{["
"""What ends a name or begins a container; orjson writes as many as it was given, but for doubled names."""

_MORE_DEPTH = 254 - MAX_DEPTH
"""How much deeper orjson writes than we take; a test fails should that change."""

_AS_ZERO = bytes.maketrans(b"123456789", b"0" * 9)


class Parsed(NamedTuple):
    """A body as values: `notes` say what was mended; `raw` is the JSON text in a superset of ASCII, for `json_spans`.

    Strings hold neither U+0000 nor lone surrogates, integers fit 64 bits, floats are finite, and containers nest at
    most `MAX_DEPTH` deep, so that PostgreSQL's jsonb and orjson take every value. `raw` is None where the body was
    no JSON text (bracketed form fields).
    """

    value: Any
    notes: Sequence[Mended] = ()
    raw: bytes | None = None


def parse(body: bytes) -> Parsed:
    """Return the JSON value of `body`.

    Raises:
        NotJsonError: the slower reader could not make sense of it either.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Parsed(*mend(body))
    if _needs_mending(body, value):
        return Parsed(*mend(body))
    return Parsed(value, (), body)


def notes_under(notes: Sequence[Mended], path: tuple[str, ...] = ()) -> tuple[Warned, ...]:
    """Return the notes on the value at `path` and on the body as a whole, with dotted paths below `path`."""
    if not notes:
        return ()
    depth = len(path)
    return tuple(
        Warned(dotted(note.path[depth:]), note.reason)
        for note in notes
        if not note.path or (note.path[:depth] == path and len(note.path) >= depth)
    )


def notes_by_member(
    notes: Sequence[Mended], path: tuple[str, ...] = ()
) -> tuple[tuple[Warned, ...], Mapping[str, tuple[Warned, ...]]]:
    """Return the notes on the body as a whole, and for each noted member of the container at `path` all its notes.

    One pass for a container of any number of members; a member that is not in the mapping has the first.
    """
    if not notes:
        return (), {}
    names = {note.path[len(path)] for note in notes if note.path[: len(path)] == path and len(note.path) > len(path)}
    general = tuple(Warned("", note.reason) for note in notes if not note.path)
    return general, {name: notes_under(notes, (*path, name)) for name in names}


def dotted(path: Sequence[str]) -> str:
    """Return the dotted form of a path, bounded, without what looks like a token of ours."""
    return mask_tokens(".".join(path))[:_MAX_PATH]


def _needs_mending(body: bytes, value: Any) -> bool:
    """Say whether orjson accepted something that must not go on as it is.

    orjson hands on U+0000, makes floats of integers beyond 64 bits, keeps silent about doubled names and goes down
    1,024 levels. Scans at memory speed tell the bodies in which that may be so; a false alarm only costs time.
    """
    squeezed = body.translate(_AS_ZERO, _MARKS)
    if _NUL_ESCAPE in body or _LONG_NUMBER in squeezed:
        return True
    marks = len(body) - len(squeezed)
    around = _MORE_DEPTH if marks > MAX_DEPTH else 0
    try:
        written = orjson.dumps(_within_lists(value, around))
    except orjson.JSONEncodeError:
        return True
    # One colon a name, one bracket a container, and the same in texts. A body that writes one of them as `\u003a` can
    # hide a doubled name here, at the price of a missing warning.
    return marks + around > len(written) - len(written.translate(None, _MARKS))


def _within_lists(value: Any, depth: int) -> Any:
    """Put a value so deep into lists; with `_MORE_DEPTH` orjson refuses one that nests too deep itself.

    To look through all containers took half the time that receiving a body of 100 kB takes.
    """
    for _ in range(depth):
        value = [value]
    return value
