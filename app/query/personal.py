"""Knows which fields are personal: one table, for what is hidden, refused, documented and audited.

Who may see them is settled by the key's scopes, see `access`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.accounts.model import Access, Scope
from app.processing.shapes import UNNAMED, is_name

PERSONAL: Mapping[str, frozenset[str]] = {
    "delivery": frozenset({"headers"}),
    "event": frozenset({"data"}),
    "gap": frozenset(),
    "inquiry": frozenset(),
    "customer": frozenset(
        {
            "salutation",
            "first_name",
            "last_name",
            "birth_date",
            "email",
            "phone",
            "website",
            "company",
            "address",
            "company_address",
            "effective_address",
        }
    ),
    "document": frozenset({"name", "full_name"}),
    "lead": frozenset(
        {
            "first_name",
            "last_name",
            "name",
            "email",
            "phone",
            "birth_date",
            "address",
            "backref",
            "risk_objects",
            "policy_packages.package_nr",
            "insurance_policies.policy_nr",
            "insurance_policies.external_references",
        }
    ),
    "source": frozenset(),
    "submission": frozenset({"request", "answer"}),
    "shape": frozenset(),
    "key": frozenset(),
    "entry": frozenset(),
}
"""The personal fields of each kind of object; a dotted name is a field of the objects in a list."""

PARTLY: Mapping[str, frozenset[str]] = {
    "event": frozenset({"changes", "warnings"}),
    "gap": frozenset({"changes"}),
    "history": frozenset({"changes"}),
    "change": frozenset({"old", "new"}),
}
"""The fields that may hold something personal among the rest; that alone is hidden (`hide_changes`, `hide_names`)."""

_LONGEST_PLACE = 3
"""So many digits has a place in a list; what is longer may be somebody's number."""

_ROOTS = {kind: frozenset(name.partition(".")[0] for name in names) for kind, names in PERSONAL.items()}
_REDACTED = {kind: sorted(names) for kind, names in PERSONAL.items()}


def is_personal(kind: str, name: str) -> bool:
    """Tell whether a field is personal, or an object that holds personal fields, or a part of one."""
    return name in PERSONAL[kind] or name.partition(".")[0] in PERSONAL[kind]


def may_see(access: Access) -> bool:
    """Tell whether the key may see personal fields."""
    return access.may(Scope.READ_PERSONAL)


def hide(kind: str, shown: dict[str, Any], access: Access) -> dict[str, Any]:
    """Return an object with its `redacted` list; personal fields are null where the key may not see them."""
    if may_see(access):
        shown["redacted"] = []
        return shown
    for name in PERSONAL[kind]:
        _hide_path(shown, name)
    shown["redacted"] = list(_REDACTED[kind])
    return shown


def _hide_path(shown: dict[str, Any], path: str) -> None:
    name, _, rest = path.partition(".")
    if not rest:
        shown[name] = None
        return
    for inner in shown[name] or ():
        _hide_path(inner, rest)


def changes_personal(kind: str | None, name: str) -> bool:
    """Tell whether a change of this name tells something personal.

    `kind` is the record's; an inquiry's changes name its customer's fields `customer.<field>` and `documents` whole.
    """
    first, _, rest = name.partition(".")
    if kind == "inquiry":
        if first == "customer":
            return not rest or changes_personal("customer", rest)
        return first == "documents"
    return kind not in _ROOTS or first in _ROOTS[kind]


def hide_names(warnings: Sequence[Mapping[str, str]]) -> tuple[list[Any], bool]:
    """Return warnings without the names of fields that may be values, and whether there were any.

    Who sends may have any text for a name, so what is read of an item's fields is as free as the item.
    """
    shown = [one if _are_names(one["field"]) else {**one, "field": UNNAMED} for one in warnings]
    return shown, any(one["field"] == UNNAMED for one in shown)


def _are_names(path: str) -> bool:
    steps = path.split(".") if path else []  # without a path it is about the whole item
    return all(is_name(step) or (step.isdigit() and len(step) <= _LONGEST_PLACE) for step in steps)


def hide_changes(
    kind: str | None, changes: Iterable[Mapping[str, Any]], access: Access, *, others_told: bool = False
) -> tuple[list[Any], bool]:
    """Return changes with the old and new values of personal fields hidden, and whether any was.

    Where `others_told` of the person before, beyond the key's wall, the old values are hidden from every key.
    """
    sees_new = may_see(access)
    if sees_new and not others_told:
        return [{"field": one["field"], "old": one["old"], "new": one["new"]} for one in changes], False
    shown, some_hidden = [], False
    for change in changes:
        hidden = changes_personal(kind, str(change["field"]))
        old, new = (None, change["new"] if sees_new else None) if hidden else (change["old"], change["new"])
        shown.append({"field": change["field"], "old": old, "new": new})
        some_hidden = some_hidden or hidden
    return shown, some_hidden
