"""Reads single values as platforms write them: what means unknown, text, ids, truth values.

Which field is read by which of these is each platform's table; numbers stand in `amounts`, days and times in `dates`.
All of them take a value and a function to tell what was odd; they return None for what is unknown or unreadable, and
never raise.
"""

import unicodedata
from collections.abc import Callable
from typing import Any

from app.crypto import mask_tokens

Warn = Callable[[str], None]
Parse = Callable[[Any, Warn], Any]

MAX_TEXT = 1000
INT32 = (1 << 31) - 1
INT64 = (1 << 63) - 1

_BLANKS = " \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
INVISIBLE = _BLANKS + "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
_CONTAINERS = (list, dict)  # a union would be made anew for each value
_NUMBERS = (int, float)
_SCALARS = (int, float, str)
_NO_DATE = "0000-00-00"
_TEXT_FOR_NUMBER = "text-for-number"
MAX_NUMBER = 64


def is_unknown(value: Any) -> bool:
    """Say whether a value means that the platform does not know it: nothing, empty, blank, or MySQL's no date."""
    if value is None:
        return True
    if isinstance(value, str):
        if "1" <= value < "\x7f":  # begins with a letter or a digit of ASCII: most do, and none of these is blank
            return False
        bare = value.strip(INVISIBLE)
        return not bare or bare.startswith(_NO_DATE)
    return isinstance(value, _CONTAINERS) and not value


def text(value: Any, warn: Warn) -> str | None:
    """Return trimmed text in NFC, at most 1,000 characters, with callback tokens of ours masked; numbers as text."""
    if isinstance(value, str):
        if value.isascii() and len(value) <= MAX_TEXT and "cb" not in value:
            return value.strip() or None  # most are so; of ASCII Python strips what is in INVISIBLE
        bare = value
    elif isinstance(value, _NUMBERS) and not isinstance(value, bool):
        bare = str(value)
    else:
        warn("wrong-type")
        return None
    if not bare.isascii():
        # NFC of a hostile text can be long; what is beyond the cut is never looked at.
        bare = unicodedata.normalize("NFC", bare[: 4 * MAX_TEXT]) + bare[4 * MAX_TEXT :]
    bare = bare.strip(INVISIBLE)
    if "cb" in bare:
        bare = mask_tokens(bare)
    if len(bare) > MAX_TEXT:
        warn("cut")
        bare = bare[:MAX_TEXT].rstrip(INVISIBLE)
    return bare or None


def platform_id(value: Any, warn: Warn) -> int | None:
    """Return a positive id that fits 64 bits, from a whole number or, noted, its digits (`2900417`, `"02900417"`)."""
    if type(value) is int and 1 <= value <= INT64:
        return value
    is_text = isinstance(value, str)
    if is_text:
        bare = value.strip(INVISIBLE)
        if not bare.isascii() or not bare.isdigit() or len(bare) > MAX_NUMBER:
            warn("wrong-type")
            return None
        value = int(bare)
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        warn("wrong-type")
        return None
    if not 1 <= value <= INT64:
        warn("out-of-range")
        return None
    if is_text:
        warn(_TEXT_FOR_NUMBER)
    return value


def from_number(parse: Parse) -> Parse:
    """Return the reader of a field that the platform's page has as a number: text that says one is noted."""

    def read(value: Any, warn: Warn) -> Any:
        parsed = parse(value, warn)
        if value.__class__ is str and parsed is not None:
            warn(_TEXT_FOR_NUMBER)
        return parsed

    return read


_BOOLEANS = {1: True, 0: False, "true": True, "false": False, "1": True, "0": False}
_BOOLEANS |= {"yes": True, "no": False, "ja": True, "nein": False}


def boolean(value: Any, warn: Warn) -> bool | None:
    """Return a truth value from true, false, 1, 0 or their text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, _SCALARS):
        known = _BOOLEANS.get(value)
        if known is None and isinstance(value, str):
            known = _BOOLEANS.get(value[:MAX_NUMBER].strip(INVISIBLE).casefold())
        if known is not None:
            return known
    warn("wrong-type")
    return None
