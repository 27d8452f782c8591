"""Makes the keys by which a callback names what a call of ours asked for: written with the call, read from events.

Who looks by them is `matching`.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from app.ids import joined
from app.processing.identity import bounded_key

BY_CUSTOMER = "customer:"
"""How the keys begin that lead to a customer only, who has many inquiries."""
BY_TOKEN = "token:"  # noqa: S105 - how a key begins
"""How the keys begin that no body needs to name: the URL that was called is enough."""


def inquiry_key(inquiry_id: int | str) -> str:
    """Return the key of an inquiry by the platform's id."""
    return bounded_key(f"inquiry:{inquiry_id}")


def lead_key(lead_id: str) -> str:
    """Return the key of a lead by the platform's id, whose letters' case means nothing."""
    return bounded_key(f"lead:{lead_id.lower()}")


def reference_key(origin: str, key: str, value: str) -> str:
    """Return the key of a subject by one of the caller's own references."""
    return bounded_key("ref:" + joined(origin, key, value))


def customer_key(broker: str, external_id: str) -> str:
    """Return the key of a broker's customer by the caller's own id.

    A customer has many inquiries, so it leads only to those that were first heard of after the call.
    """
    return bounded_key(BY_CUSTOMER + joined(broker, external_id))


def token_key(token_id: UUID) -> str:
    """Return the key of what was asked for with a callback URL of its own: all that comes by its token is about it."""
    return f"{BY_TOKEN}{token_id}"


def keys_of(subject: str, parts: Iterable[Mapping[str, Any]], token_id: UUID | None = None) -> frozenset[str]:
    """Return the keys by which an event names its subject: its ids, our references, its customer, its token."""
    kind, _, named = subject.partition("/")
    keys = {inquiry_key(named)} if kind == "inquiry" else set()
    if token_id is not None:
        keys.add(token_key(token_id))
    for part in parts:
        if part["kind"] == "inquiry":
            keys |= _references(part["fields"])
        elif part["kind"] == "lead":
            keys |= _references(part["fields"])
            keys |= {lead_key(key.removeprefix("id:")) for key in part["keys"] if key.startswith("id:")}
        elif part["kind"] == "customer":
            keys |= {bounded_key(BY_CUSTOMER + key[2:]) for key in part["keys"] if key.startswith("x:")}
    return frozenset(keys)


def _references(fields: Mapping[str, Any]) -> set[str]:
    stated = fields.get("external_references") or {}
    return {
        reference_key(one.get("origin") or "", one.get("key") or "", one["value"])
        for one in stated.values()
        if one.get("value")
    }
