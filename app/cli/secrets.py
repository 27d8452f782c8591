"""The commands `secrets ...`: the key that encrypts what must not lie readable in the database.

Which values those are stands in `app.accounts.rekeying`.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.opening import opened
from app.cli.output import JsonFlag, say, show
from app.cli.values import ELSEWHERE, Reader, ValueGivenError

if TYPE_CHECKING:
    from app.config import Settings

app = typer.Typer(no_args_is_help=True, help="The key that encrypts tokens, secrets and credentials in the database.")


@app.command("new-key")
def new_key(as_json: JsonFlag = False) -> None:
    """Print a fresh key, for CALLBOX_ENCRYPTION_KEY or for rotate-key; nothing is changed."""
    from app.crypto import new_encryption_key  # noqa: PLC0415

    key = new_encryption_key()
    show({"key": key}, key, as_json=as_json)


@app.command("rotate-key")
def rotate_key(
    new_key: Annotated[str, typer.Option("--new-key", metavar="-|@FILE", help=f"The new key. {ELSEWHERE}")],
    as_json: JsonFlag = False,
) -> None:
    """Encrypt everything with a new key, while the service is stopped.

    With the embedded database the key in DATA_DIR is replaced too. Cursors that were given out before end.
    """
    from app.accounts.opening import replaced_key  # noqa: PLC0415
    from app.accounts.rekeying import rotate_key as rotate  # noqa: PLC0415
    from app.crypto import Vault  # noqa: PLC0415
    from app.processing.work import ACTIVE_LOCK  # noqa: PLC0415

    key = _given_key(new_key)
    with opened() as room, replaced_key(room.settings, key):
        counts = rotate(room.connection, room.vault, Vault(key), ACTIVE_LOCK)
    then = _then(room.settings)
    text = f"{sum(counts.values())} values are encrypted with the new key. {then}"
    show({"values": counts, "then": then}, text, as_json=as_json)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Give up what a lost key made unreadable, so that new secrets can be set; what was received stays.

    Callback URLs go on receiving, but cannot be shown any more.
    """
    from app.accounts.opening import database_of, fitting_vault, prepare_database, vault_of  # noqa: PLC0415
    from app.accounts.rekeying import count_unreadable  # noqa: PLC0415
    from app.accounts.rekeying import reset as give_up  # noqa: PLC0415
    from app.config import load_settings  # noqa: PLC0415
    from app.crypto import WrongKeyError  # noqa: PLC0415
    from app.processing.work import ACTIVE_LOCK  # noqa: PLC0415
    from app.storage.database import connect  # noqa: PLC0415

    settings = load_settings()
    with database_of(settings, say) as url:
        prepare_database(url, settings, say)
        with connect(url) as connection:
            with suppress(WrongKeyError):  # a change of the key that was cut off is finished, and nothing is given up
                fitting_vault(connection, settings)
            vault = vault_of(settings)
            counts = count_unreadable(connection, vault)
            if counts and not yes:
                if as_json:
                    raise ValueGivenError("--yes: is needed with --json")
                lost = ", ".join(f"{count} in {place}" for place, count in counts.items())
                typer.confirm(
                    f"The key does not fit these values: {lost}. Give them up for good?", abort=True, err=True
                )
            if counts:
                counts = give_up(connection, vault, ACTIVE_LOCK)
    then = "Add tokens, secrets and credentials anew: `callbox sources token add`, `secret add`, `set --credential`."
    document: dict[str, Any] = {"given_up": counts, "then": then if counts else None}
    show(document, f"Given up. {then}" if counts else "The key fits all values; nothing was changed.", as_json=as_json)


def _given_key(given: str) -> str:
    """Return the new key, checked.

    Raises:
        ValueGivenError: it is none, or stands on the command line, where others on the machine can see it.
    """
    from app.crypto import Vault  # noqa: PLC0415

    if given != "-" and not given.startswith("@"):
        raise ValueGivenError("new-key: give it by `-` (standard input) or @FILE, not on the command line")
    key = Reader().secret(given, "new-key").strip()
    try:
        Vault(key)
    except ValueError as error:
        raise ValueGivenError(f"new-key: {error}") from None
    return key


def _then(settings: "Settings") -> str:
    """Return what is to be done now."""
    if settings.encryption_key is None:
        return f"It stands in {settings.data_dir} now: start the service again."
    return "Set CALLBOX_ENCRYPTION_KEY (or its file) to the new key everywhere, then start the service again."
