"""Holds what the commands that look at deliveries again have in common: patience, moments.

What they do stands in `app.processing.second_looks` and its neighbours.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.opening import Opened

if TYPE_CHECKING:
    from app.processing.second_looks import Feeder

TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=1, help="Give up when nothing was processed for so long."),
]
PATIENCE_S = 60.0


def feeder_of(room: Opened, timeout: float, told: Callable[[int], None] = lambda _: None) -> "Feeder":
    """Return what feeds deliveries to the active processor over the command's connection."""
    from app.processing.second_looks import Feeder  # noqa: PLC0415

    return Feeder(room.connection, patience=timedelta(seconds=timeout), told=told)


def parse_moment(text: str | None, option: str) -> datetime | None:
    """Return the moment of an option; one without a zone is local to CALLBOX_TIME_ZONE, a date is its beginning."""
    from app.config import load_settings  # noqa: PLC0415

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no moment such as 2026-03-09T10:01:02Z", param_hint=option) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=load_settings().zone)
