"""Lists jobs for admins, and takes up again those that are dead.

Doing them is `runner`'s.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, Select, Text, case, cast, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.audit import record_async
from app.accounts.model import Access
from app.jobs.schemas import Job
from app.jobs.tables import job_events, jobs
from app.problems import NotFound, Problem
from app.query.answers import answer, next_link, tagged_answer
from app.query.cursor import Position, write_cursor
from app.query.fields import Field, Kind, of_column
from app.query.filters import Parameters, read_question
from app.query.reading import moment_of, reading_of
from app.query.shapes import in_order
from app.query.shaping import count_rows, read_shaping
from app.query.trail import actor_of
from app.query.values import Context
from app.storage.models import job_errors

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "waiting": ("todo",),
    "running": ("doing",),
    "done": ("succeeded",),
    "dead": ("failed",),
    "cancelled": ("cancelled", "aborting", "aborted"),
}
_BIGGEST: Final = 1 << 63

_own = jobs.c
_status = cast(_own.status, Text)
_state = case(*((_status.in_(theirs), ours) for ours, theirs in STATES.items()), else_="waiting")
_about = _own.args["id"].astext


class NotDead(Problem):
    """Only a dead job can be retried; this one waits, runs, or is done."""

    status = 409
    code = "job-not-dead"
    title = "Job not dead"


def _moment(of: str) -> ColumnElement[Any]:
    chosen = func.min(job_events.c.at) if of == "created_at" else func.max(job_events.c.at)
    return select(chosen).where(job_events.c.job_id == _own.id).correlate(jobs).scalar_subquery().label(of)


def _columns() -> Select[*tuple[Any, ...]]:
    return select(
        _own.id,
        _own.task_name.label("kind"),
        _about.label("about"),
        _state.label("state"),
        _own.attempts,
        _moment("created_at"),
        _moment("moved_at"),
        case((_status == "todo", _own.scheduled_at)).label("next_attempt_at"),
        job_errors.c.error,
    ).select_from(jobs.outerjoin(job_errors, job_errors.c.job_id == _own.id))


FIELDS: Final[Mapping[str, Field]] = {
    "kind": of_column(jobs, "task_name", Kind.WORD, plain_prefix=True),
    "state": Field(column=_state, kind=Kind.WORD, nullable=False, words={word: word for word in STATES}),
    "about": Field(column=_about, kind=Kind.TEXT, nullable=False),
    "attempts": of_column(jobs, "attempts", Kind.INTEGER),
}


async def answer_jobs(request: Request, access: Access, posted: Parameters | None = None) -> Response:
    """Return a page of jobs, newest first, by the parameters in the URL or by those that were `posted`.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble.
    """
    reading = reading_of(request)
    given = request.query_params.multi_items() if posted is None else posted
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    shaping, filters = read_shaping(Job, given)
    question = read_question("jobs", FIELDS, filters, context, reading.cursor_key)
    chosen = statement = _columns().where(*question.conditions)
    ascending = question.order == "asc"
    if question.position is not None:
        after = question.position.after[0]
        statement = statement.where(_own.id > after if ascending else _own.id < after)
    statement = statement.order_by(_own.id.asc() if ascending else _own.id.desc()).limit(question.limit + 1)
    async with reading.writing() as connection:  # the primary: an operator must see what just happened
        counted = None if shaping.count is None else await count_rows(connection, chosen, shaping.count, access)
        rows = (await connection.execute(statement)).mappings().all()
    has_more, rows = len(rows) > question.limit, rows[: question.limit]
    page: dict[str, Any] = {"data": [shaping.cut(_shape(row)) for row in rows], "next_cursor": None}
    if counted is not None:
        page["count"] = counted
    link = None
    if has_more:
        position = Position((rows[-1]["id"],), int(question.asked_at.timestamp() * 1000))
        page["next_cursor"] = end = write_cursor(reading.cursor_key, question.binding, position)
        if posted is None:
            link = {"Link": next_link(reading.public_url or "", request.url.path, given, end)}
    return answer(page, headers=link)


async def answer_job(request: Request, job_id: str, access: Access) -> Response:
    """Return one job, with its `ETag`.

    Raises:
        NotFound: there is none of this id.
    """
    async with reading_of(request).writing() as connection:
        return tagged_answer(request, _shape(await _get(connection, job_id)), access)


async def answer_retry(request: Request, job_id: str, access: Access) -> Response:
    """Have a dead job tried again at once.

    Raises:
        NotFound: there is none of this id.
        NotDead: it is in another state.
    """
    async with reading_of(request).writing() as connection:
        row = await _get(connection, job_id)
        if row["state"] != "dead":
            raise NotDead
        await connection.execute(
            text("SELECT procrastinate_retry_job_v2(:id, now(), NULL, NULL, NULL)"), {"id": row["id"]}
        )
        note = {"job_id": str(row["id"]), "kind": row["kind"], "about": row["about"]}
        await record_async(connection, actor_of(access), "job.retry", note)
        return answer(_shape(await _get(connection, job_id)), status=202)


async def _get(connection: AsyncConnection, job_id: str) -> RowMapping:
    known = job_id.isascii() and job_id.isdigit() and int(job_id) < _BIGGEST
    found: Sequence[RowMapping] = ()
    if known:
        found = (await connection.execute(_columns().where(_own.id == int(job_id)))).mappings().all()
    if not found:
        raise NotFound("There is no such job. Those that are done are cleared away after a day.")
    return found[0]


def _shape(row: RowMapping) -> dict[str, Any]:
    shown = {str(name): value for name, value in row.items()} | {"id": str(row["id"])}
    is_dead = row["state"] == "dead"
    shown["links"] = {
        "self": f"/v1/jobs/{row['id']}",
        "retry": f"/v1/jobs/{row['id']}/retry" if is_dead else None,
    }
    return in_order(Job, shown)
