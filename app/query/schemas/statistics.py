"""The shapes of statistics."""

from app.query.schemas.parts import A_TIME, Shown, VerdictWord, a_time, shown


class Cents(Shown):
    """What sums of money come to."""

    sum: int = shown(12_505_000, "in cents")
    median: int | None = shown(125_050, "in cents, rounded; null where there is nothing to count")
    count: int = shown(100, "how many are in it")


class Spread(Shown):
    """How times are spread."""

    median: float | None = shown(0.04, "null where there is nothing to count")
    p90: float | None = shown(0.12, "nine of ten are not above it")
    count: int = shown(100, "how many are in it")


class Bucketed(Shown):
    """A row of a statistic. What it was not grouped by is absent."""

    bucket: str | None = shown("2026-03-09", "the local hour, day, week or month; null where no `bucket` was asked for")
    from_: str | None = shown(A_TIME, "when the bucket begins", alias="from", json_schema_extra={"format": "date-time"})
    count: int = shown(120)


class DeliveryCount(Bucketed):
    """Deliveries of one bucket and group."""

    source: str = shown("thinksurance-demo", default=None)
    provider: str = shown("thinksurance", default=None)
    verdict: VerdictWord = shown("verified", default=None)
    status: str = shown("accepted", default=None)
    reason: str | None = shown("invalid-signature", default=None)
    via: str = shown("push", default=None)
    seconds_to_process: Spread = shown({"median": 0.04, "p90": 0.12, "count": 100}, "from receipt to records")


class InquiryCount(Bucketed):
    """Inquiries of one bucket and group."""

    source: str = shown("thinksurance-demo", default=None)
    status: int | None = shown(6, default=None)
    status_name: str | None = shown("ordered", default=None)
    product: str | None = shown("Betriebshaftpflicht", default=None)
    product_id: int | None = shown(81, default=None)
    insurer: str | None = shown("Beispiel Versicherung AG", default=None)
    insurer_id: int | None = shown(27, default=None)
    industry: str | None = shown("Handwerk", default=None)
    industry_id: int | None = shown(12, default=None)
    profession: str | None = shown("Tischlerei", default=None)
    profession_id: int | None = shown(345, default=None)
    broker: str | None = shown("B-1001", "`bExternalId`", default=None)
    premium_yearly_cents: Cents = shown(
        {"sum": 12_505_000, "median": 125_050, "count": 100},
        "of inquiries in other statuses than 2, 3 and 4, in which Thinksurance sends no premium",
    )


class LeadCount(Bucketed):
    """Leads of one bucket and group."""

    source: str = shown("wegroup-demo", default=None)
    origin: str | None = shown("distribution", default=None)
    kind: str | None = shown("customer", default=None)
    status: str | None = shown("created", default=None)


class FunnelCount(Shown):
    """How many inquiries went from one status to another. What it was not grouped by is absent."""

    source: str = shown("thinksurance-demo", default=None)
    product: str | None = shown("Betriebshaftpflicht", default=None)
    product_id: int | None = shown(81, default=None)
    insurer: str | None = shown("Beispiel Versicherung AG", default=None)
    insurer_id: int | None = shown(27, default=None)
    industry: str | None = shown("Handwerk", default=None)
    industry_id: int | None = shown(12, default=None)
    profession: str | None = shown("Tischlerei", default=None)
    profession_id: int | None = shown(345, default=None)
    broker: str | None = shown("B-1001", "`bExternalId`", default=None)
    from_: int = shown(4, "the status they came from", alias="from")
    to: int = shown(6, "the status they went to")
    entered: int = shown(100, "were ever in the first status")
    reached: int = shown(37, "were in the second on that day or later")
    share: float | None = shown(0.37, "reached of entered")
    days_between: Spread = shown({"median": 6.0, "p90": 21.0, "count": 37}, "days by the platform's dates")


class _Statistic(Shown):
    tz: str = shown("Europe/Berlin", "the time zone of the buckets")
    as_of: str = a_time("when it was counted")


class DeliveryStatistic(_Statistic):
    """Deliveries, counted."""

    data: list[DeliveryCount]


class InquiryStatistic(_Statistic):
    """Inquiries, counted."""

    data: list[InquiryCount]


class LeadStatistic(_Statistic):
    """Leads, counted."""

    data: list[LeadCount]


class FunnelStatistic(_Statistic):
    """A funnel."""

    data: list[FunnelCount]
