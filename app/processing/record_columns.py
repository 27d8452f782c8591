"""Says in which statements records are read and written, and what each of their columns is handed over as.

When they are run is `record_rows`' business; what events may set of a record stands in `records`.
"""

# ruff: noqa: S608 - the names in the statements are our own

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.dialects import postgresql

from app.processing.arrays import BOOLS, INT4S, INT8S, JSONS, MOMENTS, TEXTS, TSVECTORS, UUIDS, Type, unnested
from app.processing.records import FIELDS
from app.storage.models import RECORDS

_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
_META: Final = (
    *("id", "source_id", "identity", "head_key", "head_receipt", "last_change_id", "field_keys"),
    *("first_received_at", "last_received_at", "changed_at", "event_count"),
)
_FOUND_BY: Final = ("folded", "words")
_EXTRA: Final = {
    "inquiry": ("customer_record_id",),
    "customer": ("brokers", "merged_into"),
    "document": (),
    "lead": ("merged_into",),
}
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    kind: (*_META, *_FOUND_BY, *_EXTRA[kind], *fields) for kind, fields in FIELDS.items()
}
"""The columns of each kind that processing writes; the others are other rooms'."""

_TOLD: Final = (
    *("id", "source_id", "identity", "head_receipt", "last_change_id"),
    *("first_received_at", "last_received_at", "changed_at", "event_count"),
)
SAID: Final[Mapping[str, tuple[str, ...]]] = {
    kind: ("head_key", "field_keys", *(("brokers",) if kind == "customer" else ()), *fields)
    for kind, fields in FIELDS.items()
}
"""Those of each kind that a state is made of, in the order in which they are loaded."""

NOTED: Final[Mapping[str, tuple[str, ...]]] = {
    kind: (*_META, *(name for name in extra if name != "brokers")) for kind, extra in _EXTRA.items()
}
"""Those of them that may be other than before although no value is: when it was told, how often, who it is."""

_HANDED_OVER: Final[Mapping[str, Type]] = {
    "UUID": UUIDS,
    "TEXT": TEXTS,
    "BIGINT": INT8S,
    "INTEGER": INT4S,
    "BOOLEAN": BOOLS,
    "TIMESTAMP WITH TIME ZONE": MOMENTS,
    "JSONB": JSONS,
    "TSVECTOR": TSVECTORS,
}
_SAID_AT: Final = frozenset({"token_expires_at"})

_SAID_ANEW = (
    "(documents.token_encrypted, documents.link_encrypted, documents.token_expires_at)"
    " IS DISTINCT FROM (EXCLUDED.token_encrypted, EXCLUDED.link_encrypted, EXCLUDED.token_expires_at)"
)
_DUE_ANEW: Final = f""", state = CASE WHEN {_SAID_ANEW} AND documents.state IN ('failed', 'expired')
        THEN 'announced' ELSE documents.state END,
    next_attempt_at = CASE WHEN {_SAID_ANEW} AND documents.state NOT IN ('archived', 'fetching')
        THEN NULL ELSE documents.next_attempt_at END,
    attempts = CASE WHEN {_SAID_ANEW} AND documents.state NOT IN ('archived', 'fetching')
        THEN 0 ELSE documents.attempts END,
    last_error = CASE WHEN {_SAID_ANEW} AND documents.state NOT IN ('archived', 'fetching')
        THEN NULL ELSE documents.last_error END,
    renewals = CASE WHEN {_SAID_ANEW} THEN 0 ELSE documents.renewals END"""
"""Has a document fetched that was given up, or is waited with, once its token or link is another.

One that is being fetched at this moment its fetcher puts back, see `app.documents.keeping`.
"""


def _own_type(kind: str, name: str) -> str:
    """Return the type of a column as PostgreSQL names it."""
    compiled = RECORDS[kind].columns[name].type.compile(_POSTGRESQL)
    return compiled.partition(" COLLATE")[0]


def _type(kind: str, name: str) -> Type:
    """Return what a column is handed over as: where events say it as text, or it is rare, as text."""
    return TEXTS if name in _SAID_AT else _HANDED_OVER.get(_own_type(kind, name), TEXTS)


def _load(kind: str) -> str:
    told = [f"t.{name}" for name in _TOLD]
    told.append("t.customer_record_id" if kind == "inquiry" else "NULL::uuid")
    said = [f"t.{name}" if name != "tax_percent" else "t.tax_percent::text" for name in SAID[kind]]  # not as a float
    return (
        f"SELECT {', '.join(told)}, json_build_array({', '.join(said)}) FROM {RECORDS[kind].name} t"
        " JOIN unnest(%s::uuid[], %s::text[]) AS w (source_id, identity)"
        " ON (t.source_id, t.identity) = (w.source_id, w.identity)"
    )


def _write(kind: str) -> str:
    names = COLUMNS[kind]
    given = [f"{name}::{own}" if (own := _own_type(kind, name)) not in _HANDED_OVER else name for name in names]
    given = [f"{name}::timestamptz" if name in _SAID_AT else name for name in given]
    updates = ", ".join(f"{name} = EXCLUDED.{name}" for name in names if name not in {"id", "source_id"})
    return (
        f"INSERT INTO {RECORDS[kind].name} ({', '.join(names)})"
        f" SELECT {', '.join(given)} FROM {unnested(names, TYPES[kind])} AS w"
        f" ON CONFLICT (id, source_id) DO UPDATE SET {updates}{_DUE_ANEW if kind == 'document' else ''}"
    )


def _note(kind: str) -> str:
    names = NOTED[kind]
    updates = ", ".join(f"{name} = w.{name}" for name in names if name not in {"id", "source_id"})
    return (
        f"UPDATE {RECORDS[kind].name} t SET {updates} FROM {unnested(names, NOTED_TYPES[kind])} AS w"
        # Ids differ between sources, too. Were the source asked for, a plan made while the table is new could go by
        # the other unique index, and through all records of the source for each.
        " WHERE t.id = w.id"
    )


TYPES: Final[Mapping[str, tuple[Type, ...]]] = {
    kind: tuple(_type(kind, name) for name in names) for kind, names in COLUMNS.items()
}
"""What the columns of each kind are handed over as."""

NOTED_TYPES: Final[Mapping[str, tuple[Type, ...]]] = {
    kind: tuple(_type(kind, name) for name in names) for kind, names in NOTED.items()
}

LOAD: Final[Mapping[str, str]] = {kind: _load(kind) for kind in RECORDS}
"""By kind: the statement that gives the records of sources and identities, the values of `SAID` as one JSON list."""

WRITE: Final[Mapping[str, str]] = {kind: _write(kind) for kind in RECORDS}
"""By kind: the statement that writes records, new ones and known ones."""

NOTE: Final[Mapping[str, str]] = {kind: _note(kind) for kind in RECORDS}
"""By kind: the statement that notes of known records that they were told nothing new."""


def array_text(texts: Any) -> str:
    """Return texts as PostgreSQL writes an array of them."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
