"""Cuts text into folded words as the database does, see `app.storage.searched`."""

import re
from typing import Final

from app.processing.folding import fold
from app.storage.searched import LONGEST_WORD

_NO_LETTER: Final = re.compile(r"[\x00-/:-@\[-`{-\x7f]+")


def words_in(text: str) -> tuple[str, ...]:
    """Return the folded words of a text, each once."""
    words = (word[:LONGEST_WORD] for word in _NO_LETTER.split(fold(text)) if word)
    return tuple(dict.fromkeys(words))
