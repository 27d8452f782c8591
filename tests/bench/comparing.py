"""Prints the last kept run of `make bench` against the one before it, or two files against each other.

Rates and processor time are compared as shares of the endpoint that does nothing: by themselves they say how busy the
machine was. Bytes of log, of tables and of memory stand for themselves.
"""

import json
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.bench.receiving import BASE, KEPT, NAMES

_WORTH_A_LOOK = 0.1
_IS_GOOD_WHEN_MORE: Final = "rate of (b)"

Costs = Mapping[str, float]


def main(files: list[str]) -> None:
    """Compare the files named, or the newest two."""
    kept = [Path(file) for file in files] or sorted(KEPT.glob("receiving-*.json"))[-2:]
    if len(kept) != 2:
        raise SystemExit("There is nothing to compare yet: run `make bench` twice, or name two files in ARGS.")
    before, after = (dict(_costs(json.loads(file.read_text()))) for file in kept)
    for load, contenders in after.items():
        table = Table("", "", title=load)
        for title in ("before", "after", "change"):
            table.add_column(title, justify="right")
        for name, costs in contenders.items():
            earlier = before.get(load, {}).get(name, {})
            for what, cost in costs.items():
                was = earlier.get(what)
                table.add_row(NAMES[name], what, *_compared(was, cost), style=_style(what, was, cost))
            table.add_section()
        Console(width=110).print(f"{kept[0].name} and {kept[1].name}", table)


def _compared(was: float | None, now: float) -> tuple[str, str, str]:
    return "-" if was is None else f"{was:,.4g}", f"{now:,.4g}", f"{now / was - 1:+.0%}" if was else "-"


def _style(what: str, was: float | None, now: float) -> str | None:
    """Return red for what has become worse by more than runs differ."""
    if not was:
        return None
    change = now / was - 1
    return "red" if (-change if what == _IS_GOOD_WHEN_MORE else change) > _WORTH_A_LOOK else None


def _costs(run: dict[str, Any]) -> Iterator[tuple[str, dict[str, Costs]]]:
    """Return under each load what each contender did, and what it took for it."""
    for cell in run["cells"]:
        figures = cell["figures"]
        if BASE not in figures:
            continue
        load = f"{cell['size']:,} bytes, {cell['connections']} connections, {cell['workers']} worker(s)"
        yield load, {name: _cost(one, figures[BASE]) for name, one in figures.items()}


def _cost(one: dict[str, Any], base: dict[str, Any]) -> Costs:
    costs = {
        _IS_GOOD_WHEN_MORE: statistics.median(one["rates"]) / statistics.median(base["rates"]),
        "processor time of (b)": _cpu_seconds(one) / _cpu_seconds(base),
        "bytes of log": one["wal_bytes"] / one["requests"],
        "bytes of tables": one["stored_bytes"] / one["requests"],
        "MiB of memory": one["resident_bytes"] / 2**20,
    }
    return {what: cost for what, cost in costs.items() if cost}


def _cpu_seconds(one: dict[str, Any]) -> float:
    """Return the processor time of one callback, PostgreSQL's with it."""
    return float(one["cpu_seconds"] + one["server_cpu_seconds"]) / int(one["requests"])


if __name__ == "__main__":
    main(sys.argv[1:])
