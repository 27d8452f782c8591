"""Reads a lead's lists: what is insured, its packages, its policies with their coverages.

Each entry has all members of its shape, null where unknown, for lists are replaced whole.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.providers.masking import mask_item, plain_names
from app.providers.tables import Notes, Table, as_list, read_rows, top_names
from app.providers.values import is_unknown, text
from app.providers.wegroup.fields import (
    ADDRESS,
    ADDRESS_KEYS,
    ADDRESS_NAMES,
    COVERAGE,
    COVERAGE_NAMES,
    INSURANCE_POLICY,
    INSURANCE_POLICY_NAMES,
    LABEL_NAMES,
    LEAD_NAMES,
    PARTY_NAMES,
    POLICY_PACKAGE,
    POLICY_PACKAGE_NAMES,
    RISK_OBJECT,
    RISK_OBJECT_NAMES,
)
from app.providers.wegroup.identity import as_map, read_references

# WeGroup echoes what was pushed, so the callback URLs may come back; they hold our own token.
CREDENTIALS = frozenset(
    {"callbacks", "callback", "callback_url", "callback_urls", "api_token", "access_token", "token"}
)

PLAIN = plain_names(
    LEAD_NAMES | PARTY_NAMES | top_names((*ADDRESS, *RISK_OBJECT, *POLICY_PACKAGE, *INSURANCE_POLICY, *COVERAGE)),
    CREDENTIALS,
)
"""The names of the tables that are none of a credential."""


def read_lists(party: Mapping[str, Any], prefix: str, notes: Notes) -> dict[str, list[dict[str, Any]]]:
    """Return the lists of a party that are not empty."""
    lists = {
        "risk_objects": _read_risk_objects(party.get("risk_objects"), f"{prefix}risk_objects", notes),
        "policy_packages": [
            _complete(POLICY_PACKAGE, member, path, notes, POLICY_PACKAGE_NAMES)
            for member, path in _objects(party.get("policy_packages"), f"{prefix}policy_packages", notes)
        ],
        "insurance_policies": [
            _read_policy(member, path, notes)
            for member, path in _objects(party.get("insurance_policies"), f"{prefix}insurance_policies", notes)
        ],
    }
    return {name: entries for name, entries in lists.items() if entries}


def read_address(value: Any, path: str, notes: Notes) -> dict[str, Any] | None:
    """Return an address in the API's shape, from an object or one line of text; None if nothing is known."""
    if is_unknown(value):
        return None
    if isinstance(value, dict):
        fields = read_rows(ADDRESS, value, f"{path}.", notes)
        notes.unknown_names(f"{path}.", value, ADDRESS_NAMES)
    else:
        line = text(value, notes.on(path))
        fields = {} if line is None else {"text": line}
    return {key: fields.get(key) for key in ADDRESS_KEYS} if fields else None


def _complete(
    rows: Table, member: Mapping[str, Any], path: str, notes: Notes, names: frozenset[str] | None = None
) -> dict[str, Any]:
    """Return an entry with every member of its shape; others than `names`, where these are given, are noted."""
    fields = read_rows(rows, member, f"{path}.", notes)
    if names is not None:
        notes.unknown_names(f"{path}.", member, names)
    return {name: fields.get(name) for name in rows.names}


def _objects(value: Any, path: str, notes: Notes) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the objects in a list with their paths; a single object stands for a list of one."""
    if is_unknown(value):
        return
    members = as_list(value)
    if not members and isinstance(value, dict):
        yield value, path
    elif not members:
        notes.add(path, "wrong-type")
    for index, member in members:
        if isinstance(member, dict):
            yield member, f"{path}.{index}"
        elif not is_unknown(member):
            notes.add(f"{path}.{index}", "wrong-type")


def _read_risk_objects(value: Any, path: str, notes: Notes) -> list[dict[str, Any]]:
    """Return what is insured: an object of lists by kind (`cars`, `residences`; others occur), or one list."""
    if isinstance(value, dict):
        return [
            _risk_object(text(kind, notes.on(path)), member, where, notes)
            for kind, members in value.items()
            for member, where in _objects(members, f"{path}.{kind}", notes)
        ]
    return [_risk_object(None, member, where, notes) for member, where in _objects(value, path, notes)]


def _risk_object(kind: str | None, member: dict[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    """Return one risk object; what its kind has beside id, VIN and address is kept as it came."""
    if kind is None:
        named = next((member[name] for name in ("kind", "type") if not is_unknown(member.get(name))), None)
        kind = None if named is None else text(named, notes.on(path))
    fields = _complete(RISK_OBJECT, member, path, notes)
    other = {name: child for name, child in member.items() if name not in RISK_OBJECT_NAMES}
    return {
        "kind": kind or "unknown",
        **fields,
        "address": read_address(member.get("address"), f"{path}.address", notes),
        "other": mask_item(other, CREDENTIALS, (), PLAIN),
    }


def _read_policy(member: dict[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    """Return one policy; its ids may point to packages and risk objects that are not in the same body."""
    references = [
        reference
        for name in ("external_refs", "external_ref")
        for reference in read_references(member.get(name), f"{path}.{name}", "", notes)
    ]
    return {
        **_complete(INSURANCE_POLICY, member, path, notes, INSURANCE_POLICY_NAMES),
        "external_references": list(as_map(references).values()),
        "coverages": [
            _read_coverage(coverage, where, notes)
            for coverage, where in _objects(member.get("coverages"), f"{path}.coverages", notes)
        ],
    }


def _read_coverage(member: dict[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    """Return one coverage of a policy."""
    label = member.get("external_label")
    if isinstance(label, dict):
        notes.unknown_names(f"{path}.external_label.", label, LABEL_NAMES)
    return _complete(COVERAGE, member, path, notes, COVERAGE_NAMES)
