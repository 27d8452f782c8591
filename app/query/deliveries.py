"""Shows deliveries: what came, without its bytes. The bytes are shown by `bodies`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import and_, case, exists, false, func, literal, or_, select

from app.accounts.model import Access
from app.crypto import mask_tokens
from app.ingest.contract import METHODS, VERDICTS, VIAS, Reason
from app.ingest.sender_checks import is_sealed
from app.processing.shapes import is_name
from app.query.fields import Condition, Field, Kind, of_column, source_fields
from app.query.personal import hide, may_see
from app.query.resource import OfBroker, Resource, Row
from app.query.schemas.receipts import Delivery, DeliveryDetail, DeliveryFeed, DeliveryItem, DeliveryPage
from app.query.shapes import from_json, in_order, source_columns
from app.query.values import Context, Fault
from app.query.walls import Statement, cache_of_walls, first_of, in_reach, names_some
from app.storage.models import deliveries, inbox, outcomes, source_tokens

PENDING = "pending"
_LONGEST_NUMBER = 19
"""So many digits has a number of an inquiry at most, by which Thinksurance's dictionaries of them are keyed."""

STATUSES = (PENDING, "accepted", "partial", "quarantined")
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|api-?key|password|signature", re.IGNORECASE)
_CODES = {"via": VIAS, "method": METHODS}

_at_receipt = case({rank: verdict.value for rank, verdict in enumerate(VERDICTS)}, value=deliveries.c.verdict)
_token = select(source_tokens.c.label).where(source_tokens.c.id == deliveries.c.token_id).scalar_subquery()
verdict_column = func.coalesce(outcomes.c.verdict, _at_receipt)
joined_deliveries = deliveries.outerjoin(
    outcomes,
    and_(
        outcomes.c.delivery_id == deliveries.c.id,
        outcomes.c.source_id == deliveries.c.source_id,
        in_reach(outcomes.c.delivery_id),
    ),
)


@cache_of_walls
def _columns(_: Access) -> Statement:
    own = deliveries.c
    received = (own.id, own.received_at, own.stored_at, own.via, own.method, own.remote_addr, own.headers, own.size)
    judged = (outcomes.c.seq, outcomes.c.status, outcomes.c.reason, outcomes.c["items"], outcomes.c.processed_at)
    return select(
        *received,
        own.body_sha256,
        own.answered,
        *judged,
        verdict_column.label("verdict"),
        _token.label("token"),
        *source_columns(deliveries),
    ).select_from(joined_deliveries)


def header(pairs: Sequence[Sequence[str]], wanted: str) -> str | None:
    """Return the value of a header, the first of several."""
    return next((value for name, value in pairs if name.lower() == wanted), None)


def _shown_header(pairs: Sequence[Sequence[str]], wanted: str) -> str | None:
    value = header(pairs, wanted)
    return value and mask_tokens(value)


