"""Asks what is watched beside the records: how items look, spools, jobs, the audit log, what cannot be decrypted."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import func, select, text

from app.accounts.verifying import MISFIT_ROW
from app.query.drift import CHANGES, drift_path, recent_drift
from app.query.noticing import Asking, notice, number
from app.storage.models import installation, shapes, spool_states

_RECENT: Final = timedelta(days=7)
_SINCE: Final = timedelta(days=30)
_WORDS: Final[Mapping[str, str]] = {
    "appeared": "appeared",
    "vanished": "vanished",
    "type-changed": "changed the type",
    "overflow": "not kept, for there are too many",
}
_DEAD_JOBS: Final = text(
    "SELECT count(*), (SELECT min(at) FROM procrastinate_events e JOIN procrastinate_jobs j ON j.id = e.job_id"
    " WHERE j.status = 'failed' AND e.type = 'failed') FROM procrastinate_jobs WHERE status = 'failed'"
)
_MISFIT: Final = select(installation.c.value).where(installation.c.key == MISFIT_ROW)


async def _drift(asking: Asking) -> list[dict[str, Any]]:
    by_source: dict[UUID, dict[str, tuple[int, datetime]]] = {}
    for source_id, change, count, oldest in await asking.rows(recent_drift(asking.moment, _RECENT), shapes):
        by_source.setdefault(source_id, {})[change] = (count, oldest)
    return [_drifted(asking.names[source_id], found) for source_id, found in by_source.items()]


def _drifted(source: str, found: Mapping[str, tuple[int, datetime]]) -> dict[str, Any]:
    told = ", ".join(f"{found[change][0]} {_WORDS[change]}" for change in CHANGES if change in found)
    return notice(
        "shape-drift",
        "info" if set(found) == {"appeared"} else "warning",
        f"Items of {source} look otherwise than before: {told}.",
        source=source,
        count=sum(count for count, _ in found.values()),
        oldest_at=min(oldest for _, oldest in found.values()),
        link=drift_path(source),
    )


async def _spool(asking: Asking) -> list[dict[str, Any]]:
    """Tell of the spool keys without walls only: it is not known whose callbacks wait there."""
    if not asking.sees_all:
        return []
    own = spool_states.c
    recent = own.noted_at >= asking.moment - _SINCE
    asked = select(func.coalesce(func.sum(own.rows), 0), func.min(own.oldest_at), func.array_agg(own.host.distinct()))
    rows, oldest, hosts = (await asking.connection.execute(asked.where(recent))).one()
    count = max(int(rows), asking.spooled)
    if not count:
        return []
    where = f" on {', '.join(sorted(hosts))}" if hosts else ""
    sentence = (
        f"{number(count, 'callback waits', 'callbacks wait')} in the spool{where}, acknowledged but not in the database"
        " yet; is it still being emptied?"
    )
    return [notice("spool-in-use", "warning", sentence, count=count, oldest_at=oldest)]


async def _dead_jobs(asking: Asking) -> list[dict[str, Any]]:
    """Tell of jobs keys without walls only, as their list does."""
    if not asking.sees_all:
        return []
    count, oldest = (await asking.connection.execute(_DEAD_JOBS)).one()
    if not count:
        return []
    sentence = f"{number(count, 'job was', 'jobs were')} given up; `/v1/jobs` says why, and they can be retried."
    return [notice("jobs-dead", "warning", sentence, count=count, oldest_at=oldest, link="/v1/jobs?state=dead")]


async def _audit(asking: Asking) -> list[dict[str, Any]]:
    """Tell what the last `callbox audit verify` found, to keys without walls."""
    if not asking.sees_all:
        return []
    row = (await asking.connection.execute(_MISFIT)).one_or_none()
    if row is None:
        return []
    told = orjson.loads(row.value)
    sentence = f"The audit log is not as it was sealed. {told['what']} `callbox audit verify` looks again."
    return [notice("audit-misfit", "error", sentence, oldest_at=datetime.fromisoformat(told["found_at"]))]


async def _unreadable(asking: Asking) -> list[dict[str, Any]]:
    return [
        notice(
            "secret-unreadable",
            "error",
            f"A secret or credential of {name} cannot be decrypted. What comes is kept, but no signature is checked by"
            f" it: give it again, revoke the old secret, then `callbox reverify {name}`.",
            source=name,
            link=f"/v1/sources/{name}",
        )
        for one, name in asking.names.items()
        if one in asking.unreadable
    ]


QUESTIONS: Final[Sequence[Callable[[Asking], Awaitable[list[dict[str, Any]]]]]] = (
    _drift,
    _spool,
    _dead_jobs,
    _audit,
    _unreadable,
)
