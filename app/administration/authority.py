"""Settles what an administrator may change: nothing outside the walls of the key, and no grant beyond it.

Who asks is found out by the query room's `access`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends

from app.accounts.model import Access, Scope, Source
from app.problems import Problem
from app.query.access import Forbidden, identified, require

CLI_ONLY: Final = frozenset({"test_source"})
"""Settings that send the callback URL of one source to the platform of another."""


class BeyondKey(Problem):
    """This would go beyond what the key may do itself; `errors` says where."""

    status = 403
    code = "beyond-key"
    title = "Beyond the key"


async def admin(access: Annotated[Access, Depends(identified)]) -> Access:
    """Return who asks, if they may administer."""
    require(access, Scope.ADMIN)
    return access


Admin = Annotated[Access, Depends(admin)]


def check_may_add_source(access: Access) -> None:
    """Raise Forbidden where the key has walls: a new source is outside of them."""
    if access.source_ids is not None:
        raise Forbidden("The key is for certain sources; a new one would be none of them.")
    check_may_change_sources(access)


def check_may_change_sources(access: Access) -> None:
    """Raise Forbidden where the key is for certain brokers: a source belongs to all of its brokers."""
    if access.brokers is not None:
        raise Forbidden("The key is for certain brokers; a source is for all that send to it.")


def sees_source(access: Access, source_id: UUID) -> bool:
    """Tell whether a source is within the key's walls."""
    return access.source_ids is None or source_id in access.source_ids


def check_settings(names: Collection[str], *, is_new: bool) -> None:
    """Raise BeyondKey for settings that would have Callbox send what it keeps secret to somewhere else.

    With another address the stored credentials and callback URLs, which no answer shows, would go there. Only a source
    that has none yet may be given one.
    """
    wrong = [name for name in names if name in CLI_ONLY or (not is_new and name.endswith(("_url", "_hosts")))]
    if wrong:
        detail = "decides where credentials are sent; it is set by `callbox sources set` only"
        raise _beyond({f"/settings/{name}": detail for name in wrong})


def check_grant(
    access: Access,
    sources: Mapping[UUID, Source],
    scopes: Collection[Scope],
    walls: tuple[Sequence[str] | None, Sequence[str] | None],
    expires_at: datetime | None,
) -> None:
    """Raise BeyondKey where a new key may do more than the one that makes it; `walls` are sources and brokers."""
    wrong = {}
    if not set(scopes) <= access.scopes:
        wrong["/scopes"] = "holds one that the key does not have itself"
    own_sources = None
    if access.source_ids is not None:
        own_sources = {sources[one].name for one in access.source_ids if one in sources}
    for name, own, asked in (("sources", own_sources, walls[0]), ("brokers", access.brokers, walls[1])):
        if own is not None and (asked is None or not set(asked) <= own):
            wrong[f"/{name}"] = "is needed and may hold only those of the key itself"
    if access.expires_at is not None and (expires_at is None or expires_at > access.expires_at):
        wrong["/expires"] = "is needed and may not be later than the end of the key itself"
    if wrong:
        raise _beyond(wrong)


def _beyond(wrong: Mapping[str, str]) -> BeyondKey:
    """Return the problem with fields by their pointers."""
    errors = [
        {"in": "body", "pointer": pointer, "code": BeyondKey.code, "detail": why} for pointer, why in wrong.items()
    ]
    pointer, why = next(iter(wrong.items()))
    return BeyondKey(f"The body's field `{pointer}` {why}.", errors=errors)
