"""The shapes of what a search finds."""

from typing import Literal

from pydantic import Field

from app.query.schemas.inquiries import Customer, Document, Inquiry
from app.query.schemas.leads import Lead
from app.query.schemas.parts import Shown, Walked, an_id, shown


class Found(Shown):
    """A record that a search found."""

    kind: Literal["inquiry", "customer", "document", "lead"] = shown("customer")
    id: str = an_id()
    score: float = shown(0.87, "1: every word stands in it whole; less where a word is only begun")
    record: Inquiry | Customer | Document | Lead = Field(description="the record as in its list")


class FoundPage(Walked):
    """A page of what a search found, best first."""

    data: list[Found]
