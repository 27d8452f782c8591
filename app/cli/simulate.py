"""The command `simulate`: send a believable stream of callbacks to the running service.

The stories are the platforms' simulators', the sending is `sending`'s.
"""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.opening import opened
from app.cli.output import FAILED, JsonFlag, progress, say, show

if TYPE_CHECKING:
    from app.accounts.model import Source
    from app.cli.sending import Body, Tally

_INTERRUPTED = 130
_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
_HINT = (
    "Nothing answers at {base}. Is `callbox serve` running, and are CALLBOX_HOST, CALLBOX_PORT and CALLBOX_PUBLIC_URL"
    " the same here as there?"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    source: Annotated[str, typer.Option("--source", metavar="NAME", help="Whose platform to play.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many callbacks to send.")] = 100,
    rate: Annotated[float, typer.Option("--rate", min=0.001, help="How many a second.")] = 10.0,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same seed sends the same bodies; random if not given.")
    ] = None,
    repeats: Annotated[float, typer.Option("--repeats", min=0, max=1, help="Share of repeats among them.")] = 0.0,
    shuffle: Annotated[float, typer.Option("--shuffle", min=0, max=1, help="Share that comes too late.")] = 0.0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Most at once.")] = 64,
    as_json: JsonFlag = False,
) -> None:
    """Send realistic callbacks of invented people, correctly signed, to the running service."""
    import asyncio  # noqa: PLC0415

    from app.cli.sending import Tally, arrange, send_all  # noqa: PLC0415

    seed = random.randrange(1 << 31) if seed is None else seed  # noqa: S311 - shown, not secret
    base, url, account = _target(source)
    bodies = arrange(_bodies(account, url, seed, count), count, repeats=repeats, shuffle=shuffle, seed=seed)
    tally, interrupted = Tally(), False
    with progress("sending", count, as_json=as_json) as answered:
        try:
            asyncio.run(send_all(url, bodies, tally, rate=rate, concurrency=concurrency, answered=answered))
        except KeyboardInterrupt:
            interrupted = True
    document = _summary(tally, source, seed, count)
    show(document, _told(tally, document), as_json=as_json)
    if tally.failures and not tally.answers:
        say(_HINT.format(base=base))
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if tally.acknowledged < count:
        raise typer.Exit(FAILED)


def _target(name: str) -> "tuple[str, str, Source]":
    """Return where the service is, the newest callback URL of the source, and the source."""
    from app.accounts.parts import live_tokens  # noqa: PLC0415
    from app.accounts.snapshot import read_accounts  # noqa: PLC0415
    from app.accounts.store import callback_url, get_source_row  # noqa: PLC0415
    from app.accounts.writing import AccountError  # noqa: PLC0415
    from app.administration.platforms import get_platform  # noqa: PLC0415

    with opened() as room:
        row = get_source_row(room.connection, name)
        if not get_platform(row["provider"]).calls_back:
            raise AccountError("source", f"{row['provider']} calls nobody, so there is nothing to play")
        if row["disabled_at"] is not None:
            raise AccountError("source", f"{name} is disabled; `callbox sources enable {name}`")
        tokens = live_tokens(room.connection, room.vault, row["id"])
        if not tokens:
            raise AccountError("source", f"{name} has no live token; `callbox sources token add {name}`")
        account = read_accounts(room.connection, room.vault).sources[row["id"]]
    url = callback_url(room.settings, account.provider, tokens[-1].token)
    return room.settings.base_url, url, account


def _bodies(source: "Source", url: str, seed: int, count: int) -> "Iterator[Body]":
    """Return the story of the source's platform."""
    from app.providers.thinksurance import simulator as thinksurance  # noqa: PLC0415
    from app.providers.wegroup import simulator as wegroup  # noqa: PLC0415
    from app.times import now  # noqa: PLC0415

    story = {"thinksurance": thinksurance.bodies, "wegroup": wegroup.bodies}[source.provider]
    return story(seed, count, source, now(), url)


def _summary(tally: "Tally", source: str, seed: int, count: int) -> dict[str, Any]:
    return {
        "source": source,
        "seed": seed,
        "count": count,
        "sent": tally.sent,
        "acknowledged": tally.acknowledged,
        "answers": {str(status): number for status, number in sorted(tally.answers.items())},
        "failures": dict(sorted(tally.failures.items())),
        "seconds": round(tally.seconds, 3),
        "rate": round(tally.sent / tally.seconds, 1) if tally.seconds else None,
        "latency_ms": {name: tally.latency_ms(share) for name, share in _PERCENTILES.items()},
    }


def _told(tally: "Tally", summary: dict[str, Any]) -> str:
    """Return the summary for people."""
    answers = ", ".join(f"{status}: {number}" for status, number in summary["answers"].items()) or "none"
    lines = [f"{tally.sent} of {summary['count']} sent in {tally.seconds:.1f} s ({summary['rate'] or 0} a second)"]
    lines.append(f"answers: {answers}")
    if tally.failures:
        lines.append("not answered: " + ", ".join(f"{name}: {number}" for name, number in tally.failures.items()))
    if tally.latencies:
        lines.append("latency in ms: " + ", ".join(f"{name} {ms}" for name, ms in summary["latency_ms"].items()))
    lines.append(f"seed: {summary['seed']}")
    return "\n".join(lines)
