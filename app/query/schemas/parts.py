"""The shapes that several kinds of records share."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from app.query.personal import PARTLY, PERSONAL

AN_ID = "019a9c3e-1f00-7abc-8def-0123456789ab"
A_TIME = "2025-11-19T09:30:00.123Z"


def mark_personal(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Mark the personal fields in a schema with `x-personal: true`, by the tables of `personal`."""
    kind, _, path = str(getattr(model, "personal_as", "")).partition(".")
    prefix = f"{path}." if path else ""
    for name, described in schema.get("properties", {}).items():
        if prefix + name in PERSONAL.get(kind, ()) or name in PARTLY.get(kind, ()):
            described["x-personal"] = True


class Shown(BaseModel):
    """What is shown: every field is always present. Made for the OpenAPI document, and therefore only with it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=mark_personal, defer_build=True)
    personal_as: ClassVar[str] = ""


def shown(example: Any, about: str | None = None, **more: Any) -> Any:
    """Return a field of a schema: its example and, where the name does not say it, what it is."""
    found: FieldInfo = Field(description=about, examples=[example], **more)
    return found


def an_id(about: str | None = None) -> Any:
    """Return a field that holds one of Callbox's ids."""
    return shown(AN_ID, about or "Callbox's id")


def a_time(about: str | None = None) -> Any:
    """Return a field that holds an instant in UTC with milliseconds."""
    return shown(A_TIME, about, json_schema_extra={"format": "date-time"})


def a_date(about: str | None = None, example: str = "2025-03-09") -> Any:
    """Return a field that holds a date."""
    return shown(example, about, json_schema_extra={"format": "date"})


def links(**paths: str) -> Any:
    """Return the field with the paths of the neighbours."""
    return shown(paths, "the paths of its neighbours; null where there is none")


REDACTED: Any = shown([], "the personal fields that are null because the key lacks `read:personal`")

Links = dict[str, str | None]
VerdictWord = Literal["verified", "confirmed", "unchecked", "unsigned", "invalid"]


class Address(Shown):
    """An address; what is not known is null."""

    street: str | None = shown("Lindenstraße")
    house_number: str | None = shown("12a")
    postal_code: str | None = shown("50674")
    city: str | None = shown("Köln")
    country: str | None = shown("DE")
    text: str | None = shown(None, "the address in one line, where the platform sends it so")


class Reference(Shown):
    """An id of the subject in another system."""

    origin: str | None = shown("crm", "the system; at WeGroup the insurance company")
    key: str | None = shown("AccountNumber")
    value: str | None = shown("A-10023")


class Change(Shown):
    """A field that got another value."""

    personal_as: ClassVar[str] = "change"

    field: str = shown("status", "the record's field; a customer's within an inquiry is `customer.<field>`")
    old: Any = shown(4, "null also where it was not known, and where a personal value is hidden")
    new: Any = shown(6, "null also where a personal value is hidden")


class HistoryEntry(Shown):
    """What one event changed in a record."""

    personal_as: ClassVar[str] = "history"

    at: str = a_time("when Callbox received it")
    event_id: str = an_id("the event that changed it")
    delivery_id: str = an_id("the delivery that the event was found in")
    via: Literal["push", "pull", "import"] | None = shown("push", "null once the delivery was dropped by retention")
    verdict: VerdictWord = shown("verified")
    changes: list[Change] = shown([{"field": "status", "old": 4, "new": 6}])
    redacted: list[str] = REDACTED


class Walked(Shown):
    """A page of what is walked through."""

    next_cursor: str | None = shown(
        "q0VHbi1hLWN1cnNvcg", "send it as `cursor` for the next page, however few rows this has; null: there is none"
    )


class Page(Walked):
    """A page of a list."""

    count: int = shown(1204, "of all pages; only where `count` asks for it", default=None)


class History(Walked):
    """A page of a record's history, newest first."""

    data: list[HistoryEntry]
    complete_from: str | None = shown(None, "what was received before it is no longer kept; null: all of it is")


class FeedPage(Page):
    """A page of a list in ascending order, which can be followed."""

    follow_cursor: str = shown("q0VHbi1hLWN1cnNvcg", "send it later as `cursor` to go on from here; never null")
    caught_up: bool = shown(
        example=True,
        about="whether there was nothing more at the moment of the answer; false while a replica is behind",
    )
    lag_seconds: float = shown(
        0.04, "the age of the oldest delivery that is not processed or not replicated yet; 0 if there is none"
    )


class Queued(Shown):
    """A delivery that will be processed again."""

    id: str = an_id()
    status: Literal["pending"] = shown("pending")
    links: Links = links(self=f"/v1/deliveries/{AN_ID}")


class QueuedPage(Walked):
    """Deliveries that will be processed again, a page at a time."""

    matched: int | None = shown(None, "with `dry_run`: how many the filter means; else null")
    queued: int = shown(100, "how many of them wait to be processed again now")
