"""The command `audit verify`: whether the audit log is as it was sealed.

How it is sealed stands in `app.accounts.sealing`; over HTTP the log is read at `/v1/audit`.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.opening import opened
from app.cli.output import FAILED, JsonFlag, show

if TYPE_CHECKING:
    from app.accounts.verifying import Checked

app = typer.Typer(no_args_is_help=True, help="Who read personal data, exported, replayed, changed keys or sources.")


@app.callback()
def _group() -> None:
    """Keep `verify` a word of its own."""


@app.command()
def verify(
    seal: Annotated[
        list[str] | None,
        typer.Option(
            "--seal",
            metavar="NUMBER:DIGEST",
            help="One that was logged (`audit.sealed`) and must be there. Repeatable.",
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check every entry against its seal and name the first that does not fit: changed, removed, inserted.

    That the end was cut off is seen only against seals from your log store. Exit code 1 if something does not fit.
    """
    from app.accounts.verifying import note_misfit, parse_seal, verify_audit  # noqa: PLC0415

    logged = [parse_seal(text) for text in seal or ()]
    with opened() as room:
        checked = verify_audit(room.connection, room.vault, logged)
        note_misfit(room.connection, checked)
    show(checked.as_json(), _told(checked, len(logged)), as_json=as_json)
    if checked.misfit is not None:
        raise typer.Exit(FAILED)


def _told(checked: "Checked", logged: int) -> str:
    """Return the answer for people."""
    if checked.misfit is not None:
        return f"The audit log is not as it was sealed. {checked.misfit}"
    lines = [f"The audit log is as it was sealed: {checked.entries} entries under {checked.seals} seals."]
    if checked.unsealed:
        lines.append(f"{checked.unsealed} entries are not sealed yet; a running `callbox work` does that every second.")
    if checked.unverifiable:
        lines.append(
            f"The first {checked.unverifiable} seals cannot be checked: `callbox secrets reset` gave up their key."
        )
    if checked.last is not None:
        lines.append(f"The last seal is {checked.last.number}:{checked.last.digest.hex()}")
    if not logged:
        lines.append("Whether its end was cut off is seen only against a logged seal: --seal NUMBER:DIGEST.")
    return "\n".join(lines)
