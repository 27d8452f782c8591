"""Makes the conditions of `[prefix]`, for which case and accents do not matter.

Texts of records are compared where they stand folded. Other tables have no such column: a name that is always in lower
case is compared as it stands, and texts of tables with few rows are folded by the database.
"""

import unicodedata
from functools import reduce
from itertools import filterfalse
from typing import Any

from sqlalchemy import ColumnElement, func, or_

from app.processing.folding import BY_HAND, fold

Condition = ColumnElement[bool]
_DIGRAPHS = (("ae", "a"), ("oe", "o"), ("ue", "u"), ("ij", "y"))
_ACCENTS = "[\u0300-\u036f]"


def begins_folded(column: ColumnElement[Any], folded: ColumnElement[str], text: str) -> Condition:
    """Return: a text begins so; `folded` is where it stands folded."""
    asked = fold(text)
    found = _begins(folded, asked)
    if not asked.endswith("i"):
        return found
    # The next letter may be a j: then the stored ij was folded to y, and only the text as written decides.
    as_y = _begins(folded, f"{asked[:-1]}y")
    return or_(found, as_y & _begins(func.lower(column), f"{text.lower()}j"))


def begins_lower(column: ColumnElement[Any], text: str) -> Condition:
    """Return: a name begins as it was asked for, or so in lower case without accents; an index can serve."""
    lower = "".join(filterfalse(unicodedata.combining, unicodedata.normalize("NFKD", text.lower())))
    return or_(*(_begins(column, one) for one in dict.fromkeys((lower, text))))


def folded_here(column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return a text folded by the database as `fold` does it: for tables of few rows, it has no index."""
    plain: ColumnElement[str] = func.pg_catalog.normalize(func.lower(column), "NFKD")
    plain = func.lower(func.regexp_replace(plain, _ACCENTS, "", "g"))
    letters = ((chr(letter), as_written) for letter, as_written in BY_HAND.items())
    return reduce(lambda text, pair: func.replace(text, *pair), (*letters, *_DIGRAPHS), plain)


def _begins(column: ColumnElement[Any], text: str) -> Condition:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(f"{escaped}%", escape="\\")
