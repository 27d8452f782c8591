"""Reads and writes the rows of submissions and their keys, each in the caller's transaction.

Only the processor ties events to them, see `app.processing.matching`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import and_, case, cast, delete, func, null, select, true, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.audit import record_async
from app.accounts.model import Access, Source
from app.accounts.parts import OWN_LABEL
from app.query.resource import Row, find_row_of
from app.query.shapes import from_json
from app.query.walls import wall, walled
from app.storage.models import source_tokens, sources, submission_keys, submissions
from app.submissions.calls import Outcome
from app.submissions.listing import SUBMISSIONS
from app.submissions.problems import SourceNotReady
from app.times import now

_LONGEST_ANSWER = 100_000
_TOLD_ONCE = {"forward": "url", "broker": "bToken"}
"""What is given to the caller of a kind of call alone, by its name in the answer that is kept."""
_EVERYTHING = Access(UUID(int=0), "", frozenset())


@dataclass(frozen=True, slots=True)
class Entry:
    """A submission as it is written before its call."""

    id: UUID
    source_id: UUID
    kind: str
    request: Mapping[str, Any] = field(repr=False)
    request_sha256: bytes
    idempotency_key: str | None
    external_reference: str | None
    broker: str | None
    sent_at: datetime
    due_at: datetime | None
    keys: Sequence[str] = ()


async def insert_entry(connection: AsyncConnection, entry: Entry, actor: str, note: Mapping[str, Any]) -> bool:
    """Write a submission that is about to be sent, and who asked for it; False if its idempotency key is taken."""
    values = {
        "id": entry.id,
        "source_id": entry.source_id,
        "kind": entry.kind,
        "state": "sending",
        "request": entry.request,
        "request_sha256": entry.request_sha256,
        "idempotency_key": entry.idempotency_key,
        "external_reference": entry.external_reference,
        "broker": entry.broker,
        "created_at": entry.sent_at,
        "sent_at": entry.sent_at,
        "due_at": entry.due_at,
    }
    statement = (
        insert(submissions).values(**values).on_conflict_do_nothing(index_elements=["source_id", "idempotency_key"])
    )
    written = await connection.execute(statement.returning(submissions.c.id))
    if written.scalar_one_or_none() is None:
        return False
    # No callback about it can be stored yet, so there is nothing to look back for.
    await _insert_keys(connection, entry, entry.keys, matched_at=now())
    await record_async(connection, actor, "submission.create", note)
    return True


async def _insert_keys(
    connection: AsyncConnection, entry: Entry, keys: Sequence[str], *, matched_at: datetime | None
) -> None:
    values = [
        {"source_id": entry.source_id, "key": key, "submission_id": entry.id, "matched_at": matched_at}
        for key in dict.fromkeys(keys)
    ]
    if values:
        await connection.execute(insert(submission_keys).on_conflict_do_nothing(), values)


async def store_outcome(connection: AsyncConnection, entry: Entry, outcome: Outcome) -> None:
    """Write what came of a call. A callback may have answered it already; then it stays `answered`."""
    own = submissions.c
    is_refused = outcome.state == "refused"
    values: dict[str, Any] = {
        "state": outcome.state if is_refused else case((own.first_event_id.is_(None), outcome.state), else_="answered"),
        "answer": _bounded(outcome.answer) if outcome.answer is not None else null(),
        "problem": dict(outcome.problem) if outcome.problem is not None else null(),
        "platform_ids": own.platform_ids.concat(cast(dict(outcome.platform_ids), JSONB)),
    }
    if outcome.request is not None:
        values["request"] = dict(outcome.request)
    if not outcome.was_sent:
        values["sent_at"] = None
    if is_refused:
        values |= {"due_at": None, "first_event_id": None, "answered_at": None}
    if outcome.state == "closed":
        values |= {"state": "closed", "closed_at": func.clock_timestamp(), "due_at": None}
    await connection.execute(
        update(submissions).where(own.id == entry.id, own.source_id == entry.source_id).values(**values)
    )
    await _insert_keys(connection, entry, outcome.keys, matched_at=None)
    if outcome.forgets:
        await connection.execute(
            delete(submission_keys).where(
                submission_keys.c.source_id == entry.source_id,
                submission_keys.c.submission_id == entry.id,
                submission_keys.c.key.in_(outcome.forgets),
            )
        )
    if outcome.closes:
        await _close(connection, entry, outcome.closes)


def _bounded(answer: Any) -> Any:
    """Return an answer as it is kept: one that is too long only says so."""
    if len(orjson.dumps(answer)) <= _LONGEST_ANSWER:
        return answer
    return {"left_out": f"The answer is longer than {_LONGEST_ANSWER} bytes."}


async def _close(connection: AsyncConnection, entry: Entry, keys: Sequence[str]) -> None:
    """Close the calls whose subject has come to its end."""
    meant = select(submission_keys.c.submission_id).where(
        submission_keys.c.source_id == entry.source_id, submission_keys.c.key.in_(keys)
    )
    await connection.execute(
        update(submissions)
        .where(
            submissions.c.source_id == entry.source_id,
            submissions.c.id.in_(meant),
            submissions.c.state.in_(["accepted", "answered", "unknown"]),
        )
        .values(state="closed", closed_at=func.clock_timestamp())
    )


async def find_by_key(
    connection: AsyncConnection, source_id: UUID, key: str, access: Access
) -> tuple[UUID, bytes] | None:
    """Return id and digest of the request made under a key.

    Of a request beyond the walls of `access` the digest is empty, as that of no request is.
    """
    own, is_seen = submissions.c, and_(true(), *wall(submissions, access)).label("is_seen")
    found = await connection.execute(
        select(own.id, own.request_sha256, is_seen).where(own.source_id == source_id, own.idempotency_key == key)
    )
    row = found.one_or_none()
    return None if row is None else (row[0], bytes(row[1]) if row[2] else b"")


def was_told_once(row: Row) -> bool:
    """Tell whether the answer to a call had something that is kept nowhere; `row` is as `find_row` returns it."""
    answer = from_json(row["answer"])
    return row["state"] != "refused" and isinstance(answer, dict) and bool(answer.get(_TOLD_ONCE.get(row["kind"])))


async def find_row(connection: AsyncConnection, submission_id: UUID, access: Access | None) -> Row | None:
    """Return a submission as its list has it, within the walls of `access` if it is given."""
    statement = SUBMISSIONS.columns(_EVERYTHING).where(submissions.c.id == submission_id)
    if access is not None:
        statement = walled(statement, submissions, access)
    return find_row_of(await connection.execute(statement))


async def newest_token(connection: AsyncConnection, source_id: UUID) -> tuple[UUID, bytes] | None:
    """Return the id of a source's newest live token that is no submission's own, and the token encrypted."""
    own = source_tokens.c
    found = await connection.execute(
        select(own.id, own.token_encrypted)
        .where(own.source_id == source_id, own.revoked_at.is_(None), ~own.label.startswith(OWN_LABEL))
        .where(own.token_encrypted != b"")  # given up with a lost key, see `app.accounts.rekeying`
        .order_by(own.id.desc())
        .limit(1)
    )
    row = found.one_or_none()
    return None if row is None else (row[0], bytes(row[1]))


async def check_enabled(connection: AsyncConnection, source: Source) -> None:
    """See that a source may be called by.

    Raises:
        SourceNotReady: it is disabled.
    """
    found = await connection.execute(
        select(sources.c.id).where(sources.c.id == source.id, sources.c.disabled_at.is_(None))
    )
    if found.one_or_none() is None:
        raise SourceNotReady(f"The source {source.name} is disabled: no platform is called by it until it is enabled.")
