"""Makes the copy of an item that may be shown: credentials of the platform and callback tokens of ours overwritten.

Who may see the rest is the query room's business.
"""

from collections.abc import Collection
from typing import Any

from app.crypto import mask_tokens

MASK = "***"
_CONTAINERS = (dict, list)  # a union would be made anew for each value


def mask_item(value: Any, credentials: Collection[str], holders: Collection[str] = ()) -> Any:
    """Return a copy of `value` with the members called `credentials` (in lower case) overwritten.

    `holders` are names that may stand for a credential or for an object with one inside; of an object only that is
    overwritten. What is null or empty stays, so that one sees that there was none.
    """
    if isinstance(value, str):
        return mask_tokens(value) if "cb" in value else value
    if isinstance(value, list):
        members = []
        for child in value:  # no comprehension: one frame of the stack a level is enough
            members.append(mask_item(child, credentials, holders))  # noqa: PERF401
        return members
    if not isinstance(value, dict):
        return value
    copy = {}
    for name, child in value.items():
        folded = name.lower()
        hidden = folded in credentials or (folded in holders and not isinstance(child, dict))
        shown = mask_tokens(name) if "cb" in name else name
        if hidden and child is not None and child not in ("", [], {}):
            copy[shown] = MASK
        elif isinstance(child, _CONTAINERS):
            copy[shown] = mask_item(child, credentials, holders)
        else:  # most are: a call for each would cost more than all the rest
            copy[shown] = mask_tokens(child) if isinstance(child, str) and "cb" in child else child
    return copy