def masked_headers(pairs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return headers without credentials: whole values where the name says so, tokens of ours wherever they stand."""
    return [
        [name, "***" if _SECRET_HEADER.search(name) or is_sealed(value) else mask_tokens(value)]
        for name, value in pairs
    ]


def _shape(row: Row, access: Access, _: object) -> dict[str, Any]:
    own = f"/v1/deliveries/{row['id']}"
    pairs = orjson.loads(row["headers"])
    items, hidden = _items(row, access)
    shown = {
        "id": row["id"],
        "seq": row["seq"],
        "source": row["source"],
        "provider": row["provider"],
        "via": VIAS[row["via"]],
        "received_at": row["received_at"],
        "stored_at": row["stored_at"],
        "method": METHODS[row["method"]],
        "remote_addr": row["remote_addr"].decode("latin-1") or None,
        "content_type": _shown_header(pairs, "content-type"),
        "content_encoding": _shown_header(pairs, "content-encoding"),
        "size": row["size"],
        "body_sha256": row["body_sha256"].hex(),
        "token": row["token"],
        "answered": row["answered"],
        "verdict": row["verdict"],
        "status": row["status"] or PENDING,
        "reason": row["reason"],
        "items": [in_order(DeliveryItem, item) for item in items],
        "processed_at": row["processed_at"],
        "links": {
            "self": own,
            "body": f"{own}/body",
            "replay": f"{own}/replay",
            "events": f"/v1/events?delivery_id={row['id']}",
            "source": f"/v1/sources/{row['source']}",
        },
    }
    if "detail" in row:
        shown["headers"] = masked_headers(pairs)
        hide("delivery", shown, access)
        shown["redacted"] += hidden
        return in_order(DeliveryDetail, shown)
    shown["redacted"] = hidden
    return in_order(Delivery, shown)


def _items(row: Row, access: Access) -> tuple[Sequence[dict[str, Any]], list[str]]:
    """Return what was found in a delivery, and what of it is hidden.

    In a dictionary of items a key may be any text: shown to all is one that looks like a number or a name of a field.
    """
    items = from_json(row["items"]) or ()
    if may_see(access):
        return items, []
    shown = [item if _is_plain(item["key"]) else {**item, "key": None} for item in items]
    return shown, ["items.key"] if shown != [*items] else []


def _is_plain(key: str | None) -> bool:
    return key is None or is_name(key) or (key.isdigit() and len(key) <= _LONGEST_NUMBER)


def _details(access: Access) -> Statement:
    return _columns(access).add_columns(literal(1).label("detail"))


def _has_status(statuses: Sequence[str], context: Context) -> Condition:
    done = [status for status in statuses if status != PENDING]
    chosen = [_is_done(done, context)] if done else []
    if PENDING in statuses:
        waiting = and_(inbox.c.delivery_id == deliveries.c.id, inbox.c.source_id == deliveries.c.source_id)
        chosen.append(and_(outcomes.c.status.is_(None), exists(select(literal(1)).where(waiting))))
    return or_(false(), *chosen) if len(chosen) != 1 else chosen[0]


def _has_reason(reasons: Sequence[str], context: Context) -> Condition:
    """Return the condition with the statuses that have a reason, by which an index begins."""
    return and_(outcomes.c.reason.in_(reasons), _is_done(("partial", "quarantined"), context))


def _is_done(statuses: Sequence[str], context: Context) -> Condition:
    """Return the condition on the outcome itself, so that its index by status serves.

    A key with a wall by broker only sees what names one of its brokers first. Of what was not accepted there is an
    index by that, for else all that is in quarantine would be gone through; to say so of other outcomes would mislead
    the planner.
    """
    has_status, known = outcomes.c.status.in_(statuses), context.access.brokers
    if known is None or "accepted" in statuses:
        return has_status
    return and_(has_status, outcomes.c.brokers[1].in_(sorted(known)))


def _parse_address(text: str, _: Context) -> bytes:
    """Return an address as it is stored: its text."""
    return text.encode()


def _parse_digest(text: str, _: Context) -> bytes:
    """Return the 32 bytes of a SHA-256 in hex."""
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise Fault("not-a-digest", "is no SHA-256: 64 hexadecimal digits")
    return bytes.fromhex(text)


def _closed(words: Sequence[str]) -> dict[str, str]:
    return {word: word for word in words}


FIELDS: Mapping[str, Field] = {
    **source_fields(deliveries),
    "id": of_column(deliveries, "id", Kind.ID, few=True),
    "seq": Field(column=outcomes.c.seq, kind=Kind.INTEGER),
    **{
        name: of_column(deliveries, name, Kind.WORD, words={word: code for code, word in enumerate(words)})
        for name, words in _CODES.items()
    },
    "received_at": of_column(deliveries, "received_at", Kind.INSTANT, id_range=deliveries.c.id),
    "stored_at": of_column(deliveries, "stored_at", Kind.INSTANT),
    "processed_at": Field(column=outcomes.c.processed_at, kind=Kind.INSTANT),
    "token": Field(column=_token, kind=Kind.WORD),
    "remote_addr": of_column(deliveries, "remote_addr", Kind.WORD, parse=_parse_address),
    "body_sha256": of_column(deliveries, "body_sha256", Kind.WORD, parse=_parse_digest),
    "size": of_column(deliveries, "size", Kind.INTEGER),
    "answered": of_column(deliveries, "answered", Kind.INTEGER),
    "verdict": Field(column=verdict_column, kind=Kind.WORD, nullable=False, words=_closed([*VERDICTS])),
    "status": Field(
        column=outcomes.c.status, kind=Kind.WORD, nullable=False, words=_closed(STATUSES), build=_has_status
    ),
    "reason": Field(column=outcomes.c.reason, kind=Kind.WORD, words=_closed([*Reason]), build=_has_reason),
}

DELIVERIES = Resource(
    name="deliveries",
    kind="delivery",
    table=deliveries,
    columns=_columns,
    details=_details,
    fields=FIELDS,
    shape=_shape,
    reckoned=(),
    once=True,
    of_broker=OfBroker(first_of(outcomes.c.brokers), outcomes.c.delivery_id, [names_some(outcomes.c.brokers)]),
    schema=Delivery,
    detail_schema=DeliveryDetail,
    page=DeliveryPage,
    seq=outcomes.c.seq,
    feed=DeliveryFeed,
    large=(outcomes.c["items"],),
    audited=False,
)
