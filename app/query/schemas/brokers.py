"""The shapes of brokers and of what needs attention."""

from typing import Literal

from app.query.schemas.parts import Links, Page, Shown, Walked, a_time, links, shown


class Broker(Shown):
    """A broker of a source."""

    broker_external_id: str = shown("B-1001", "`bExternalId`")
    source: str = shown("thinksurance-demo", "the source's name")
    name: str | None = shown(None, "null: Thinksurance sends no name of a broker")
    inquiries: int = shown(412)
    last_received_at: str | None = a_time("of its inquiries")
    quarantined_24h: int = shown(0, "deliveries of the last 24 hours that name it, with something in quarantine")
    links: Links = links(inquiries="/v1/inquiries?source=thinksurance-demo&broker_external_id=B-1001")


class BrokerPage(Page):
    """A page of brokers."""

    data: list[Broker]


class Notice(Shown):
    """Something that needs somebody."""

    kind: Literal[
        "quarantine",
        "recipe-unproven",
        "source-quiet",
        "processing-behind",
        "submissions-overdue",
        "documents-expiring",
        "documents-lost",
        "order-failed",
        "partitions-missing",
        "shape-drift",
        "spool-in-use",
        "gaps",
        "search-failing",
        "signature-deviates",
        "jobs-dead",
        "audit-misfit",
        "secret-unreadable",
    ] = shown("quarantine")
    severity: Literal["error", "warning", "info"] = shown("warning")
    source: str | None = shown("thinksurance-demo", "the source's name; null: it is about the whole service")
    count: int = shown(12, "how many there are")
    oldest_at: str | None = a_time("since when the oldest of them waits")
    sentence: str = shown("12 deliveries of thinksurance-demo have something in quarantine: invalid-signature.")
    link: str | None = shown("/v1/deliveries?source=thinksurance-demo&status=quarantined,partial", "where they are")


class NoticePage(Walked):
    """All that needs somebody, the worst first."""

    data: list[Notice]
