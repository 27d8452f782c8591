"""The shapes of submissions and catalogs."""

from typing import Any, ClassVar, Literal

from app.query.schemas.parts import AN_ID, REDACTED, Links, Page, Shown, a_time, an_id, links, shown
from app.query.schemas.receipts import Warned

StateWord = Literal["sending", "accepted", "refused", "unknown", "answered", "overdue", "closed"]
KindWord = Literal[
    "forward",
    "agency-numbers",
    "broker",
    "customer-lead",
    "company-lead",
    "client-check",
    "lead",
    "lead-update",
]

_STATES = (
    "`sending`: the call is being made; `accepted`: the platform took it; `refused`: it did not, and nothing happened;"
    " `unknown`: nobody knows whether it happened (a time-out, an interruption); `answered`: a callback about it came;"
    " `overdue`: accepted, and no callback came in the source's `overdue_after`; `closed`: nothing more will come"
)


class FieldError(Shown):
    """A field that the platform did not take."""

    pointer: str = shown("/prospect/name", "the field, as a JSON pointer into the body that was posted")
    code: str = shown("ValidationError", "the platform's word, or ours")
    detail: str = shown("The platform did not take this value.")


class CallProblem(Shown):
    """Why a call did not do what was asked."""

    code: str = shown("timed-out", "a short code of ours")
    detail: str = shown("no answer in time (ReadTimeout)", "in our words; the platform's own stand in `answer`")
    status: int | None = shown(None, "the platform's HTTP status, where it gave one")
    retry_could_help: bool = shown(example=True, about="whether the same call could succeed later")
    errors: list[FieldError] = shown([])


class PlatformIds(Shown):
    """What the platform calls what was made."""

    inquiry_id: int | None = shown(810042)
    inquiry_hash: str | None = shown("9b1de0")
    lead_id: str | None = shown(None)
    id_landing: str | None = shown(None)


class Submission(Shown):
    """A call that Callbox made to a platform, with its answer and what came back."""

    personal_as: ClassVar[str] = "submission"

    id: str = an_id()
    source: str = shown("thinksurance-demo", "the source's name")
    provider: str = shown("thinksurance")
    kind: KindWord = shown("forward")
    state: StateWord = shown("answered", _STATES)
    request: Any = shown({"type": 1, "bExternalId": "B-1001"}, "what was sent, credentials masked")
    answer: Any = shown({"url": "***", "inquiryId": 810042}, "what the platform answered, credentials masked")
    problem: CallProblem | None = shown(None)
    platform_ids: PlatformIds
    external_reference: str | None = shown("A-77", "the caller's own reference of it")
    broker_external_id: str | None = shown("B-1001", "the broker it was made for")
    created_at: str = a_time()
    sent_at: str | None = a_time("null: the platform never saw it")
    answered_at: str | None = a_time("when the first callback about it was received")
    due_at: str | None = a_time("when it is overdue; null: the source sets no `overdue_after`, or no callback follows")
    closed_at: str | None = a_time()
    first_event_id: str | None = an_id("the event of the first callback about it")
    time_to_answer_seconds: float | None = shown(5321.25, "from sending to the first callback")
    links: Links = links(
        self=f"/v1/submissions/{AN_ID}",
        source="/v1/sources/thinksurance-demo",
        first_event=f"/v1/events/{AN_ID}",
        events=f"/v1/events?submission_id={AN_ID}",
        record="/v1/inquiries?source=thinksurance-demo&inquiry_id=810042",
    )
    redacted: list[str] = REDACTED


class SubmissionPage(Page):
    """A page of submissions, newest first."""

    data: list[Submission]


class MadeSubmission(Submission):
    """A submission right after its call, with what is told once."""

    redirect_url: str | None = shown(
        "https://app.thinksurance.example/switch/4f1c",
        "where to send the user's browser after a forward; given this once, never kept or logged",
    )
    broker_token: str | None = shown(None, "the token of a broker that was created; given this once, never kept")
    warnings: list[Warned] = shown([], "what was sent, and may not do what was meant")


class CatalogEntry(Shown):
    """A product or a profession."""

    id: int = shown(81, "the platform's id")
    name: str = shown("Betriebshaftpflicht")


class Catalog(Shown):
    """The products or professions of an account."""

    data: list[CatalogEntry]
    next_cursor: str | None = shown(None, "always null: there is one page")
    fetched_at: str = a_time("when the platform was asked; it is asked again after ten minutes")
