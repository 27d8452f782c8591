"""The shapes of jobs."""

from typing import Literal

from app.query.schemas.parts import Links, Page, Shown, a_time, links, shown

StateWord = Literal["waiting", "running", "done", "dead", "cancelled"]


class Job(Shown):
    """Something that Callbox does by itself: fetch a document, search for what was missed."""

    id: str = shown("4711", "a number, as text")
    kind: str = shown("inquiries.search")
    about: str = shown("019a9c3e-1f00-7abc-8def-0123456789ab", "the id of what it is about; a job holds nothing else")
    state: StateWord = shown("dead", "`dead`: given up, until it is retried or its time has come again")
    attempts: int = shown(6)
    created_at: str | None = a_time()
    moved_at: str | None = a_time("when it last changed its state")
    next_attempt_at: str | None = a_time("null: as soon as possible, or never")
    error: str | None = shown("thinksurance.inquiries: answered 503", "why it failed last, in Callbox's words")
    links: Links = links(self="/v1/jobs/4711", retry="/v1/jobs/4711/retry")


class JobPage(Page):
    """A page of jobs."""

    data: list[Job]
