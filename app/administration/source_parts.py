"""Adds and revokes the tokens and the shared secrets of a source, several at once.

The secret part of a token is in no answer; `callbox sources url` shows it. What is revoked stays so, however often.
"""

from collections.abc import Sequence
from typing import Any, Final

from app.accounts.model import Access
from app.accounts.parts import (
    OWN_LABEL,
    add_secret,
    add_token,
    list_secrets,
    list_tokens,
    revoke_secret,
    revoke_token,
)
from app.accounts.writing import AccountError, Connection
from app.administration.authority import check_may_change_sources
from app.administration.doing import Order, administration_of, jsonable
from app.administration.schemas import NewSecret, NewToken, SecretShown, TokenMade, TokenShown
from app.administration.sources import Work, get_visible
from app.problems import NotFound
from app.query.shapes import in_order

POINTERS: Final[dict[str, str]] = {}


def new_token(order: Order, name: str, body: NewToken) -> Work:
    """Return what gives a source one more token."""
    check_may_change_sources(order.access)
    vault = administration_of(order.request).vault

    def work(connection: Connection) -> dict[str, Any]:
        platform = get_visible(connection, name, order.access)
        if not platform.calls_back:
            raise AccountError("label", f"{platform.name} calls nobody, a token has no use")
        added = add_token(connection, vault, name, body.label, actor=order.actor)
        row = _chosen(list_tokens(connection, name), str(added.id))
        return jsonable(in_order(TokenMade, row | {"url_command": f"callbox sources url {name}"}))

    return work


def new_secret(order: Order, name: str, body: NewSecret) -> Work:
    """Return what gives a source one more shared secret."""
    check_may_change_sources(order.access)
    vault = administration_of(order.request).vault

    def work(connection: Connection) -> dict[str, Any]:
        platform = get_visible(connection, name, order.access)
        if platform.check_recipe is None:
            raise AccountError("secret", f"{platform.name} signs nothing, a secret has no use")
        added = add_secret(connection, vault, name, body.secret, body.label, actor=order.actor)
        return jsonable(in_order(SecretShown, _chosen(list_secrets(connection, name), str(added.id))))

    return work


def tokens_of(access: Access, name: str) -> Work:
    """Return what lists the tokens of a source, but for those of single submissions."""

    def work(connection: Connection) -> dict[str, Any]:
        get_visible(connection, name, access)
        rows = [row for row in list_tokens(connection, name) if not row["label"].startswith(OWN_LABEL)]
        return {"data": [in_order(TokenShown, row) for row in rows], "next_cursor": None}

    return work


def secrets_of(access: Access, name: str) -> Work:
    """Return what lists the shared secrets of a source."""

    def work(connection: Connection) -> dict[str, Any]:
        get_visible(connection, name, access)
        return {"data": [in_order(SecretShown, row) for row in list_secrets(connection, name)], "next_cursor": None}

    return work


def revoked_token(order: Order, name: str, which: str) -> Work:
    """Return what revokes a token by its id or label."""
    check_may_change_sources(order.access)

    def work(connection: Connection) -> dict[str, Any]:
        get_visible(connection, name, order.access)
        row = _chosen(list_tokens(connection, name), which)
        if row["revoked_at"] is None:
            revoke_token(connection, name, str(row["id"]), actor=order.actor)
        return in_order(TokenShown, _chosen(list_tokens(connection, name), str(row["id"])))

    return work


def revoked_secret(order: Order, name: str, which: str) -> Work:
    """Return what revokes a shared secret by its id or label."""
    check_may_change_sources(order.access)

    def work(connection: Connection) -> dict[str, Any]:
        get_visible(connection, name, order.access)
        row = _chosen(list_secrets(connection, name), which)
        if row["revoked_at"] is None:
            revoke_secret(connection, name, str(row["id"]), actor=order.actor)
        return in_order(SecretShown, _chosen(list_secrets(connection, name), str(row["id"])))

    return work


def _chosen(rows: Sequence[dict[str, Any]], which: str) -> dict[str, Any]:
    """Return the row of an id or label; of several that had the label, the one that is good, else the newest."""
    found = [row for row in rows if which.lower() == str(row["id"]) or which == row["label"]]
    if not found:
        raise NotFound("The source has none of this id or label.")
    return next((row for row in found if row["revoked_at"] is None), found[-1])
