"""Statistics: counted by hand, in the zone asked for, with empty buckets, within walls and scopes."""

import io
import struct
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from app.accounts.model import Scope
from app.query import statistics
from app.query.buckets import Buckets, TooManyError
from app.query.counted import STATISTICS
from app.query.schemas.statistics import FunnelStatistic
from app.storage.models import audit
from app.times import to_text
from tests.query.conftest import START, Caller, Rows, World

DAY = 24 * 60
MARS = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"MTC\0"
"""A time zone as in a file of the tz database."""


def _statistic(caller: Caller, key: str, path: str) -> Any:
    response = caller.get(key, f"/v1/stats/{path}")
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("query", ["", "?bucket=day", "?bucket=week&tz=UTC&group_by=source"])
def test_they_have_the_shape_of_their_schemas(asking: Caller, world: World, name: str, query: str) -> None:
    found = _statistic(asking, world.keys["plain"], name + query)
    statistic = STATISTICS[name].schema.model_validate(found)
    assert statistic.model_dump(by_alias=True, exclude_unset=True) == found
    assert found["data"]


def test_deliveries_are_counted_by_hand(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, other, key = rows.source("s"), rows.source("w", "wegroup"), rows.key(Scope.READ)
    for minutes, status, seconds in ((0, "accepted", 1), (1, "accepted", 3), (2, "quarantined", 10)):
        delivery = rows.delivery(
            source, minutes, status=None, verdict="invalid" if status == "quarantined" else "verified"
        )
        rows.connection.exec_driver_sql("DELETE FROM inbox")
        rows.process(
            delivery,
            source,
            status=status,
            verdict="invalid" if status == "quarantined" else "verified",
            reason="invalid-signature" if status == "quarantined" else None,
            processed_at=START + timedelta(minutes=minutes, seconds=seconds),
        )
    rows.delivery(other, 3 * DAY, status=None)
    caller = open_caller()
    (total,) = _statistic(caller, key, "deliveries")["data"]
    spread = {"median": 3.0, "p90": 8.6, "count": 3}
    assert total == {"bucket": None, "from": None, "count": 4, "seconds_to_process": spread}
    grouped = _statistic(caller, key, "deliveries?group_by=status,reason&group_by=provider,via,verdict,source")["data"]
    assert [
        (row["status"], row["reason"], row["provider"], row["via"], row["verdict"], row["source"], row["count"])
        for row in grouped
    ] == [
        ("accepted", None, "thinksurance", "push", "verified", "s", 2),
        ("pending", None, "wegroup", "push", "verified", "w", 1),
        ("quarantined", "invalid-signature", "thinksurance", "push", "invalid", "s", 1),
    ]
    days = _statistic(caller, key, "deliveries?bucket=day")
    assert days["tz"] == "Europe/Berlin"
    assert [(row["bucket"], row["from"], row["count"]) for row in days["data"]] == [
        ("2026-03-09", "2026-03-08T23:00:00.000Z", 3),
        ("2026-03-10", "2026-03-09T23:00:00.000Z", 0),
        ("2026-03-11", "2026-03-10T23:00:00.000Z", 0),
        ("2026-03-12", "2026-03-11T23:00:00.000Z", 1),
    ]
    assert days["data"][1]["seconds_to_process"] == {"median": None, "p90": None, "count": 0}
    only = _statistic(
        caller, key, "deliveries?bucket=day&source=w&received_at[gte]=2026-03-11&received_at[lt]=2026-03-14"
    )
    assert [(row["bucket"], row["count"]) for row in only["data"]] == [
        ("2026-03-11", 0),
        ("2026-03-12", 1),
        ("2026-03-13", 0),
    ]
    nothing = _statistic(
        caller, key, "deliveries?bucket=day&answered=500&received_at[gte]=2026-03-11&received_at[lte]=2026-03-12"
    )
    assert [row["count"] for row in nothing["data"]] == [0, 0]
    until_now = _statistic(caller, key, "deliveries?bucket=hour&answered=500&received_at[gte]=-3h")
    assert [row["count"] for row in until_now["data"]] == [0, 0, 0, 0]


def test_premiums_are_summed_where_the_status_has_one(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number, (status, cents) in enumerate(
        ((4, 999_00), (6, 100_00), (6, 300_00), (15, 400_01), (6, None), (2, None))
    ):
        product = {"product_id": 81, "product_name": "Haftpflicht"} if number < 3 else {"product_name": "Rechtsschutz"}
        rows.inquiry(source, number, number, status=status, premium_yearly_cents=cents, **product)
    caller = open_caller()
    (total,) = _statistic(caller, key, "inquiries")["data"]
    assert total["count"] == 6
    assert total["premium_yearly_cents"] == {"sum": 800_01, "median": 300_00, "count": 3}
    by_product = _statistic(caller, key, "inquiries?group_by=product&status=6,15")["data"]
    assert [(row["product"], row["product_id"], row["count"], row["premium_yearly_cents"]) for row in by_product] == [
        ("Haftpflicht", 81, 2, {"sum": 400_00, "median": 200_00, "count": 2}),
        ("Rechtsschutz", None, 2, {"sum": 400_01, "median": 400_01, "count": 1}),
    ]
    by_status = _statistic(caller, key, "inquiries?group_by=status")["data"]
    assert [(row["status"], row["status_name"], row["count"]) for row in by_status] == [
        (6, "ordered", 3),
        (15, "proposal_created", 1),
        (2, "tendering_lead", 1),
        (4, "calculated", 1),
    ]
    assert by_status[3]["premium_yearly_cents"] == {"sum": 0, "median": None, "count": 0}
    rows.inquiry(source, 9, 9, status=25, premium_yearly_cents=-12)
    (refunded,) = _statistic(caller, key, "inquiries?status=25")["data"]
    assert refunded["premium_yearly_cents"] == {"sum": -12, "median": -12, "count": 1}


def test_every_group_has_every_bucket(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("w", "wegroup"), rows.key(Scope.READ)
    for minutes in (0, 1):
        rows.lead(source, minutes, origin="distribution", status="created", kind="company")
    rows.lead(source, 2 * DAY, status="created")
    rows.lead(source, 0, origin="distribution", merged_into=rows.id_at(0))
    found = _statistic(open_caller(), key, "leads?bucket=day&group_by=origin,kind,status")["data"]
    assert [(row["bucket"], row["origin"], row["kind"], row["status"], row["count"]) for row in found] == [
        ("2026-03-09", "distribution", "company", "created", 2),
        ("2026-03-09", None, "unknown", "created", 0),
        ("2026-03-10", "distribution", "company", "created", 0),
        ("2026-03-10", None, "unknown", "created", 0),
        ("2026-03-11", "distribution", "company", "created", 0),
        ("2026-03-11", None, "unknown", "created", 1),
    ]


def test_dates_are_days_of_any_zone(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number, day in enumerate((date(2026, 3, 31), date(2026, 4, 1), None)):
        rows.inquiry(source, number, updated_on=day)
    caller = open_caller()
    for tz, begin in (("America/New_York", "2026-03-01T05:00:00.000Z"), ("UTC", "2026-03-01T00:00:00.000Z")):
        found = _statistic(caller, key, f"inquiries?bucket=month&by=updated_on&tz={tz}")["data"]
        assert [(row["bucket"], row["count"]) for row in found] == [("2026-03", 1), ("2026-04", 1)]
        assert found[0]["from"] == begin
    since = _statistic(
        caller, key, "inquiries?bucket=day&by=updated_on&updated_on[gte]=2026-03-30&updated_on[lt]=2026-04-02"
    )
    assert [(row["bucket"], row["count"]) for row in since["data"]] == [
        ("2026-03-30", 0),
        ("2026-03-31", 1),
        ("2026-04-01", 1),
    ]


@pytest.mark.parametrize(
    ("word", "day", "number", "labels"),
    [
        ("hour", "2026-03-29", 23, ["2026-03-29T00:00+01:00", "2026-03-29T23:00+02:00"]),
        ("hour", "2026-10-25", 25, ["2026-10-25T00:00+02:00", "2026-10-25T23:00+01:00"]),
        ("day", "2026-10-25", 1, ["2026-10-25", "2026-10-25"]),
        ("week", "2027-01-01", 1, ["2026-W53", "2026-W53"]),
    ],
)
def test_buckets_know_summer_time(word: str, day: str, number: int, labels: list[str]) -> None:
    buckets = Buckets(word, ZoneInfo("Europe/Berlin"))
    first = datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    found = list(buckets.between(first, first + timedelta(days=1) - timedelta(seconds=1)))
    assert len(found) == number
    assert [buckets.label(found[0]), buckets.label(found[-1])] == labels


def test_buckets_are_the_databases(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    """Each bucket found must be one of those expected, or it would stand there twice."""
    source, key = rows.source("s"), rows.key(Scope.READ)
    night = datetime(2026, 10, 25, 0, tzinfo=UTC)
    for number in range(12):
        at = night + timedelta(minutes=20 * number)
        rows.delivery(source, 0, received_at=at)
    caller = open_caller()
    for word, counts in (("hour", [3, 3, 3, 3]), ("day", [12]), ("week", [12]), ("month", [12])):
        found = _statistic(caller, key, f"deliveries?bucket={word}")["data"]
        assert [row["count"] for row in found] == counts, word


@pytest.mark.parametrize(
    ("zone", "night", "word", "expected"),
    [
        ("America/Havana", "2026-11-01T03:10Z", "day", [("2026-10-31", "04:00", 3), ("2026-11-01", "04:00", 27)]),
        ("Africa/Cairo", "2026-04-23T21:10Z", "day", [("2026-04-23", "22:00", 3), ("2026-04-24", "22:00", 27)]),
        (
            "Australia/Lord_Howe",
            "2026-04-04T14:10Z",
            "hour",
            [("01:00+11:00", "14:00", 3), ("01:30+11:00", "14:30", 1), ("02:00+10:30", "15:30", 3)],
        ),
        (
            "Australia/Lord_Howe",
            "2026-10-03T14:40Z",
            "hour",
            [("01:00+10:30", "14:30", 3), ("01:30+10:30", "15:00", 1), ("03:00+11:00", "16:00", 3)],
        ),
    ],
    ids=["midnight-twice", "no-midnight", "half-an-hour-twice", "no-half-an-hour"],
)
def test_no_bucket_stands_there_twice(
    rows: Rows, open_caller: Callable[[], Caller], zone: str, night: str, word: str, expected: list[Any]
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number in range(30):
        rows.delivery(source, (datetime.fromisoformat(night) - START) / timedelta(minutes=1) + 20 * number)
    found = _statistic(open_caller(), key, f"deliveries?bucket={word}&tz={zone}")["data"]
    shown = [(row["bucket"][-11 if word == "hour" else 0 :], row["from"][11:16], row["count"]) for row in found]
    assert shown[: len(expected)] == expected
    assert sum(row["count"] for row in found) == 30
    assert len({row["bucket"] for row in found}) == len(found)
    since, until = (datetime.fromisoformat(night) + timedelta(days=days) for days in (-60, 60))
    bounds = f"received_at[gte]={since:%Y-%m-%d}&received_at[lt]={until:%Y-%m-%d}"
    for asked in (bounds, f"{bounds}&size[gte]=0"):  # from the hours, and from the rows
        bounded = _statistic(open_caller(), key, f"deliveries?bucket={word}&tz={zone}&{asked}")
        assert [row for row in bounded["data"] if row["count"]] == [row for row in found if row["count"]]


@pytest.mark.parametrize("word", ["hour", "day", "week", "month"])
def test_what_lies_beyond_the_bounds_of_a_clock_has_its_bucket(
    rows: Rows, open_caller: Callable[[], Caller], word: str
) -> None:
    """A beginning alone bounds the buckets until now; a host whose clock is ahead receives later than that."""
    source, key = rows.source("s"), rows.key(Scope.READ)
    moments = [datetime.now(UTC) + timedelta(days=days) for days in (-40, -1, 0, 1, 100)]
    for number, moment in enumerate(moments):
        rows.inquiry(source, number, first_received_at=moment)
    path = f"inquiries?bucket={word}&first_received_at[gte]=-60d&tz=America/New_York"
    found = {row["from"]: row["count"] for row in _statistic(open_caller(), key, path)["data"] if row["count"]}
    begins = Counter(Buckets(word, ZoneInfo("America/New_York")).begin(moment) for moment in moments)
    assert found == {to_text(begin): count for begin, count in begins.items()}


@pytest.mark.parametrize("by", ["first_received_at", "updated_on"])
def test_what_is_not_asked_for_has_no_bucket(rows: Rows, open_caller: Callable[[], Caller], by: str) -> None:
    key = rows.key(Scope.READ)
    rows.source("s")
    path = f"inquiries?bucket=day&by={by}&{by}[gt]=2026-03-09&{by}[lt]=2026-03-12"
    found = _statistic(open_caller(), key, path)["data"]
    assert [row["bucket"] for row in found] == ["2026-03-10", "2026-03-11"]


@pytest.mark.parametrize(
    ("bounds", "days"),
    [
        ("[gte]=2026-03-03&{by}[gte]=2026-03-01&{by}[lt]=2026-03-04", ["2026-03-01", "2026-03-02", "2026-03-03"]),
        ("[gte]=2026-03-01&{by}[gte]=2026-03-03&{by}[lt]=2026-03-04", ["2026-03-01", "2026-03-02", "2026-03-03"]),
        ("[gte]=2026-03-02&{by}[lte]=2026-03-03&{by}[lte]=2026-03-02", ["2026-03-02", "2026-03-03"]),
        ("[gt]=2026-03-01&{by}[gte]=2026-03-01&{by}[lt]=2026-03-03", ["2026-03-02"]),
        ("=2026-03-01&{by}=2026-03-03", ["2026-03-01", "2026-03-02", "2026-03-03"]),
        ("[gte]=2026-03-05&{by}[lt]=2026-03-01", []),
        ("[gte]=2999-01-01", []),
    ],
)
@pytest.mark.parametrize("path", ["inquiries?status=99&by=updated_on", "deliveries?via=pull&by=received_at"])
def test_days_without_rows_are_those_that_are_asked_for(
    asking: Caller, world: World, path: str, bounds: str, days: list[str]
) -> None:
    by = path.rpartition("=")[2]
    found = _statistic(asking, world.keys["full"], f"{path}&bucket=day&{by}{bounds.format(by=by)}")
    assert [(row["bucket"], row["count"]) for row in found["data"]] == [(day, 0) for day in days]


def test_there_are_not_too_many_buckets(asking: Caller, world: World) -> None:
    response = asking.get(world.keys["plain"], "/v1/stats/leads?bucket=hour&first_received_at[gte]=2000-01-01")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "too-many-buckets")
    with pytest.raises(TooManyError):
        list(Buckets("hour", ZoneInfo("UTC")).between(START, START + timedelta(days=999)))


@pytest.mark.parametrize("filters", ["created_on[in]=2026-01-01,2026-02-01", "created_on[null]=false"])
def test_a_filter_that_bounds_nothing_is_no_bound_of_the_buckets(asking: Caller, world: World, filters: str) -> None:
    response = asking.get(world.keys["plain"], f"/v1/stats/inquiries?bucket=month&by=created_on&{filters}")
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_ends_of_the_calendar_are_too_far_for_buckets(asking: Caller, world: World, day: str) -> None:
    path = f"/v1/stats/inquiries?by=created_on&created_on[gte]={day}&created_on[lte]=9999-12-31"
    response = asking.get(world.keys["plain"], f"{path}&bucket=month")
    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "too-many-buckets")
    assert asking.get(world.keys["plain"], path).status_code == 200
    last_days = "leads?bucket=day&first_received_at[gte]=9999-12-30&first_received_at[lte]=9999-12-31T01:00Z"
    assert asking.get(world.keys["plain"], f"/v1/stats/{last_days}").status_code in (200, 422)


def test_a_funnel_believes_no_day_later_than_the_day_after(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    inquiry = rows.inquiry(source, 1)
    received = (START + timedelta(minutes=30 * DAY)).date()
    for at, (name, day) in enumerate(
        {"calculated": received - timedelta(days=4), "ordered": date(2099, 11, 21)}.items()
    ):
        type_ = f"thinksurance.inquiry.{name}"
        delivery = rows.delivery(source, 30 * DAY + at)
        told = {"type": type_, "record_kind": "inquiry", "record_id": inquiry}
        rows.event(source, delivery, 30 * DAY + at, occurred_on=day, **told)
    (row,) = _statistic(open_caller(), key, "funnel?from=4&to=6")["data"]
    assert row["days_between"]["median"] == 4.0


def test_the_funnel_is_counted_by_hand(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    stories: list[list[tuple[str, int]]] = [
        [("calculated", 1), ("ordered", 3)],
        [("calculated", 1), ("calculated", 5), ("ordered", 11)],
        [("ordered", 1), ("calculated", 2)],
        [("ordered", 1), ("calculated", 2), ("ordered", 2)],
        [("calculated", 4)],
        [("ordered", 4)],
    ]
    for number, story in enumerate(stories):
        inquiry = rows.inquiry(source, number, broker_external_id=f"B-{number % 2}")
        for at, (name, day) in enumerate(story):
            delivery = rows.delivery(source, 30 * DAY + at)  # they came late; the platform's days count
            rows.event(
                source,
                delivery,
                30 * DAY + at,
                type=f"thinksurance.inquiry.{name}",
                record_kind="inquiry",
                record_id=inquiry,
                broker=f"B-{number % 2}",
                occurred_on=date(2026, 3, day),
            )
    caller = open_caller()
    found = _statistic(caller, key, "funnel?from=4&to=ordered")
    FunnelStatistic.model_validate(found)
    assert found["data"] == [
        {
            "from": 4,
            "to": 6,
            "entered": 5,
            "reached": 3,
            "share": 0.6,
            "days_between": {"median": 2.0, "p90": 8.4, "count": 3},
        }
    ]
    (again,) = _statistic(caller, key, "funnel?from=4&to=4")["data"]
    assert (again["entered"], again["reached"], again["days_between"]["p90"]) == (5, 5, 0.0)
    by_broker = _statistic(caller, key, "funnel?from=4&to=6&group_by=broker")["data"]
    assert [(row["broker"], row["entered"], row["reached"]) for row in by_broker] == [("B-0", 3, 1), ("B-1", 2, 2)]
    walled = rows.key(Scope.READ, brokers=["B-1"])
    (row,) = _statistic(caller, walled, "funnel?from=4&to=6")["data"]
    assert (row["entered"], row["reached"]) == (2, 2)
    (row,) = _statistic(caller, key, "funnel?from=4&to=6&inquiry_id=4")["data"]
    assert (row["entered"], row["reached"], row["share"]) == (1, 0, 0.0)
    (row,) = _statistic(caller, key, "funnel?from=4&to=6&inquiry_id=99")["data"]
    assert (row["entered"], row["share"], row["days_between"]["median"]) == (0, None, None)


def test_walls_and_scopes_hold(asking: Caller, world: World) -> None:
    for name in STATISTICS:
        counts = []
        for key in ("by-source", "plain"):
            (counted,) = _statistic(asking, world.keys[key], name)["data"]
            assert counted["count"] == len(asking.found(world.keys[key], f"/v1/{name}?limit=500")), name
            counts.append(counted["count"])
        assert 0 < counts[0] < counts[1], name
    (leads,) = _statistic(asking, world.keys["by-broker"], "leads")["data"]
    assert leads["count"] == 0
    theirs = asking.found(world.keys["by-broker"], "/v1/deliveries?limit=500")
    (deliveries,) = _statistic(asking, world.keys["by-broker"], "deliveries")["data"]
    assert 0 < deliveries["count"] == len(theirs)
    hidden = asking.get(world.keys["plain"], "/v1/stats/leads?last_name=Voorbeeld")
    assert (hidden.status_code, hidden.json()["code"]) == (403, "field-hidden")


def test_walls_of_few_brokers_and_of_many_let_the_same_through(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, caller = rows.source("s"), open_caller()
    for minutes, brokers in enumerate((["B-0"], ["B-0", "B-1"], ["B-0", "B-99"], ["B-99"], [])):
        rows.delivery(source, minutes, brokers=brokers)
    for number in (2, 20):
        key = rows.key(Scope.READ, brokers=[f"B-{n}" for n in range(number)])
        (counted,) = _statistic(caller, key, "deliveries")["data"]
        assert counted["count"] == 2, number


def test_who_counts_by_personal_fields_is_noted(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("w", "wegroup"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    rows.lead(source, 0, last_name="Voorbeeld")
    caller = open_caller()
    assert _statistic(caller, key, "leads?last_name=Voorbeeld")["data"][0]["count"] == 1
    _statistic(caller, key, "leads")
    details = rows.connection.execute(select(audit.c.detail)).scalars().all()
    assert details == [{"resource": "stats/leads", "count": 0, "ids": []}]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("deliveries?group_by=insurer", "group_by"),
        ("deliveries?bucket=year", "bucket"),
        ("deliveries?by=created_on", "by"),
        ("deliveries?tz=Mars/Base", "tz"),
        ("deliveries?tz=../etc/passwd", "tz"),
        ("deliveries?tz=UTC&tz=UTC", "tz"),
        ("deliveries?limit=4", "limit"),
        ("deliveries?nonsense=4", "nonsense"),
        ("deliveries?received_at[gte]=yesterday", "received_at[gte]"),
        ("inquiries?bucket=hour&by=updated_on", "bucket"),
        ("inquiries?bucket=day&by=updated_on&updated_on[gte]=x", "updated_on[gte]"),
        ("funnel?from=4", "to"),
        ("funnel?from=x&to=4", "from"),
        ("funnel?from=4&to=99999999999999999999", "to"),
        ("funnel?from=4&to=6&group_by=status", "group_by"),
    ],
)
def test_what_they_do_not_take(asking: Caller, world: World, path: str, name: str) -> None:
    response = asking.get(world.keys["full"], f"/v1/stats/{path}")
    assert response.status_code == 422, response.text
    assert name in {error["name"] for error in response.json()["errors"]}
    assert asking.get(None, f"/v1/stats/{path}").status_code == 401


def test_a_zone_that_the_database_does_not_know_is_refused(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    rows.event(source, rows.delivery(source), record_id=rows.inquiry(source, 1, status=4), record_kind="inquiry")
    caller, mars = open_caller(), ZoneInfo.from_file(io.BytesIO(MARS), key="Mars/Base")
    for path in ("deliveries?bucket=day", "inquiries?bucket=week", "funnel?from=4&to=6"):
        with monkeypatch.context() as patched:
            patched.setattr(statistics, "parse_zone", lambda _: mars)
            refused = caller.get(key, f"/v1/stats/{path}&tz=Mars/Base")
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["name"] == "tz"
        assert _statistic(caller, key, path)["data"]
