"""Folds text so that `Müller`, `Mueller` and `MULLER` are one word to a search.

Pure. The processor stores folded text beside the records, the query room folds what is asked for in the same way.
"""

import re
import unicodedata

_BY_HAND = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h"})
"""Letters that Unicode does not take apart."""

_WRITTEN_OUT = re.compile("(?<=[aou])e")


def fold(text: str) -> str:
    """Return `text` in lower case without accents, with ß as ss, then ae, oe, ue as a, o, u, and ij as y."""
    if text.isascii():
        plain = text.lower()
    else:
        parts = unicodedata.normalize("NFKD", text.lower())
        plain = "".join(char for char in parts if not unicodedata.combining(char)).lower().translate(_BY_HAND)
    return _WRITTEN_OUT.sub("", plain).replace("ij", "y")
