"""Says what is asked when reading is measured: each question over HTTP, and beside it what it comes to in plain SQL.

The plain SQL finds the same rows and no more: no customers and documents of an inquiry, no links, no audit, no walls.
"""

# ruff: noqa: S608 - the names in the statements are our own

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from app.accounts.model import Access
from app.ids import first_id_at, time_of
from app.processing.record_rows import Database
from app.query.cursor import Binding, Position, write_cursor
from tests.bench.asked import Asked, Question, always, to_path
from tests.bench.counted import statistics

LISTS = ("deliveries", "events", "inquiries", "customers", "documents", "leads")
DEEP_PAGE = 10_000
_PAGE = {"deliveries": 50, "events": 50}
_SMALL_PAGE = 20

Parameters = Mapping[str, Any]


@dataclass(slots=True)
class Sample:
    """Some of the rows that there are, to ask for."""

    inquiries: list[tuple[UUID, int]]
    events: list[tuple[UUID, UUID, str]]
    leads: list[tuple[UUID, str, str]]
    customers: list[tuple[UUID, int, str, str]]
    deliveries: list[UUID]
    sources: dict[str, UUID]
    brokers: list[str]
    dice: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - which rows, not a secret

    def one(self, rows: Sequence[Any]) -> Any:
        """Return one of the rows."""
        return self.dice.choice(rows)


def take_sample(database: Database) -> Sample:
    """Return rows from all over the tables."""

    def rows(question: str) -> list[Any]:
        return database.execute(question).fetchall()

    share = "TABLESAMPLE SYSTEM (1)"
    return Sample(
        inquiries=_enough(rows, f"SELECT id, inquiry_id FROM inquiries {share} LIMIT 500"),
        events=_enough(
            rows, f"SELECT id, record_id, subject FROM events {share} WHERE record_id IS NOT NULL LIMIT 500"
        ),
        leads=_enough(rows, f"SELECT id, lead_id, email FROM leads {share} WHERE email IS NOT NULL LIMIT 500"),
        customers=_enough(rows, f"SELECT id, customer_id, external_id, last_name FROM customers {share} LIMIT 500"),
        deliveries=[row[0] for row in _enough(rows, f"SELECT id FROM deliveries {share} LIMIT 500")],
        sources=dict(rows("SELECT name, id FROM sources WHERE name NOT LIKE '%-demo'")),
        brokers=[row[0][3:] for row in rows("SELECT DISTINCT key FROM brokers WHERE key LIKE 'id:%'")],
    )


def _enough(rows: Callable[[str], list[Any]], question: str) -> list[Any]:
    """Return a share of the rows; all of them where there are too few for a share."""
    return rows(question) or rows(question.replace("TABLESAMPLE SYSTEM (1)", ""))


def questions(database: Database, access: Access, key: bytes) -> list[Question]:
    """Return all questions, with values from the database; cursors are those of the key's `access`."""
    sample = take_sample(database)
    return [
        *_newest(),
        *_filtered(sample),
        *_deep(database, access, key),
        *_searched(sample),
        *statistics(),
        *_single(sample),
        *_streamed(),
    ]


def _newest() -> list[Question]:
    found = [
        Question(f"newest 50 {name}", "list", always(f"/v1/{name}"), f"SELECT * FROM {name} ORDER BY id DESC LIMIT 51")
        for name in LISTS
        if name != "deliveries"
    ]
    both = "SELECT * FROM deliveries d LEFT JOIN outcomes o ON o.delivery_id = d.id AND o.source_id = d.source_id"
    return [
        Question("newest 50 deliveries", "list", always("/v1/deliveries"), f"{both} ORDER BY d.id DESC LIMIT 51"),
        *found,
        Question(
            "events from the beginning (feed)",
            "list",
            always("/v1/events?order=asc"),
            "SELECT * FROM events ORDER BY seq LIMIT 51",
        ),
    ]


def _filtered(sample: Sample) -> list[Question]:
    def of(name: str, table: str, where: str, ask: Callable[[], tuple[dict[str, Any], Sequence[Any]]]) -> Question:
        def asked() -> Asked:
            parameters, values = ask()
            return Asked(to_path(table, **parameters), values)

        return Question(name, "list", asked, f"SELECT * FROM {table} WHERE {where} ORDER BY id DESC LIMIT 51")

    def inquiry() -> tuple[dict[str, Any], Sequence[Any]]:
        _, number = sample.one(sample.inquiries)
        return {"inquiry_id": number}, (number,)

    def broker() -> tuple[dict[str, Any], Sequence[Any]]:
        one = sample.one(sample.brokers)
        return {"broker_external_id": one}, (one,)

    def customer() -> tuple[dict[str, Any], Sequence[Any]]:
        _, number, _, _ = sample.one(sample.customers)
        return {"customer_id": number}, (number,)

    def record() -> tuple[dict[str, Any], Sequence[Any]]:
        _, record_id, _ = sample.one(sample.events)
        return {"record.id": record_id}, (record_id,)

    def subject() -> tuple[dict[str, Any], Sequence[Any]]:
        _, _, subject = sample.one(sample.events)
        return {"subject": subject}, (list(sample.sources.values()), subject)

    def lead() -> tuple[dict[str, Any], Sequence[Any]]:
        _, number, _ = sample.one(sample.leads)
        return {"lead_id": number}, (number,)

    def day() -> tuple[dict[str, Any], Sequence[Any]]:
        begin = datetime.now(UTC).replace(hour=0, minute=0) - timedelta(days=sample.dice.randint(5, 400))
        end = begin + timedelta(days=1)
        texts = {"received_at[gte]": f"{begin:%Y-%m-%dT%H:%MZ}", "received_at[lt]": f"{end:%Y-%m-%dT%H:%MZ}"}
        return texts, (first_id_at(begin), first_id_at(end))

    status, kind = {"status": 6}, {"type": "thinksurance.inquiry.ordered"}
    return [
        of("inquiries by number", "inquiries", "inquiry_id = %s", inquiry),
        of("inquiries by status", "inquiries", "status = %s", lambda: (status, (6,))),
        of("inquiries by broker", "inquiries", "broker_external_id = %s", broker),
        of("customers by number", "customers", "customer_id = %s", customer),
        of("leads by number", "leads", "lead_id = %s", lead),
        of("events by record", "events", "record_id = %s", record),
        of("events by subject", "events", "source_id = ANY(%s) AND subject = %s", subject),
        of("events by type", "events", "type = %s", lambda: (kind, tuple(kind.values()))),
        of("events of a day", "events", "id >= %s AND id < %s", day),
        Question(
            "deliveries in quarantine",
            "list",
            always("/v1/deliveries?status=quarantined"),
            "SELECT * FROM outcomes o JOIN deliveries d ON d.id = o.delivery_id AND d.source_id = o.source_id"
            " WHERE o.status = 'quarantined' ORDER BY o.delivery_id DESC LIMIT 51",
        ),
    ]


