"""The commands `sources token ...`: callback URLs of a source, several at once.

What a token is for is told in `app.accounts.parts`.
"""

from typing import Annotated

import typer

from app.cli.opening import opened
from app.cli.output import JsonFlag, show, to_table
from app.cli.sources import Name

app = typer.Typer(no_args_is_help=True, help="Callback URLs of a source, several at once.")


@app.command()
def add(
    name: Name,
    label: Annotated[str | None, typer.Option("--label", help="What to call it; deliveries are shown with it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make one more callback URL; the earlier ones stay good."""
    from app.accounts.parts import add_token  # noqa: PLC0415
    from app.accounts.store import callback_url, get_source_row  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    with opened() as room:
        provider = get_source_row(room.connection, name)["provider"]
        if not get_platform(provider).calls_back:
            raise AccountError("name", f"{provider} calls nobody, a callback URL has no use")
        token = add_token(room.connection, room.vault, name, label)
    url = callback_url(room.settings, provider, token.token)
    text = f"Token {token.label} of {name} is made. Its callback URL, a secret in itself:\n\n  {url}\n"
    show({"id": token.id, "label": token.label, "callback_url": url}, text, as_json=as_json)


@app.command("list")
def list_(name: Name, as_json: JsonFlag = False) -> None:
    """List the tokens of a source, the revoked too; `sources url` shows the URLs."""
    from app.accounts.parts import list_tokens  # noqa: PLC0415

    with opened() as room:
        rows = list_tokens(room.connection, name)
    columns = ("id", "label", "created_at", "last_used_at", "revoked_at")
    show({"data": rows}, to_table(rows, columns, "The source has no token."), as_json=as_json)


@app.command()
def revoke(
    name: Name,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id or label.")],
    as_json: JsonFlag = False,
) -> None:
    """Answer 404 at a URL for good, within two seconds."""
    from app.accounts.parts import revoke_token  # noqa: PLC0415

    with opened() as room:
        token_id = revoke_token(room.connection, name, token)
    show({"id": token_id, "revoked": True}, f"Token {token} of {name} is revoked.", as_json=as_json)
