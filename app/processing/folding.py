"""Folds text so that `Müller`, `Mueller` and `MULLER` are one word to a search, and cuts it into such words.

Pure. The processor stores folded text beside the records, the query room folds what is asked for in the same way.
"""

import unicodedata
from itertools import filterfalse
from typing import Final

LONGEST_WORD: Final = 100
"""Longer words are known by so many letters."""

BY_HAND = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h"})
"""Letters that Unicode does not take apart."""

_LETTERS = "".join(sign if sign.isalnum() else " " for sign in map(chr, range(128)))
"""ASCII by code, with a blank in place of what is no part of a word."""


def fold(text: str) -> str:
    """Return `text` in lower case without accents, with ß as ss, then ae, oe, ue as a, o, u, and ij as y."""
    plain = text.lower()
    if not plain.isascii():
        parts = unicodedata.normalize("NFKD", plain)
        plain = "".join(filterfalse(unicodedata.combining, parts)).lower()
        if not plain.isascii():
            plain = plain.translate(BY_HAND)
    return plain.replace("ae", "a").replace("oe", "o").replace("ue", "u").replace("ij", "y")


def words_in(text: str) -> tuple[str, ...]:
    """Return the folded words of a text, each once; no ASCII sign is part of one but letters and digits."""
    words = [word[:LONGEST_WORD] for word in fold(text).translate(_LETTERS).split(" ") if word]
    return tuple(dict.fromkeys(words))
