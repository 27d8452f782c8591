"""Makes and changes sources: how they check signatures, what they log in with, whether they receive.

Their tokens and shared secrets are changed in `source_parts`.
"""

from collections.abc import Callable
from typing import Any, Final

from app.accounts.model import Access
from app.accounts.store import add_source, disable_source, enable_source, set_source, show_source
from app.accounts.writing import NAME, Connection, Platform
from app.administration.authority import check_may_add_source, check_may_change_sources, check_settings, sees_source
from app.administration.doing import Order, administration_of, jsonable, pairs
from app.administration.platforms import get_platform
from app.administration.schemas import Configuration, NewSource, SourceChange, TokenShown
from app.problems import Invalid, NotFound
from app.query.shapes import in_order

POINTERS: Final = {"secret": "/secrets", "credential": "/credentials", "setting": "/settings"}

Work = Callable[[Connection], dict[str, Any]]
"""What is done in a transaction, and returns what is shown of it."""


def get_visible(connection: Connection, name: str, access: Access) -> Platform:
    """Return the platform of a source, which is held until the end of the transaction.

    Raises:
        NotFound: there is none of this name within the key's walls.
    """
    row = None
    if NAME.fullmatch(name):  # no text that the database would refuse either
        row = connection.execute("SELECT id, provider FROM sources WHERE name = %s FOR UPDATE", (name,)).fetchone()
    if row is None or not sees_source(access, row[0]):
        raise NotFound("There is no such source.")
    return get_platform(row[1])


def new_source(order: Order, body: NewSource) -> Work:
    """Return what makes a source and shows it; nothing is done yet."""
    check_may_add_source(order.access)
    check_settings(body.settings, is_new=True)
    vault = administration_of(order.request).vault

    def work(connection: Connection) -> dict[str, Any]:
        add_source(
            connection,
            vault,
            get_platform(body.provider),
            body.name,
            secrets=body.secrets,
            mode=body.mode,
            recipe=body.recipe,
            credentials=pairs(body.credentials),
            settings=pairs(body.settings),
            actor=order.actor,
        )
        return configuration(connection, body.name)

    return work


def changed_source(order: Order, name: str, body: SourceChange) -> Work:
    """Return what changes a source and shows it; the same again changes nothing more."""
    check_may_change_sources(order.access)
    check_settings(body.settings, is_new=False)
    if not body.model_fields_set:
        raise Invalid("Nothing to change is given.")
    vault = administration_of(order.request).vault

    def work(connection: Connection) -> dict[str, Any]:
        platform = get_visible(connection, name, order.access)
        if body.model_fields_set - {"enabled"}:
            set_source(
                connection,
                vault,
                platform,
                name,
                mode=body.mode,
                recipe=body.recipe,
                credentials=pairs(body.credentials),
                settings=pairs(body.settings),
                actor=order.actor,
            )
        if body.enabled is not None:
            (enable_source if body.enabled else disable_source)(connection, name, actor=order.actor)
        return configuration(connection, name)

    return work


def shown_configuration(order: Order, name: str) -> Work:
    """Return what shows a source as it is set up."""

    def work(connection: Connection) -> dict[str, Any]:
        get_visible(connection, name, order.access)
        return configuration(connection, name)

    return work


def configuration(connection: Connection, name: str) -> dict[str, Any]:
    """Return a source as administrators are shown it: no secret, and no URL."""
    source = show_source(connection, name)
    platform = get_platform(source["provider"])
    own = f"/v1/sources/{name}"
    source |= {
        "enabled": source["disabled_at"] is None,
        "tokens": [in_order(TokenShown, token) for token in source["tokens"]],
        "accepts": {"credentials": sorted(platform.credentials), "settings": sorted(platform.settings)},
        "url_command": f"callbox sources url {name}" if platform.calls_back else None,
        "links": {
            "self": f"{own}/configuration",
            "source": own,
            "tokens": f"{own}/tokens",
            "secrets": f"{own}/secrets",
        },
    }
    return jsonable(in_order(Configuration, source))