def _deep(database: Database, access: Access, key: bytes) -> list[Question]:
    """Return the 10,000th page of each list, or the last of a shorter one."""
    found = []
    for name in LISTS:
        limit = _PAGE.get(name, _SMALL_PAGE)
        (total,) = database.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)
        offset = min(limit * (DEEP_PAGE - 1), max(0, total - limit - 1))
        row = database.execute(f"SELECT id FROM {name} ORDER BY id DESC OFFSET %s LIMIT 1", (offset,)).fetchone()
        after = row[0] if row else UUID(int=0)
        binding = Binding.of(name, "desc", [], access)
        moment = round(datetime.now(UTC).timestamp() * 1000)
        cursor = write_cursor(key, binding, Position((str(after),), moment))
        found.append(
            Question(
                f"page {offset // limit + 1} of {name}, {limit} a page",
                "list",
                always(to_path(name, limit=limit, cursor=cursor), after, limit + 1),
                f"SELECT * FROM {name} WHERE id < %s ORDER BY id DESC LIMIT %s",
            )
        )
    return found


def _searched(sample: Sample) -> list[Question]:
    def search(name: str, word: Callable[[], Any], sql: str) -> Question:
        def asked() -> Asked:
            text = str(word())
            return Asked(to_path("search", q=text), (text,))

        return Question(f"search: {name}", "list", asked, sql)

    by_name = "SELECT * FROM customers WHERE folded ->> 'last_name' = lower(%s) LIMIT 50"
    number = "SELECT * FROM inquiries WHERE inquiry_id = %s::bigint"
    email = "SELECT * FROM leads WHERE email = %s"
    return [
        search("a name", lambda: sample.one(sample.customers)[3], by_name),
        search("a name that many have", lambda: "Müller", by_name),
        search("a name and a city", lambda: f"{sample.one(sample.customers)[3]} Köln", by_name),
        search("a name begun", lambda: sample.one(sample.customers)[3][:4], by_name),
        search("a number", lambda: sample.one(sample.inquiries)[1], number),
        search("an e-mail address", lambda: sample.one(sample.leads)[2], email),
    ]


def _single(sample: Sample) -> list[Question]:
    def of(name: str, path: str, rows: Sequence[Any], sql: str) -> Question:
        def asked() -> Asked:
            row = sample.one(rows)
            row_id = row[0] if isinstance(row, tuple) else row
            return Asked(path.format(row_id), (row_id,))

        return Question(name, "list", asked, sql)

    moment = datetime.now(UTC) - timedelta(days=3)
    then = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    inquiries, leads = ([row for row in rows if time_of(row[0]) < moment] for rows in (sample.inquiries, sample.leads))
    told = "SELECT * FROM events WHERE record_id = %s ORDER BY order_key"
    return [
        of("one delivery", "/v1/deliveries/{}", sample.deliveries, "SELECT * FROM deliveries WHERE id = %s"),
        of("one event", "/v1/events/{}", sample.events, "SELECT * FROM events WHERE id = %s"),
        of("one inquiry", "/v1/inquiries/{}", sample.inquiries, "SELECT * FROM inquiries WHERE id = %s"),
        of("one customer", "/v1/customers/{}", sample.customers, "SELECT * FROM customers WHERE id = %s"),
        of("one lead", "/v1/leads/{}", sample.leads, "SELECT * FROM leads WHERE id = %s"),
        of("history of an inquiry", "/v1/inquiries/{}/history", sample.inquiries, told),
        of("an inquiry as_of", f"/v1/inquiries/{{}}?as_of={then}", inquiries, told),
        of("a lead as_of", f"/v1/leads/{{}}?as_of={then}", leads, told),
    ]


def _streamed() -> list[Question]:
    first = "SELECT * FROM {} ORDER BY id DESC LIMIT 200"
    return [
        Question(
            f"export {name}.ndjson, first rows",
            "export",
            always(f"/v1/export/{name}.ndjson"),
            first.format(name),
            first_bytes=True,
        )
        for name in ("events", "inquiries")
    ]
