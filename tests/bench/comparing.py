"""Prints the last kept run of `make bench` against the one before it, or two files against each other.

Ratios to the endpoint that does nothing are compared, not rates: those say how busy the machine was.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.receiving import BASE, KEPT, NAMES

_WORTH_A_LOOK = 0.1


def main(files: list[str]) -> None:
    """Compare the files named, or the newest two."""
    kept = [Path(file) for file in files] or sorted(KEPT.glob("receiving-*.json"))[-2:]
    if len(kept) != 2:
        raise SystemExit("There is nothing to compare yet: run `make bench` twice, or name two files in ARGS.")
    before, after = (json.loads(file.read_text()) for file in kept)
    table = Table(title=f"{kept[0].name} and {kept[1].name}")
    for title in ("", "load", "of (b) before", "after", "change"):
        table.add_column(title, justify="left" if not title else "right")
    earlier = dict(_ratios(before))
    for where, ratio in _ratios(after):
        was = earlier.get(where)
        change = None if was is None else ratio / was - 1
        style = "red" if change is not None and change < -_WORTH_A_LOOK else None
        name, load = where
        shown = ("-" if was is None else f"{was:.2f}", f"{ratio:.2f}", "-" if change is None else f"{change:+.0%}")
        table.add_row(NAMES[name], load, *shown, style=style)
    Console(width=120).print(table)


def _ratios(run: dict[str, Any]) -> list[tuple[tuple[str, str], float]]:
    """Return the median rate of each contender under each load as a share of the endpoint that does nothing."""
    found = []
    for cell in run["cells"]:
        figures = cell["figures"]
        if BASE not in figures:
            continue
        base = statistics.median(figures[BASE]["rates"])
        load = f"{cell['size']:,} B, {cell['connections']} connections, {cell['workers']} worker(s)"
        found += [((name, load), statistics.median(one["rates"]) / base) for name, one in figures.items()]
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
