"""The command `replay`: process deliveries again with today's reader.

It makes no new delivery; processing itself is the processor's business.
"""

import sys
from typing import Annotated
from uuid import UUID

import typer

from app.cli.opening import opened
from app.cli.output import FAILED, JsonFlag, say, show

_PUT_BACK = """
INSERT INTO inbox (delivery_id, source_id)
SELECT id, source_id FROM deliveries WHERE id = ANY(%s)
ON CONFLICT DO NOTHING
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    ids: Annotated[list[str], typer.Argument(metavar="DELIVERY...", help="Ids of deliveries; `-` reads them by line.")],
    as_json: JsonFlag = False,
) -> None:
    """Process deliveries again, from their bytes as they came."""
    from app.accounts import audit  # noqa: PLC0415

    words = [word for given in ids for word in (sys.stdin.read().split() if given == "-" else [given])]
    wanted = list(dict.fromkeys(_to_id(word) for word in words))
    with opened() as room, room.connection.transaction():
        rows = room.connection.execute("SELECT id FROM deliveries WHERE id = ANY(%s)", (wanted,))
        found = {row[0] for row in rows}
        room.connection.execute(_PUT_BACK, (list(found),))
        audit.record(room.connection, audit.CLI, "delivery.replay", {"delivery_ids": sorted(map(str, found))})
    unknown = [one for one in wanted if one not in found]
    document = {"queued": [one for one in wanted if one in found], "unknown": unknown}
    if unknown and not as_json:
        say("There is no delivery " + ", ".join(map(str, unknown)))
    show(document, f"{len(found)} will be processed again.", as_json=as_json)
    if unknown:
        raise typer.Exit(FAILED)


def _to_id(word: str) -> UUID:
    try:
        return UUID(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is no delivery's id", param_hint="DELIVERY") from None
