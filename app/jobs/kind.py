"""Says what a kind of job is.

Which there are is written out where the rooms meet, in `app.server.working`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.jobs.bench import Bench, Database

SWEEP_EVERY = timedelta(minutes=1)

QUEUE = "callbox"

LIMIT = 200
"""How many of a kind may be due at once; the others are due the next time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job: how it is seen in the tables that one is due, and how it is done.

    `due` returns the ids of what is due at a moment, the most urgent first and at most `LIMIT`; an id stays due until
    `run` has seen to it, so nothing is lost if the queue is. `run` does one and may be interrupted at any `await`: it
    comes again. What it raises is tried again later, unless the error says `retry_could_help = False`. The text of a
    platform's `CallError` is shown to admins, of other errors only their kind.

    `name` is a noun with a verb, such as `documents.fetch`. `every` is how often `due` is asked. `attempts` are made
    before a job is dead; whatever it was about is tried again `rest` after that if it is still due. Jobs of one `queue`
    wait for each other: what may take minutes each has one of its own.
    """

    name: str
    due: Callable[[Database, datetime], Sequence[UUID]]
    run: Callable[[Bench, UUID], Awaitable[None]]
    every: timedelta = SWEEP_EVERY
    attempts: int = 6
    rest: timedelta = timedelta(hours=1)
    queue: str = QUEUE
