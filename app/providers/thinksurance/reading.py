"""Says what an accepted item says: an inquiry with its customer and documents, by the tables in `fields`.

Notifications of V2 are read in `notifications`; what becomes of the parts is the processor's business.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from app.crypto import sha256
from app.ids import joined
from app.ingest.contract import Item, Part, Receipt, Source, Statement
from app.providers.dates import find_day, find_instant
from app.providers.masking import mask_item
from app.providers.tables import Notes, as_list, read_rows, record_key
from app.providers.thinksurance.documents import read_documents
from app.providers.thinksurance.fields import (
    ADDRESS_KEYS,
    CREDENTIALS,
    CUSTOMER,
    CUSTOMER_ADDRESS,
    CUSTOMER_COMPANY_ADDRESS,
    CUSTOMER_NAMES,
    CUSTOMER_REFERENCES,
    EMPLOYEE_NAMES,
    HOLDERS,
    INQUIRY,
    INQUIRY_NAMES,
    INQUIRY_REFERENCES,
    ITEM_NAMES,
    PLAIN,
    REFERENCE,
    REFERENCE_NAMES,
    STATUS_NAMES,
)
from app.providers.thinksurance.identity import find_inquiry_id, inquiry_subject
from app.providers.thinksurance.notifications import read_notification
from app.providers.thinksurance.shapes import Kind, kind_of
from app.providers.values import is_unknown, platform_id, text

_DAY = timedelta(days=1)
_MIDNIGHT = time()


def read(item: Item, source: Source, receipt: Receipt) -> Statement:  # noqa: ARG001 - no setting matters
    """Say what an accepted item says. Never raises for what an item says."""
    if kind_of(item.value) is Kind.NOTIFICATION:
        return read_notification(item, receipt)
    value = item.value if isinstance(item.value, dict) else {}
    notes = Notes(item.notes)
    data = _object(value, "data", notes)
    inquiry_id = find_inquiry_id(data, item.key, notes.on("data.iId")) or 0
    _compare_key(item.key, inquiry_id, notes)
    fields = read_rows(INQUIRY, data, "data.", notes)
    notes.unknown_names("data.employees.", _object(data, "employees", notes, "data."), EMPLOYEE_NAMES)
    broker = fields.get("broker_external_id")
    customer = _read_customer(_object(value, "customer", notes), inquiry_id, broker, notes)
    token = None if is_unknown(data.get("bToken")) else text(data["bToken"], notes.on("data.bToken"))
    documents = read_documents(value.get("docs"), inquiry_id, broker, token, receipt.zone, notes)
    references = read_references(data, INQUIRY_REFERENCES, "data.", notes)
    effective_at = _effective_at(data.get("iUpdated"), receipt, notes)
    notes.unknown_names("", value, ITEM_NAMES)
    notes.unknown_names("data.", data, INQUIRY_NAMES)
    updated = data.get("iUpdated")
    return Statement(
        type=f"thinksurance.inquiry.{_status_word(fields.get('status'))}",
        subject=item.subject or inquiry_subject(inquiry_id),
        effective_at=effective_at,
        data=mask_item(item.value, CREDENTIALS, HOLDERS, PLAIN),
        parts=(
            _inquiry_part(inquiry_id, fields, references, customer, documents),
            *((customer,) if customer else ()),
            *documents,
        ),
        broker=broker,
        broker_token_digest=None if token is None else sha256(token),
        signature_digest=sha256(signature) if isinstance(signature := value.get("sHash"), str) and signature else None,
        occurred_at=find_instant(updated, receipt.zone),
        occurred_on=None if is_unknown(updated) else find_day(updated),
        warnings=notes.all(),
    )


def _object(value: dict[str, Any], name: str, notes: Notes, prefix: str = "") -> dict[str, Any]:
    """Return a member that should be an object; PHP sends an empty array for an empty one."""
    member = value.get(name)
    if isinstance(member, dict):
        return member
    if not is_unknown(member):
        notes.add(prefix + name, "wrong-type")
    return {}


def _compare_key(key: str | None, inquiry_id: int, notes: Notes) -> None:
    """Note a dictionary key that is another than the `iId` inside, which counts."""
    if key is not None and platform_id(key, lambda _reason: None) != inquiry_id:
        notes.add("data.iId", "differs-from-key")


def _status_word(status: int | None) -> str:
    if status is None:
        return "status_unknown"
    return STATUS_NAMES.get(status) or f"status_{status}"


def _inquiry_part(
    inquiry_id: int,
    fields: dict[str, Any],
    references: dict[str, dict[str, str]],
    customer: Part | None,
    documents: tuple[Part, ...],
) -> Part:
    """Return the inquiry's part: its rows, references, documents, and the key of its customer."""
    fields["inquiry_id"] = inquiry_id
    if customer is not None:
        fields["customer_key"] = customer.keys[0]
    if references:
        fields["external_references"] = references
    if documents:
        fields["documents"] = {
            document.fields["hash"]: {
                name: document.fields.get(name) for name in ("hash", "name", "full_name", "purpose")
            }
            for document in documents
        }
    return Part("inquiry", (str(inquiry_id),), fields)


