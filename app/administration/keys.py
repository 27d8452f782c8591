"""Shows, makes and revokes API keys, each within what the key that asks may do itself.

The keys are kept by the accounts room; how one is found out in a request is told in the query room's `access`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import ARRAY, Text, case, func, select, type_coerce
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.keys import add_key, parse_expiry, revoke_key
from app.accounts.model import Access
from app.accounts.writing import Connection
from app.administration.authority import check_grant
from app.administration.doing import Order, administration_of, change, jsonable, without_body
from app.administration.schemas import KeyMade, KeyPage, KeyShown, NewKey
from app.query.answers import answer
from app.query.beginnings import folded_here
from app.query.details import get_row, parse_id
from app.query.fields import Field, Kind, of_column
from app.query.reading import reading_of
from app.query.resource import Resource, Row
from app.query.shapes import in_order
from app.query.walls import Statement
from app.storage.models import api_keys, sources
from app.times import now

POINTERS: Final = {"name": "/name", "scope": "/scopes", "source": "/sources", "broker": "/brokers"}

_PLAIN = ("id", "name", "scopes", "brokers", "created_at", "expires_at", "revoked_at")
_named = (
    select(func.coalesce(func.array_agg(sources.c.name), type_coerce([], ARRAY(Text))))
    .where(sources.c.id == func.any(api_keys.c.source_ids))
    .scalar_subquery()
)
_walls = case((api_keys.c.source_ids.is_not(None), _named)).label("sources")


def _columns(_: Access) -> Statement:
    return select(_walls, *(api_keys.c[name] for name in _PLAIN))


def _shape(row: Row, _: Access, __: object) -> dict[str, Any]:
    shown = {name: row[name] for name in _PLAIN}
    shown["sources"] = None if row["sources"] is None else sorted(row["sources"])
    shown["links"] = {"self": f"/v1/keys/{row['id']}", "audit": f"/v1/audit?actor=key:{row['id']}"}
    return in_order(KeyShown, shown | {"redacted": []})


FIELDS: Mapping[str, Field] = {
    "id": of_column(api_keys, "id", Kind.ID),
    "name": of_column(api_keys, "name", Kind.TEXT, folded=folded_here(api_keys.c.name)),
    "created_at": of_column(api_keys, "created_at", Kind.INSTANT, id_range=api_keys.c.id),
    "expires_at": of_column(api_keys, "expires_at", Kind.INSTANT),
    "revoked_at": of_column(api_keys, "revoked_at", Kind.INSTANT),
}

KEYS = Resource(
    name="keys",
    kind="key",
    table=api_keys,
    columns=_columns,
    fields=FIELDS,
    shape=_shape,
    schema=KeyShown,
    page=KeyPage,
    audited=False,
)


def new_key(order: Order, body: NewKey) -> Callable[[Connection], dict[str, Any]]:
    """Return what makes a key and shows it, this once; it raises BeyondKey for one that could do more than this one."""
    zone = administration_of(order.request).settings.zone
    known = reading_of(order.request).book.present.sources

    def work(connection: Connection) -> dict[str, Any]:
        expires_at = None if body.expires is None else parse_expiry(body.expires, now(), zone)
        check_grant(order.access, known, body.scopes, (body.sources, body.brokers), expires_at)
        added = add_key(
            connection,
            body.name,
            body.scopes,
            sources=body.sources or (),
            brokers=body.brokers or (),
            expires_at=expires_at,
            actor=order.actor,
        )
        row = connection.execute("SELECT created_at FROM api_keys WHERE id = %s", (added.id,)).fetchone()
        shown = {
            "id": added.id,
            "name": added.name,
            "scopes": added.scopes,
            "sources": sorted(set(body.sources)) if body.sources else None,
            "brokers": list(dict.fromkeys(body.brokers)) if body.brokers else None,
            "created_at": row[0] if row else None,
            "expires_at": added.expires_at,
            "revoked_at": None,
            "links": {"self": f"/v1/keys/{added.id}", "audit": f"/v1/audit?actor=key:{added.id}"},
            "redacted": [],
            "key": added.key,
        }
        return jsonable(in_order(KeyMade, shown))

    return work


async def answer_revoked(request: Request, text: str, access: Access) -> Response:
    """Revoke a key, if it is not yet, and show it.

    Raises:
        NotFound: there is none of this id within the walls of the key that asks.
    """
    order = without_body(request, access)
    reading, key_id = reading_of(request), parse_id(KEYS, text)
    async with reading.writing() as connection:
        row = await get_row(connection, KEYS, key_id, access)
    if row["revoked_at"] is None:
        await change(order, lambda connection: _revoke(connection, str(key_id), order.actor))
        async with reading.writing() as connection:
            row = await get_row(connection, KEYS, key_id, access)
    return answer(_shape(row, access, None))


def _revoke(connection: Connection, key_id: str, actor: str) -> None:
    """Revoke a key; one that somebody else has revoked meanwhile is left as it is."""
    locked = connection.execute("SELECT revoked_at FROM api_keys WHERE id::text = %s FOR UPDATE", (key_id,)).fetchone()
    if locked == (None,):
        revoke_key(connection, key_id, actor=actor)
