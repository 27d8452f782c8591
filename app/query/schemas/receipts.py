"""The shapes of deliveries, events and sources."""

from typing import Any, ClassVar, Literal

from app.query.schemas.parts import (
    AN_ID,
    REDACTED,
    Change,
    FeedPage,
    Links,
    Page,
    Shown,
    VerdictWord,
    a_date,
    a_time,
    an_id,
    links,
    shown,
)

_DELIVERY_LINKS = links(
    self=f"/v1/deliveries/{AN_ID}",
    body=f"/v1/deliveries/{AN_ID}/body",
    replay=f"/v1/deliveries/{AN_ID}/replay",
    events=f"/v1/events?delivery_id={AN_ID}",
    source="/v1/sources/thinksurance-demo",
)


class DeliveryItem(Shown):
    """One inquiry, lead or notification found in a delivery, and what became of it."""

    index: int = shown(0)
    key: str | None = shown("810042", "its key where the delivery is a dictionary")
    subject: str | None = shown("inquiry/810042")
    verdict: VerdictWord = shown("verified")
    status: Literal["pending", "event", "quarantined"] = shown("event")
    reason: str | None = shown(None, "why it is in quarantine")
    event_id: str | None = an_id("the event that it became")


class Delivery(Shown):
    """One inbound HTTP request as it came, without its bytes."""

    personal_as: ClassVar[str] = "delivery"

    id: str = an_id()
    seq: int | None = shown(1201, "the order in which deliveries became readable; null while pending")
    source: str = shown("thinksurance-demo", "the source's name")
    provider: str = shown("thinksurance")
    via: Literal["push", "pull", "import"] = shown("push")
    received_at: str = a_time("when it came")
    stored_at: str = a_time("when it was written to the database")
    method: Literal["POST", "PUT", "PATCH"] = shown("POST")
    remote_addr: str | None = shown("203.0.113.17", "from where it came")
    content_type: str | None = shown("application/json")
    content_encoding: str | None = shown(None)
    size: int = shown(1843, "of the body, in bytes, as it came")
    body_sha256: str = shown("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "of the body, hex")
    token: str | None = shown("default", "the label of the callback URL's token")
    answered: int = shown(200, "the HTTP status that Callbox gave; 0 where nobody waited for one")
    verdict: VerdictWord = shown("verified", "the worst item's")
    status: Literal["pending", "accepted", "partial", "quarantined"] = shown("accepted")
    reason: str | None = shown(None, "why it is in quarantine")
    items: list[DeliveryItem]
    processed_at: str | None = a_time("null while pending")
    links: Links = _DELIVERY_LINKS
    redacted: list[str] = REDACTED


class DeliveryDetail(Delivery):
    """One inbound HTTP request with its headers; the bytes are at `/body`."""

    headers: list[list[str]] | None = shown(
        [["content-type", "application/json"]], "name and value as they came; credentials masked"
    )


class RecordLink(Shown):
    """The record that an event is about."""

    kind: Literal["inquiry", "lead", "customer", "document"] = shown("inquiry")
    id: str = an_id()


class Warned(Shown):
    """Something that was read tolerantly."""

    field: str = shown("data.premiumYearly", "a dotted path in the item as sent; empty: the item itself")
    reason: str = shown("text-for-number")


class Event(Shown):
    """What an accepted item said about one subject."""

    personal_as: ClassVar[str] = "event"

    id: str = an_id()
    seq: int = shown(3407, "the order in which events became readable")
    delivery_id: str = an_id("the delivery it was found in")
    source: str = shown("thinksurance-demo", "the source's name")
    provider: str = shown("thinksurance")
    type: str = shown("thinksurance.inquiry.calculated")
    subject: str = shown("inquiry/810042", "unique within a source")
    record: RecordLink | None = shown({"kind": "inquiry", "id": AN_ID})
    occurred_at: str | None = a_time("only where the platform states an instant")
    occurred_on: str | None = a_date("the day that the platform states")
    received_at: str = a_time()
    verdict: VerdictWord = shown("verified")
    duplicate_of: str | None = shown(None, "the event that last changed the subject, where this one changed nothing")
    stale: bool = shown(example=False, about="whether newer news had already come")
    changes: list[Change] = shown([{"field": "status", "old": 3, "new": 4}])
    warnings: list[Warned] = shown([{"field": "data.premiumYearly", "reason": "text-for-number"}])
    data: Any = shown({"bExternalId": "B-1001", "iId": 810042, "status": 4}, "the item as sent, credentials masked")
    revised_at: str | None = a_time("when it was last read otherwise than before")
    submission_id: str | None = an_id("the call of ours that it answers; null: nobody asked")
    links: Links = links(
        self=f"/v1/events/{AN_ID}",
        delivery=f"/v1/deliveries/{AN_ID}",
        record=f"/v1/inquiries/{AN_ID}",
        subject="/v1/events?source=thinksurance-demo&subject=inquiry%2F810042",
        duplicate_of=f"/v1/events/{AN_ID}",
        submission=f"/v1/submissions/{AN_ID}",
        source="/v1/sources/thinksurance-demo",
    )
    redacted: list[str] = shown([], "the personal fields that are null, or (changes) partly so, for want of a scope")


class Source(Shown):
    """One configured account at a provider."""

    personal_as: ClassVar[str] = "source"

    id: str = an_id()
    name: str = shown("thinksurance-demo")
    provider: str = shown("thinksurance")
    mode: Literal["enforce", "observe", "off"] = shown("enforce", "what is done with signatures")
    enabled: bool = shown(example=True)
    recipe_proven: bool = shown(example=True, about="whether the recipe of the signature has matched once")
    created_at: str = a_time()
    last_received_at: str | None = a_time("null: nothing ever came")
    received_24h: int = shown(1204, "deliveries of the last 24 hours")
    quarantined_24h: int = shown(3, "of them with something in quarantine")
    verified_share_24h: float | None = shown(0.9975, "of them whose signature fitted; null where there were none")
    quiet_since: str | None = a_time("its last delivery, where it is silent for longer than ever in two weeks")
    tokens: list[str] = shown(["default"], "the labels of its live callback URLs")
    links: Links = links(
        self="/v1/sources/thinksurance-demo",
        deliveries="/v1/deliveries?source=thinksurance-demo",
        events="/v1/events?source=thinksurance-demo",
    )
    redacted: list[str] = REDACTED


class DeliveryPage(Page):
    """A page of deliveries, newest first."""

    data: list[Delivery]


class DeliveryFeed(FeedPage):
    """A page of processed deliveries by `seq`, to be followed."""

    data: list[Delivery]


class EventPage(Page):
    """A page of events, newest first."""

    data: list[Event]


class EventFeed(FeedPage):
    """A page of events by `seq`, to be followed."""

    data: list[Event]


class SourcePage(Page):
    """A page of sources."""

    data: list[Source]
