"""The commands `sources ...`: accounts at the platforms.

Their tokens and secrets are added and revoked in `source_tokens` and `source_secrets`.
"""

from datetime import datetime
from typing import Annotated, Any

import typer

from app.accounts.model import Mode
from app.cli.opening import Opened, opened
from app.cli.output import JsonFlag, show, to_table
from app.cli.values import ELSEWHERE, Reader
from app.times import to_text

app = typer.Typer(no_args_is_help=True, help="Accounts at the platforms.")

CALLS_NOBODY = "{} calls nobody, so the source has no callback URL; it is for calls of ours (`callbox submit`)."

Name = Annotated[str, typer.Argument(metavar="NAME", help="The source's name.")]
ModeOption = Annotated[
    Mode | None,
    typer.Option("--mode", help="What to do with signatures; `enforce` if a secret is given, else `observe`."),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", metavar="JSON", help="How sHash is made, if not in the usual way; `{}` resets it."),
]
CredentialOption = Annotated[
    list[str] | None,
    typer.Option("--credential", metavar="KEY=VALUE", help=f"What Callbox logs in with. Repeatable. {ELSEWHERE}"),
]
SettingOption = Annotated[
    list[str] | None, typer.Option("--setting", metavar="KEY=VALUE", help="Such as base_url. Repeatable.")
]


@app.command()
def add(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="thinksurance, wegroup or allianz.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique, a-z, 0-9 and hyphens; it cannot be changed.")],
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="S", help=f"What signatures are checked by. Repeatable. {ELSEWHERE}"),
    ] = None,
    mode: ModeOption = None,
    recipe: RecipeOption = None,
    credential: CredentialOption = None,
    setting: SettingOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a source and, where its platform calls back, its callback URL."""
    from app.accounts.store import add_source, callback_url  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    platform, reader = get_platform(provider), Reader()
    given = _given(reader, recipe, credential, setting)
    secrets = [reader.secret(value, "secret") for value in secret or ()]
    with opened() as room:
        added = add_source(room.connection, room.vault, platform, name, secrets=secrets, mode=mode, **given)
    url = callback_url(room.settings, added.provider, added.token.token) if platform.calls_back else None
    document = {"id": added.id, "name": name, "provider": added.provider, "mode": added.mode, "callback_url": url}
    document["token"] = {"id": added.token.id, "label": added.token.label}
    made = f"Source {name} ({added.provider}, mode {added.mode}) is made."
    told = f"Its callback URL, a secret in itself:\n\n  {url}\n" if url else CALLS_NOBODY.format(provider.title())
    text = f"{made} {told}"
    show(document, text, as_json=as_json)


@app.command("set")
def set_(
    name: Name,
    mode: ModeOption = None,
    recipe: RecipeOption = None,
    credential: CredentialOption = None,
    setting: SettingOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Change what is given and leave the rest.

    The values given for a credential replace all earlier ones of that KEY; `KEY=` removes a credential or setting.
    """
    from app.accounts.store import get_source_row, set_source  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    if mode is None and recipe is None and not credential and not setting:
        raise typer.BadParameter("nothing to change is given", param_hint="--mode, --recipe, --credential, --setting")
    given = _given(Reader(), recipe, credential, setting)
    with opened() as room:
        platform = get_platform(get_source_row(room.connection, name)["provider"])
        set_source(room.connection, room.vault, platform, name, mode=mode, **given)
        document = _shown(room, name)
    show(document, f"Source {name} is changed.", as_json=as_json)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List all sources."""
    from app.accounts.store import list_sources  # noqa: PLC0415

    with opened() as room:
        rows = list_sources(room.connection)
    columns = ("name", "provider", "mode", "tokens", "secrets", "last_used_at", "disabled_at")
    show({"data": rows}, to_table(rows, columns, "There is no source yet."), as_json=as_json)


@app.command("show")
def show_(name: Name, as_json: JsonFlag = False) -> None:
    """Show what is known of a source, but for its secrets, and what else it can be given."""
    with opened() as room:
        document = _shown(room, name)
    lines = [
        f"{key.replace('_', ' ')}: {_line(value)}" for key, value in document.items() if not isinstance(value, list)
    ]
    for part in ("tokens", "secrets", "credentials"):
        rows = document[part]
        lines += ["", f"{part}:", to_table(rows, list(rows[0]) if rows else [], "-")]
    show(document, "\n".join(lines), as_json=as_json)


@app.command()
def url(name: Name, as_json: JsonFlag = False) -> None:
    """Show the callback URLs of a source; that they were shown is noted in the audit log."""
    from app.accounts.parts import reveal_tokens  # noqa: PLC0415
    from app.accounts.store import callback_url, get_source_row  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    with opened() as room:
        source = get_source_row(room.connection, name)
        calls_back = get_platform(source["provider"]).calls_back
        tokens = reveal_tokens(room.connection, room.vault, name) if calls_back else []
    urls = [
        {
            "id": token.id,
            "label": token.label,
            "callback_url": callback_url(room.settings, source["provider"], token.token),
        }
        for token in tokens
    ]
    document: dict[str, Any] = {"name": name, "provider": source["provider"], "urls": urls}
    document |= {"callback_url": urls[-1]["callback_url"] if urls else None, "disabled_at": source["disabled_at"]}
    text = "\n".join(f"{one['callback_url']}  ({one['label']})" for one in urls) or "The source has no live token."
    if not calls_back:
        text = CALLS_NOBODY.format(source["provider"].title())
    elif source["disabled_at"]:
        text += f"\nThe source is disabled: they answer 404 until `callbox sources enable {name}`."
    show(document, text, as_json=as_json)


@app.command()
def disable(name: Name, as_json: JsonFlag = False) -> None:
    """Answer 404 at the source's URLs until it is enabled; what it has received stays readable."""
    from app.accounts.store import disable_source  # noqa: PLC0415

    with opened() as room:
        disable_source(room.connection, name)
        document = _shown(room, name)
    show(document, f"Source {name} is disabled.", as_json=as_json)


@app.command()
def enable(name: Name, as_json: JsonFlag = False) -> None:
    """Receive again."""
    from app.accounts.store import enable_source  # noqa: PLC0415

    with opened() as room:
        enable_source(room.connection, name)
        document = _shown(room, name)
    show(document, f"Source {name} is enabled.", as_json=as_json)


def _given(
    reader: Reader, recipe: str | None, credential: list[str] | None, setting: list[str] | None
) -> dict[str, Any]:
    """Return the values that `add` and `set` have in common."""
    return {
        "recipe": reader.recipe(recipe),
        "credentials": reader.pairs(credential or (), "credential", secret=True),
        "settings": reader.pairs(setting or (), "setting", secret=False),
    }


def _shown(room: Opened, name: str) -> dict[str, Any]:
    """Return what may be shown of a source, with what its platform allows."""
    from app.accounts.store import show_source  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    source = show_source(room.connection, name)
    platform = get_platform(source["provider"])
    source["accepts"] = {"credentials": sorted(platform.credentials), "settings": sorted(platform.settings)}
    return source


def _line(value: Any) -> str:
    """Return a value of `show` on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_line(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, datetime):
        return to_text(value)
    return "-" if value is None else str(value)