def _read_customer(value: dict[str, Any], inquiry_id: int, broker: str | None, notes: Notes) -> Part | None:
    """Return the customer's part; None if nothing is known of one."""
    fields = read_rows(CUSTOMER, value, "customer.", notes)
    for name, rows in (("address", CUSTOMER_ADDRESS), ("company_address", CUSTOMER_COMPANY_ADDRESS)):
        address = read_rows(rows, value, "customer.", notes)
        if address:
            fields[name] = {key: address.get(key) for key in ADDRESS_KEYS}
    references = read_references(value, CUSTOMER_REFERENCES, "customer.", notes)
    if references:
        fields["external_references"] = references
    notes.unknown_names("customer.", value, CUSTOMER_NAMES)
    if not fields:
        return None
    keys = [record_key("i:", str(inquiry_id))]
    if broker is not None:
        if "external_id" in fields:
            keys.insert(0, record_key("x:", broker, fields["external_id"]))
        fields["broker_external_id"] = broker
    if "customer_id" in fields:
        keys.insert(0, record_key("c:", str(fields["customer_id"])))
    return Part("customer", tuple(keys), fields)


def read_references(
    value: dict[str, Any], names: tuple[str, ...], prefix: str, notes: Notes
) -> dict[str, dict[str, str]]:
    """Return the references in all lists called `names`, by origin and key; of equal ones the first list's.

    One without a value sets nothing: in Broker Forward an empty value deletes, in IPNs it is not documented.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        given = value.get(name)
        members = as_list(given)
        if not members and isinstance(given, dict) and given:
            members = [("0", given)]
        if not members and not is_unknown(given):
            notes.add(prefix + name, "wrong-type")
        for index, member in members:
            if not isinstance(member, dict):
                notes.add(f"{prefix}{name}.{index}", "wrong-type")
                continue
            inside = f"{prefix}{name}.{index}."
            reference = read_rows(REFERENCE, member, inside, notes)
            notes.unknown_names(inside, member, REFERENCE_NAMES)
            if "origin" not in reference or "key" not in reference:
                notes.add(inside[:-1], "incomplete-reference")
            elif "value" in reference:
                found.setdefault(joined(reference["origin"], reference["key"]), reference)
    return found


def _effective_at(updated: Any, receipt: Receipt, notes: Notes) -> datetime:
    """Return midnight UTC of the day of `iUpdated`, else of the receipt in the source's zone.

    `iUpdated` is a date in all examples. A day beyond the day after the receipt is wrong and would freeze the record
    until it comes, so the receipt's is taken.
    """
    day = None if is_unknown(updated) else find_day(updated)
    if day is not None and _has_come(day, receipt):
        return datetime.combine(day, _MIDNIGHT, UTC)
    if day is not None:
        notes.add("data.iUpdated", "date-in-future")
    return datetime.combine(_day_of(receipt.received_at, receipt.zone), _MIDNIGHT, UTC)


def _has_come(day: date, receipt: Receipt) -> bool:
    """Tell whether a day has begun in the source's zone, or begins within a day."""
    # No zone is a whole day behind UTC, so that of most days UTC says enough.
    return day <= receipt.received_at.astimezone(UTC).date() or day <= _day_of(receipt.received_at + _DAY, receipt.zone)


def _day_of(moment: datetime, zone: tzinfo) -> date:
    return moment.astimezone(zone).date()
