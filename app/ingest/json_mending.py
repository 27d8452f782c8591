"""Mends JSON that orjson refuses: foreign encodings, lone surrogates, huge numbers, bottomless nesting.

When it is called, and what the values mean, is decided elsewhere. Its time grows with the length of the text only,
whatever the text is.
"""

import codecs
import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

MAX_DEPTH = 200
"""How deep containers may nest; deeper ones become text."""

_MAX_NOTES = 50
_DEEP_TEXT = 1000
_MAX_NUMBER = 100
_MIN_INT, _MAX_INT = -(1 << 63), (1 << 64) - 1
_PADDING = "\x00\x09\x0a\x0b\x0c\x0d\x20\x85\xa0\ufeff"
_JSON_BLANKS = " \t\r\n"
_REPLACEMENT = "\ufffd"
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[\]{}]', re.DOTALL)


class NotJsonError(Exception):
    """A body that cannot be read as JSON, however tolerantly."""


class Mended(NamedTuple):
    """Something that was changed to make a body readable, by the names and positions that lead to it."""

    path: tuple[str, ...]
    reason: str


class _NumberText(str):
    """A number that no column holds, as it was written."""

    __slots__ = ()


class _Doubled(dict[str, Any]):
    """An object that had a name twice."""


def mend(body: bytes) -> tuple[Any, Sequence[Mended], bytes]:
    """Return value, notes and JSON text (see `Parsed`) of a body.

    Raises:
        NotJsonError: it is no JSON in any of the encodings tried, or more than blanks stand around the value.
    """
    text, raw, reasons = _decode(body)
    stripped = text.strip(_PADDING)
    if not stripped:
        raise NotJsonError("nothing but blanks")
    if text.strip(_JSON_BLANKS) != stripped:
        reasons.append("padding")
    deep: set[str] = set()
    if stripped.count("[") + stripped.count("{") > MAX_DEPTH:
        stripped = _flatten(stripped, deep)
    try:
        value = _DECODER.decode(stripped)
    except (ValueError, RecursionError) as error:
        raise NotJsonError("no JSON value") from error
    cleaner = _Cleaner(deep)
    cleaned = cleaner.clean(value)
    return cleaned, [*(Mended((), reason) for reason in reasons), *cleaner.notes], raw


def _decode(body: bytes) -> tuple[str, bytes, list[str]]:
    """Return the text, the same text in a superset of ASCII, and what was odd about the encoding."""
    encoding = json.detect_encoding(body)
    if encoding == "utf-8-sig":
        text, reasons = _decode_bytes(body[3:])
        return text, body[3:], ["byte-order-mark", *reasons]
    if encoding == "utf-8":
        text, reasons = _decode_bytes(body)
        return text, body, reasons
    text = body.decode(encoding, "replace")
    return text, text.encode(), [encoding[:6]]


def _decode_bytes(body: bytes) -> tuple[str, list[str]]:
    """Return what is meant to be UTF-8 as text, else as Windows-1252, which every Latin-1 text of a person also is."""
    try:
        return body.decode("utf-8", "surrogatepass"), []
    except UnicodeDecodeError:
        pass
    text = body.decode("utf-8", "replace")
    replaced = text.count(_REPLACEMENT)
    foreign = len(text) - len(text.encode("ascii", "ignore")) - replaced
    if foreign > replaced:
        return text, ["damaged-utf-8"]
    return codecs.decode(body, "cp1252", "callbox-latin-1"), ["latin-1"]


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    """Read the five bytes that Windows-1252 leaves open as Latin-1 does."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("callbox-latin-1", _as_latin_1)


def _flatten(text: str, deep: set[str]) -> str:
    """Replace each container below `MAX_DEPTH` by its beginning as a string, which is also added to `deep`.

    One pass over the text without recursion: a body of a million brackets costs as much as any other of its length.
    """
    pieces: list[str] = []
    depth = done = start = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        mark = text[token.start()]
        if mark in "[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                start = token.start()
        elif mark in "]}":
            if depth == MAX_DEPTH + 1:
                shown = text[start : min(token.end(), start + _DEEP_TEXT)]
                deep.add(shown)
                pieces += (text[done:start], json.dumps(shown))
                done = token.end()
            depth -= 1
    return "".join((*pieces, text[done:])) if pieces else text


def _to_int(text: str) -> int | str:
    """Return the integer, or its text if it does not fit 64 bits."""
    if len(text) > 20:  # noqa: PLR2004 - the longest that fits, with its sign
        return _NumberText(text)
    number = int(text)
    return number if _MIN_INT <= number <= _MAX_INT else _NumberText(text)


def _to_float(text: str) -> float | str:
    """Return the number, or its text if it is not finite or longer than any that a program writes."""
    if len(text) > _MAX_NUMBER:
        return _NumberText(text)
    number = float(text)
    return number if math.isfinite(number) else _NumberText(text)


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object, marked if a name came twice; the last one counts, as for most readers."""
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else _Doubled(plain)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_to_object,
    parse_int=_to_int,
    parse_float=_to_float,
    parse_constant=_NumberText,
    strict=False,
)


class _Cleaner:
    """Makes plain values of parsed ones, with a note on each change."""

    def __init__(self, deep: set[str]) -> None:
        self.notes: list[Mended] = []
        self._deep = deep
        self._path: list[str | int] = []

    def clean(self, value: Any) -> Any:
        """Return `value` with everything in it made plain; one frame of the stack a level."""
        if isinstance(value, str):
            return self._text(value)
        path = self._path
        if isinstance(value, list):
            for index, child in enumerate(value):
                path.append(index)
                value[index] = self.clean(child)
                path.pop()
            return value
        if not isinstance(value, dict):
            return value
        if isinstance(value, _Doubled):
            self._note("doubled-name")
        cleaned = {}
        for key, child in value.items():
            name = self._text(key)
            path.append(name)
            cleaned[name] = self.clean(child)
            path.pop()
        return cleaned

    def _text(self, text: str) -> str:
        if isinstance(text, _NumberText):
            self._note("number-as-text")
            return str(text)
        if self._deep and len(self._path) == MAX_DEPTH and text in self._deep:
            self._note("too-deep")
        if "\x00" in text:
            self._note("nul-character")
            text = text.replace("\x00", _REPLACEMENT)
        try:
            text.encode()
        except UnicodeEncodeError:
            self._note("lone-surrogate")
            # By way of UTF-16, so that two halves that belong together become one character.
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text

    def _note(self, reason: str) -> None:
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(Mended(tuple(map(str, self._path)), reason))
