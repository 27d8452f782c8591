"""The commands `keys ...`: who may ask over HTTP.

What a scope allows is told where it is asked for.
"""

from typing import Annotated, Any

import typer

from app.accounts.model import Scope
from app.cli.opening import opened
from app.cli.output import JsonFlag, show, to_table

app = typer.Typer(no_args_is_help=True, help="API keys of those who ask.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it.")],
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it may do. Repeatable.")],
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="S", help="Show only this source. Repeatable.")
    ] = None,
    broker: Annotated[
        list[str] | None, typer.Option("--broker", metavar="B", help="Show only this bExternalId. Repeatable.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="90d, 12h, or a date, at whose beginning it ends."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an API key. It is shown once."""
    from app.accounts.keys import add_key, parse_expiry  # noqa: PLC0415
    from app.config import load_settings  # noqa: PLC0415
    from app.times import now, to_text  # noqa: PLC0415

    expires_at = None if expires is None else parse_expiry(expires, now(), load_settings().zone)
    with opened() as room:
        added = add_key(room.connection, name, scope, sources=source or (), brokers=broker or (), expires_at=expires_at)
    document: dict[str, Any] = {"id": added.id, "key": added.key, "name": added.name, "scopes": added.scopes}
    document |= {"sources": source or None, "brokers": broker or None, "expires_at": added.expires_at}
    end = f", good until {to_text(added.expires_at)}" if added.expires_at else ""
    text = f"Key {added.name} ({', '.join(added.scopes)}{end}). It is shown only this once:\n\n  {added.key}\n"
    show(document, text, as_json=as_json)


app.command("create", help="The same as add.")(add)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List all keys, the revoked too; never the keys themselves."""
    from app.accounts.keys import list_keys  # noqa: PLC0415

    with opened() as room:
        rows = list_keys(room.connection)
    columns = ("id", "name", "scopes", "sources", "brokers", "created_at", "expires_at", "revoked_at")
    show({"data": rows}, to_table(rows, columns, "There is no key yet."), as_json=as_json)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name if only one live key has it.")],
    as_json: JsonFlag = False,
) -> None:
    """Refuse a key for good, within two seconds."""
    from app.accounts.keys import revoke_key  # noqa: PLC0415

    with opened() as room:
        key_id = revoke_key(room.connection, key)
    show({"id": key_id, "revoked": True}, f"Key {key} is revoked.", as_json=as_json)
