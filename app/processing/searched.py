"""Says which texts of a record are searched, and cuts them into the words that stand in its column `words`.

What is asked of that column is told in the query room.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.processing.folding import words_in

OPEN_MARK: Final = "."
"""Stands before the words that every key may search for; in no word itself."""

_LONGEST_TEXT: Final = 10_000
"""Of open text, and of personal one: a `tsvector` holds a megabyte at most, beyond it the record would be refused."""

_Step = str | tuple[str, ...]
_Path = tuple[str, *tuple[_Step, ...]]
"""The way to values in a row; `*` means each of a list or map, several names each of these members."""

_REFERENCES: Final = ("external_references", "*", "value")

# References come last: there may be so many of them that the rest is cut.
OPEN: Final[Mapping[str, tuple[_Path, ...]]] = {
    "inquiry": (("inquiry_id",), ("product_name",), ("insurer_name",), ("broker_external_id",), _REFERENCES),
    "customer": (("customer_id",), ("external_id",), _REFERENCES),
    "document": (("inquiry_id",),),
    "lead": (("lead_id",), ("party_id",), _REFERENCES),
}


_PLACE: Final = ("city", "postal_code", "street", "text")


PERSONAL: Final[Mapping[str, tuple[_Path, ...]]] = {
    "inquiry": (),
    "customer": (
        *(("first_name",), ("last_name",), ("company",), ("email",)),
        ("address", _PLACE),
        ("company_address", _PLACE),
    ),
    "document": (("name",), ("full_name",)),
    "lead": (
        *(("first_name",), ("last_name",), ("name",), ("email",), ("backref",)),
        ("address", _PLACE),
        ("risk_objects", "*", "vin"),
        ("policy_packages", "*", "package_nr"),
        ("insurance_policies", "*", "policy_nr"),
        ("insurance_policies", "*", "external_references", "*", "value"),
    ),
}


def words_of(kind: str, row: Mapping[str, Any]) -> list[str]:
    """Return the words by which a record is found, each once: those that are open to every key with OPEN_MARK."""
    words = [OPEN_MARK + word for word in words_in(_text(row, OPEN[kind]))]
    words += words_in(_text(row, PERSONAL[kind]))
    return words


def _text(row: Mapping[str, Any], paths: tuple[_Path, ...]) -> str:
    texts: list[str] = []
    for path in paths:
        if value := row.get(path[0]):
            texts += _values(value, path[1:]) if len(path) > 1 else (str(value),)
    return " ".join(texts)[:_LONGEST_TEXT]


def _values(value: Any, path: Sequence[_Step]) -> list[str]:
    """Return the values at the end of a path, as text."""
    found = [value]
    for name in path:
        if name == "*":
            found = [one for many in found if many for one in (many.values() if isinstance(many, dict) else many)]
        else:
            names = (name,) if isinstance(name, str) else name
            found = [one.get(member) for one in found if one for member in names]
    return [str(one) for one in found if one]
