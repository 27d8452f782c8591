"""The shape of a drift: a field that appeared, vanished or changed its type."""

from typing import ClassVar, Literal

from app.query.schemas.parts import AN_ID, REDACTED, Links, Page, Shown, a_time, an_id, links, shown


class Drift(Shown):
    """A field that items of a source have, have no more, or have in another type than before."""

    personal_as: ClassVar[str] = "shape"

    id: str = an_id()
    source: str = shown("thinksurance-demo", "the source's name")
    provider: str = shown("thinksurance")
    kind: str = shown("thinksurance.inquiry", "what items: how the type of their events begins")
    path: str = shown(
        "data.premiumYearly",
        "dotted, as sent; `[]` are the elements of a list, `*` names that look like values; empty: the item itself",
    )
    change: Literal["appeared", "vanished", "type-changed", "overflow"] = shown(
        "type-changed", "`overflow`: the source sends more different fields than are kept"
    )
    type: Literal["text", "number", "boolean", "null", "object", "list", "overflow"] = shown("text")
    types_before: list[str] = shown(["number"], "those that it had before")
    count: int = shown(97, "how often it was seen with this type")
    share: float | None = shown(0.42, "in what share of the items it stood, as long as it was seen; at most 1")
    first_event_id: str = an_id("the first event that has it so")
    first_seen_at: str = a_time("when that was received")
    last_seen_at: str = a_time("to the minute")
    links: Links = links(
        self=f"/v1/drift/{AN_ID}", source="/v1/sources/thinksurance-demo", first_event=f"/v1/events/{AN_ID}"
    )
    redacted: list[str] = REDACTED


class DriftPage(Page):
    """A page of drift, what was noticed last first."""

    data: list[Drift]
