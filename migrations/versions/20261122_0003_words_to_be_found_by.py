"""Give records a column of words to be found by, in place of indexes over expressions that fold texts.

While this runs, the code before it is still receiving.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NO_LETTER: Final = r"[\x01-/:-@\[-`{-\x7f]+"
_ESCAPED: Final = r"\\(u[0-9a-fA-F]{4}|.)"
_LONGEST_TEXT: Final = 10_000
_LONGEST_WORD: Final = 100
_OPEN_MARK: Final = "."

Values = Callable[[str, str], str]
"""Returns the SQL of the values at a path of a JSON column, as text."""


def _as_json(column: str, path: str) -> str:
    return f"jsonb_path_query_array({column}, '{path}')::text"


def _as_words(column: str, path: str) -> str:
    return f"regexp_replace({_as_json(column, path)}, '{_ESCAPED}', ' ', 'g')"


def _open(values: Values) -> Mapping[str, Sequence[str]]:
    references = values("external_references", "$.*.value")
    return {
        "inquiries": ("inquiry_id::text", references, "product_name", "insurer_name", "broker_external_id"),
        "customers": ("customer_id::text", "external_id", references),
        "documents": ("inquiry_id::text",),
        "leads": ("lead_id", "party_id", references),
    }


def _personal(values: Values) -> Mapping[str, Sequence[str]]:
    address = [f"address ->> '{name}'" for name in ("city", "postal_code", "street", "text")]
    return {
        "customers": (
            *("first_name", "last_name", "company", "email"),
            *address,
            *(f"company_{text}" for text in address),
        ),
        "documents": ("name", "full_name"),
        "leads": (
            *("first_name", "last_name", "name", "email", "backref"),
            *address,
            values("risk_objects", "$[*].vin"),
            values("policy_packages", "$[*].package_nr"),
            values("insurance_policies", "$[*].policy_nr"),
            values("insurance_policies", "$[*].external_references[*].value"),
        ),
    }


def _joined(first: str, *more: str) -> str:
    """Return texts one after the other."""
    joined = f"COALESCE({first}, '')"
    for number, part in enumerate(more):
        joined = f"({f'({joined})' if number else joined} || ' ') || COALESCE({part}, '')"
    return joined


def _words_of(sql: str) -> str:
    """Return the expression for the folded words of a text."""
    # A tsvector holds a megabyte at most, a word 2,046 bytes: beyond it the record itself would be refused.
    folded = (
        f"regexp_replace(lower(normalize(lower(left({sql}, {_LONGEST_TEXT})), NFKD)), '[\\u0300-\\u036f]', '', 'g')"
    )
    folded = f"translate({folded}, 'øłđðħ', 'olddh')"
    for letter, written in (("ß", "ss"), ("æ", "ae"), ("œ", "oe"), ("þ", "th")):
        folded = f"replace({folded}, '{letter}', '{written}')"
    folded = f"replace(regexp_replace({folded}, '([aou])e', '\\1', 'g'), 'ij', 'y')"
    spaced = f"regexp_replace({folded}, '{_NO_LETTER}', ' ', 'g')"
    bounded = f"regexp_replace({spaced}, '([^ ]{{{_LONGEST_WORD}}})[^ ]+', '\\1', 'g')"
    return f"array_remove(string_to_array({bounded}, ' '), '')"


def _marked(words: str) -> str:
    return f"ARRAY(SELECT '{_OPEN_MARK}' || word FROM unnest({words}) AS word)"  # noqa: S608 - ours


def upgrade() -> None:
    """Drop the indexes, write the words as the processor does, make one index over these."""
    opened, personal = _open(_as_words), _personal(_as_words)
    for table, texts in opened.items():
        op.drop_index(f"ix_{table}_search_open", table_name=table)
        if table in personal:
            op.drop_index(f"ix_{table}_search_whole", table_name=table)
        words = sa.Column("words", postgresql.TSVECTOR(), server_default=sa.text("''"), nullable=False)
        words.comment = "see app.processing.searched"
        op.add_column(table, words)
        written = _marked(_words_of(_joined(*texts)))
        if table in personal:
            written += f" || {_words_of(_joined(*personal[table]))}"
        op.get_bind().exec_driver_sql(f"UPDATE {table} SET words = array_to_tsvector({written})")  # noqa: S608 - ours
        op.create_index(f"ix_{table}_words", table, ["words"], postgresql_using="gin")


def downgrade() -> None:
    """Make the indexes over expressions again."""
    opened, personal = _open(_as_json), _personal(_as_json)
    for table, texts in opened.items():
        op.drop_index(f"ix_{table}_words", table_name=table)
        op.drop_column(table, "words")
        _index(table, "open", texts)
        if table in personal:
            _index(table, "whole", (*texts, *personal[table]))


def _index(table: str, name: str, texts: Sequence[str]) -> None:
    expression = f"array_to_tsvector({_words_of(_joined(*texts))})"
    op.create_index(f"ix_{table}_search_{name}", table, [sa.literal_column(expression)], postgresql_using="gin")
