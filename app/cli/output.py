"""Shows answers, errors and progress, as text for people or as one JSON document for programs.

What is in them is the commands' business.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from app.times import to_text

FAILED = 1

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def show(document: Any, text: str, *, as_json: bool) -> None:
    """Print the answer of a command on standard output: `document` for programs, or `text` for people."""
    print(json.dumps(document, indent=2, default=_plain) if as_json else text)


def say(text: str) -> None:
    """Tell a person what goes on; never on standard output."""
    print(text, file=sys.stderr)


@contextmanager
def progress(what: str, total: int | None, *, as_json: bool) -> Iterator[Callable[[int], None]]:
    """Give what is to be told how many more are done; on a terminal it moves a bar."""
    if as_json or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda number: bar.advance(task, number)


def show_error(reason: str, *, as_json: bool) -> None:
    """Print why a command failed on standard error."""
    print(json.dumps({"error": reason}) if as_json else f"callbox: {reason}", file=sys.stderr)


def explain(error: Exception) -> str | None:
    """Return the reason to show for an error that a user can do something about, None for one that is a fault of ours.

    Heavy modules are looked at only where they are loaded already: who raised one of their errors has loaded them.
    """
    expected = tuple(
        getattr(sys.modules[module], name)
        for module, name in (
            ("app.accounts.writing", "AccountError"),
            ("app.config", "ConfigError"),
            ("app.crypto", "WrongKeyError"),
            ("app.storage.database", "DatabaseError"),
            ("app.storage.embedded", "EmbeddedError"),
            ("app.cli.values", "ValueGivenError"),
            ("app.processing.second_looks", "SecondLookError"),
        )
        if module in sys.modules
    )
    if isinstance(error, expected):
        return str(error)
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        # Without the detail, in which values of the row may stand.
        return f"the database refused: {error.diag.message_primary or str(error).strip().splitlines()[0]}"
    return None


def to_place(error: Exception) -> str:
    """Return what kind of error it is and where it arose; not its text, in which values may stand."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in " + " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-5:]))


def to_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str) -> str:
    """Return rows as aligned text with a heading; `empty` if there are none."""
    if not rows:
        return empty
    cells = [[column.replace("_", " ") for column in columns]]
    cells += [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(_plain(value))


def _plain(value: Any) -> Any:
    """Return how a value stands in JSON that JSON itself does not know."""
    if isinstance(value, datetime):
        return to_text(value)
    return str(value) if isinstance(value, UUID) else value
