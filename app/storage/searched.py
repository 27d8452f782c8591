r"""Says in SQL what search looks through: the words of each record, folded, as expressions that indexes are made over.

The folding is `app.processing.folding`'s, said again for the database, so that nothing has to be written besides the
record; tests hold the two together. What is asked for is told in the query room.
"""

from collections.abc import Mapping
from typing import Final

_NO_LETTER: Final = r"[\x01-/:-@\[-`{-\x7f]+"
_LONGEST_TEXT: Final = 10_000
LONGEST_WORD: Final = 100


def words_of(sql: str) -> str:
    """Return the expression for the folded words of a text, as a `tsvector` without places."""
    # A tsvector holds a megabyte at most, a word 2,046 bytes: beyond it the record itself would be refused.
    folded = (
        f"regexp_replace(lower(normalize(lower(left({sql}, {_LONGEST_TEXT})), NFKD)), '[\\u0300-\\u036f]', '', 'g')"
    )
    folded = f"translate({folded}, 'øłđðħ', 'olddh')"
    for letter, written in (("ß", "ss"), ("æ", "ae"), ("œ", "oe"), ("þ", "th")):
        folded = f"replace({folded}, '{letter}', '{written}')"
    folded = f"replace(regexp_replace({folded}, '([aou])e', '\\1', 'g'), 'ij', 'y')"
    spaced = f"regexp_replace({folded}, '{_NO_LETTER}', ' ', 'g')"
    bounded = f"regexp_replace({spaced}, '([^ ]{{{LONGEST_WORD}}})[^ ]+', '\\1', 'g')"
    return f"array_to_tsvector(array_remove(string_to_array({bounded}, ' '), ''))"


def _joined(first: str, *more: str) -> str:
    """Return texts one after the other, in the brackets that PostgreSQL shows: else Alembic takes it for a drift."""
    joined = f"COALESCE({first}, '')"
    for number, part in enumerate(more):
        joined = f"({f'({joined})' if number else joined} || ' ') || COALESCE({part}, '')"
    return joined


def _values(column: str, path: str) -> str:
    """Return the values at a path of JSON, as text; whatever is no letter between them is no part of a word."""
    return f"jsonb_path_query_array({column}, '{path}')::text"


_REFERENCES = _values("external_references", "$.*.value")
_ADDRESS = ("city", "postal_code", "street", "text")


def _address(column: str) -> list[str]:
    return [f"{column} ->> '{name}'" for name in _ADDRESS]


_OPEN: Final[Mapping[str, tuple[str, ...]]] = {
    "inquiries": ("inquiry_id::text", _REFERENCES, "product_name", "insurer_name", "broker_external_id"),
    "customers": ("customer_id::text", "external_id", _REFERENCES),
    "documents": ("inquiry_id::text",),
    "leads": ("lead_id", "party_id", _REFERENCES),
}
_PERSONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "customers": (
        *("first_name", "last_name", "company", "email"),
        *_address("address"),
        *_address("company_address"),
    ),
    "documents": ("name", "full_name"),
    "leads": (
        *("first_name", "last_name", "name", "email", "backref"),
        *_address("address"),
        _values("risk_objects", "$[*].vin"),
        _values("policy_packages", "$[*].package_nr"),
        _values("insurance_policies", "$[*].policy_nr"),
        _values("insurance_policies", "$[*].external_references[*].value"),
    ),
}

OPEN: Final = {table: _joined(*texts) for table, texts in _OPEN.items()}
"""By table: the text that every key may search in."""

WHOLE: Final = {table: _joined(*_OPEN[table], *texts) for table, texts in _PERSONAL.items()}
"""By table that holds personal text: that and the open one. Two indexes to be asked at once would be slower by far."""
