"""The command `calibrate`: find out by which recipe a source's items are signed.

Trying is the platform's business (`app.providers.thinksurance.calibration`).
"""

import json
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from app.cli.opening import Opened, opened
from app.cli.output import FAILED, JsonFlag, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.accounts.model import Source
    from app.processing.batch import Stored
    from app.processing.record_rows import Database
    from app.providers.thinksurance.calibration import Calibration, Signed
    from app.providers.thinksurance.recipes import Recipe

    Load = Callable[[Database, Sequence[UUID]], list[Stored]]

_MOST_DELIVERIES = 1000
_MOST_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name.")],
    apply: Annotated[bool, typer.Option("--apply", help="Set the recipe that fits, and hold it for proven.")] = False,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", metavar="N|JSON", help="Which one to apply, if several fit: its number, or itself."),
    ] = None,
    items: Annotated[int, typer.Option("--items", min=2, help="How many of the newest signed items to try.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Try all published guesses how sHash is made against items that came, those in quarantine too.

    Named are the recipes that fit every one of them, with at least two different inquiries.
    """
    from app.accounts.snapshot import read_accounts  # noqa: PLC0415
    from app.accounts.store import get_source_row  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415
    from app.processing.batch import load_stored  # noqa: PLC0415 - before a connection is made, which learns its arrays
    from app.providers.thinksurance import calibration  # noqa: PLC0415

    with opened() as room:
        row = get_source_row(room.connection, source)
        if get_platform(row["provider"]).check_recipe is None:
            raise AccountError("source", f"{row['provider']} signs nothing, so there is no recipe to find")
        account = read_accounts(room.connection, room.vault).sources[row["id"]]
        if not account.secrets and not account.credentials.keys() & {"secret", "hash"}:
            raise AccountError("secret", "there is none to try by; add one, or the credentials `secret` and `hash`")
        found = calibration.calibrate(account, _signed_items(room, account.id, items, load_stored))
        applied = _apply(room, account, found, recipe) if apply else None
    document = {
        "source": source,
        "items": found.items,
        "inquiries": found.inquiries,
        "tried": found.tried,
        "fits": [one.as_data() for one in found.fits],
        "partly": [{"recipe": one.as_data(), "items": number} for one, number in found.partly],
        "applied": applied.as_data() if applied else None,
    }
    show(document, _told(document), as_json=as_json)
    if not found.fits:
        raise typer.Exit(FAILED)


def _signed_items(room: Opened, source_id: UUID, wanted: int, load: "Load") -> "list[Signed]":
    """Return the newest signed items of a source, oldest first."""
    from app.ingest.bodies import decoded_body  # noqa: PLC0415
    from app.processing.reading import MOST_BYTES  # noqa: PLC0415
    from app.processing.second_looks import portions  # noqa: PLC0415
    from app.providers.thinksurance.calibration import signed_items  # noqa: PLC0415

    newest = room.connection.execute(
        "SELECT id FROM deliveries WHERE source_id = %s ORDER BY id DESC LIMIT %s", (source_id, _MOST_DELIVERIES)
    ).fetchall()
    found: list[Signed] = []
    for start in range(0, len(newest), wanted):
        several: list[Signed] = []
        for portion in portions(room.connection, [row[0] for row in newest[start : start + wanted]]):
            for stored in load(room.connection, portion):
                one = stored.delivery
                body = decoded_body(one.body, one.content_encoding, MOST_BYTES)
                several += signed_items(body, one.content_type, one.received_at) if body is not None else ()
        found = several + found
        if len(found) >= wanted:
            break
    return found[-wanted:]


def _apply(room: Opened, account: "Source", found: "Calibration", given: str | None) -> "Recipe | None":
    """Set the recipe that fits, as proven, and return it; None if none fits.

    Raises:
        AccountError: several fit and none of them is chosen, or another one is.
    """
    from app.accounts.store import set_source  # noqa: PLC0415
    from app.accounts.version import mark_recipe_proven  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    if not found.fits:
        return None
    if given is not None:
        chosen = _chosen(found, given)
    elif len(found.fits) == 1:
        chosen = found.fits[0]
    else:
        listed = "; ".join(json.dumps(one.as_data()) for one in found.fits[:_MOST_SHOWN])
        raise AccountError("recipe", f"{len(found.fits)} fit, choose one by --recipe: {listed}")
    with room.connection.transaction():
        platform = get_platform(account.provider)
        set_source(room.connection, room.vault, platform, account.name, recipe=chosen.as_data())
        mark_recipe_proven(room.connection, account.id, chosen.as_data())
    return chosen


def _chosen(found: "Calibration", given: str) -> "Recipe":
    """Return the one of the recipes that fit that is named by its number or given itself."""
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.cli.values import Reader  # noqa: PLC0415
    from app.providers.thinksurance.recipes import check_recipe  # noqa: PLC0415

    if given.isdecimal():
        if 0 < int(given) <= len(found.fits):
            return found.fits[int(given) - 1]
        raise AccountError("recipe", f"there is no number {int(given)}; {len(found.fits)} fit")
    try:
        recipe = check_recipe(Reader().recipe(given) or {})
    except ValueError as error:
        raise AccountError("recipe", str(error).partition(": ")[2]) from None
    if recipe not in found.fits:
        raise AccountError("recipe", "it does not fit every item; `sources set --recipe` sets it nevertheless")
    return recipe


def _told(document: dict[str, Any]) -> str:
    """Return the result for people."""
    came = f"{document['items']} signed items of {document['inquiries']} inquiries"
    if not document["tried"]:
        return f"Different inquiries with a signed item: {document['inquiries']}; at least two are needed."
    lines = [f"{document['tried']} recipes were tried against {came}; {len(document['fits'])} fit every one of them."]
    shown = document["fits"][:_MOST_SHOWN]
    lines += [f"  {number}. {json.dumps(recipe)}" for number, recipe in enumerate(shown, 1)]
    if len(document["fits"]) > len(shown):
        lines.append(f"  and {len(document['fits']) - len(shown)} more (--json lists them)")
    for one in document["partly"][:_MOST_SHOWN]:
        lines.append(f"  fits {one['items']} of {document['items']}: {json.dumps(one['recipe'])}")
    again = f"`callbox reverify {document['source']}`"
    if document["applied"]:
        lines.append(f"It is set, and proven. What is in quarantine is judged again by {again}.")
    elif document["fits"]:
        lines.append(f"`--apply` sets it{' (with `--recipe N`)' if len(document['fits']) > 1 else ''}; then {again}.")
    elif document["partly"]:
        lines.append("That is no chance: the others are signed by a secret that is not known here, or not at all.")
    return "\n".join(lines)
