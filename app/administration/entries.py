"""Shows the audit log: who read personal data, exported, replayed, changed keys or sources.

It is written in the accounts room, and checked against its seals by `callbox audit verify`.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from app.accounts.model import Access
from app.administration.schemas import Entry, EntryPage
from app.query.fields import Field, Kind, of_column
from app.query.resource import Resource, Row
from app.query.shapes import in_order
from app.query.walls import Statement
from app.storage.models import audit

_source = audit.c.detail["source"].astext
_KEY = "key:"


def _columns(_: Access) -> Statement:
    return select(audit.c.id, audit.c.at, audit.c.actor, audit.c.action, audit.c.detail, _source.label("source"))


def _shape(row: Row, _: Access, __: object) -> dict[str, Any]:
    shown = {name: row[name] for name in ("id", "at", "actor", "action", "source", "detail")}
    key = row["actor"].removeprefix(_KEY) if row["actor"].startswith(_KEY) else None
    shown["links"] = {"self": f"/v1/audit/{row['id']}", "key": f"/v1/keys/{key}" if key else None}
    return in_order(Entry, shown | {"redacted": []})


FIELDS: Mapping[str, Field] = {
    "id": of_column(audit, "id", Kind.ID),
    "at": of_column(audit, "at", Kind.INSTANT),
    "actor": of_column(audit, "actor", Kind.WORD),
    "action": of_column(audit, "action", Kind.WORD, plain_prefix=True),
    "source": Field(column=_source, kind=Kind.WORD, about="The source that it was done to."),
}

ENTRIES = Resource(
    name="audit",
    kind="entry",
    table=audit,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    schema=Entry,
    page=EntryPage,
    audited=False,
)
