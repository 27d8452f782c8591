"""The shape of gaps."""

from typing import ClassVar

from app.query.schemas.parts import AN_ID, REDACTED, Change, Links, Page, Shown, a_time, an_id, links, shown


class Gap(Shown):
    """Something that a push should have brought, and a pull did."""

    personal_as: ClassVar[str] = "gap"

    id: str = an_id()
    source: str = shown("thinksurance-demo", "the source's name")
    provider: str = shown("thinksurance")
    subject: str = shown("inquiry/810042")
    type: str | None = shown("thinksurance.inquiry.ordered", "of the event that filled it; null once it was dropped")
    missed_since: str = a_time("the push was missing since then at most")
    found_at: str = a_time("when the pull brought it")
    late_at: str | None = a_time("when the push came after all; null: it never did")
    delivery_id: str = an_id("the pulled delivery that filled it")
    changes: list[Change] = shown([{"field": "status", "old": 4, "new": 6}], "what it changed")
    links: Links = links(
        self=f"/v1/gaps/{AN_ID}",
        event=f"/v1/events/{AN_ID}",
        delivery=f"/v1/deliveries/{AN_ID}",
        inquiry="/v1/inquiries?source=thinksurance-demo&inquiry_id=810042",
    )
    redacted: list[str] = REDACTED


class GapPage(Page):
    """A page of gaps."""

    data: list[Gap]
