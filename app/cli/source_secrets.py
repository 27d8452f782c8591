"""The commands `sources secret ...`: what signatures of a source are checked by, several at once.

How a signature is checked is the platform's business.
"""

from typing import Annotated

import typer

from app.cli.opening import opened
from app.cli.output import JsonFlag, show, to_table
from app.cli.sources import Name
from app.cli.values import ELSEWHERE, Reader

app = typer.Typer(no_args_is_help=True, help="What signatures of a source are checked by, several at once.")


@app.command()
def add(
    name: Name,
    value: Annotated[str | None, typer.Argument(metavar="SECRET", help=ELSEWHERE)] = None,
    secret: Annotated[str | None, typer.Option("--secret", metavar="S", help="The same as an option.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="What to call it.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Add a secret; the earlier ones stay good."""
    from app.accounts.parts import add_secret  # noqa: PLC0415
    from app.accounts.store import get_source_row  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    given = [word for word in (value, secret) if word is not None]
    if len(given) != 1:
        raise typer.BadParameter("exactly one secret is needed", param_hint="SECRET")
    text = Reader().secret(given[0], "secret")
    with opened() as room:
        platform = get_platform(get_source_row(room.connection, name)["provider"])
        if platform.check_recipe is None:
            raise AccountError("secret", f"{platform.name} signs nothing, a secret has no use")
        added = add_secret(room.connection, room.vault, name, text, label)
    show({"id": added.id, "label": added.label}, f"Secret {added.label} of {name} is added.", as_json=as_json)


@app.command("list")
def list_(name: Name, as_json: JsonFlag = False) -> None:
    """List the secrets of a source by label, the revoked too; never their values."""
    from app.accounts.parts import list_secrets  # noqa: PLC0415

    with opened() as room:
        rows = list_secrets(room.connection, name)
    columns = ("id", "label", "created_at", "revoked_at")
    show({"data": rows}, to_table(rows, columns, "The source has no secret."), as_json=as_json)


@app.command()
def revoke(
    name: Name,
    secret: Annotated[str, typer.Argument(metavar="SECRET", help="Its id or label.")],
    as_json: JsonFlag = False,
) -> None:
    """Judge nothing by a secret, but for what comes in the next five seconds; what came before stays verified."""
    from app.accounts.parts import revoke_secret  # noqa: PLC0415

    with opened() as room:
        secret_id = revoke_secret(room.connection, name, secret)
    show({"id": secret_id, "revoked": True}, f"The secret of {name} is revoked.", as_json=as_json)
