"""The command `reverify`: judge the quarantine again after a secret, a recipe or a check of the sender has changed.

Judging is the platforms' business, releasing the processor's; nothing is written here but the inbox.
"""

from typing import Annotated, Any

import typer

from app.cli.feeding import PATIENCE_S, TimeoutOption, feeder_of
from app.cli.opening import opened
from app.cli.output import JsonFlag, progress, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reverify)


def reverify(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name.")],
    accepted: Annotated[
        bool,
        typer.Option("--accepted", help="Also what mode `observe` accepted although its signature fitted nothing."),
    ] = False,
    timeout: TimeoutOption = PATIENCE_S,
    as_json: JsonFlag = False,
) -> None:
    """Judge again what is in quarantine for its signature or its sender; what fits now is released, by its own ids."""
    from app.accounts import audit  # noqa: PLC0415
    from app.accounts.store import get_source_row  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415
    from app.processing import reverify as room_of  # noqa: PLC0415

    with opened() as room:
        row = get_source_row(room.connection, source)
        if not get_platform(row["provider"]).calls_back:
            raise AccountError("source", f"{row['provider']} calls nobody, so there is nothing to judge again")
        waiting = room_of.count_waiting(room.connection, row["id"], accepted=accepted)
        audit.record(room.connection, audit.CLI, "source.reverify", {"source": source, "deliveries": waiting})
        with progress("judging again", waiting, as_json=as_json) as told:
            feeder = feeder_of(room, timeout, told)
            result = room_of.reverify(room.connection, row["id"], feeder, accepted=accepted)
    document = {"source": source, **result.as_json()}
    show(document, _told(document), as_json=as_json)


def _told(document: dict[str, Any]) -> str:
    """Return the result for people."""
    if not document["deliveries"]:
        return "Nothing is in quarantine for its signature or its sender."
    lines = [f"{document['deliveries']} deliveries were judged again; {document['released']} items are released."]
    if document["raised"]:
        lines.append(f"{document['raised']} items that were accepted before have a better verdict now.")
    lines += [f"{number} stay in quarantine: {reason}" for reason, number in document["quarantined"].items()]
    return "\n".join(lines)
