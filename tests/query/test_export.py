"""Exports: whole, page by page, harmless to spreadsheets, within walls and scopes, and audited."""

import asyncio
import csv
import io
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from sqlalchemy import delete, select
from sqlalchemy.pool import QueuePool

from app.accounts.model import Access, Accounts, Scope
from app.accounts.version import bump_version
from app.query import Reading, export
from app.query.export import EXPORTED, shown_pages
from app.query.filters import read_question
from app.query.flat import BOM, columns_of, to_cell
from app.query.values import Context
from app.storage.engine import open_read_engine
from app.storage.models import api_keys, audit
from tests.query.conftest import START, Caller, Rows, Served, World

ENTRIES = select(audit.c.action, audit.c.detail).where(audit.c.action == "export.begin")


def _table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("key", ["full", "plain", "by-broker", "by-source"])
def test_ndjson_has_the_rows_of_the_list(asking: Caller, world: World, name: str, key: str) -> None:
    response = asking.get(world.keys[key], f"/v1/export/{name}.ndjson")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    rows = [orjson.loads(line) for line in response.content.splitlines()]
    assert rows == asking.found(world.keys[key], f"/v1/{name}")
    assert bool(rows) is ((key, name) != ("by-broker", "leads"))


@pytest.mark.parametrize("name", EXPORTED)
def test_csv_has_a_column_for_each_field(asking: Caller, world: World, name: str) -> None:
    response = asking.get(world.keys["full"], f"/v1/export/{name}.csv")
    assert response.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert response.headers["content-disposition"].startswith(f'attachment; filename="{name}-')
    rows, listed = _table(response.text), asking.found(world.keys["full"], f"/v1/{name}")
    assert [row["id"] for row in rows] == [row["id"] for row in listed]
    names = {heading.partition(".")[0] for heading in rows[0]}
    assert names == set(EXPORTED[name].schema.model_fields) - {"links", "redacted"}


def test_objects_are_taken_apart_and_lists_are_json(asking: Caller, world: World) -> None:
    (row,) = _table(asking.get(world.keys["full"], "/v1/export/inquiries.csv?inquiry_id=1").text)
    assert row["customer.address.city"] == "Köln"
    assert row["customer.phone"] == "'+49 221 5550100"
    assert (row["status"], row["tax_percent"], row["updated_on"]) == ("4", "19", "2026-03-09")
    assert row["digital_order_success"] == ""
    assert orjson.loads(row["documents"])[0]["name"] == "Antrag.pdf"
    (event,) = _table(asking.get(world.keys["full"], "/v1/export/events.csv?subject=inquiry/1").text)
    assert event["record.kind"] == "inquiry"
    assert orjson.loads(event["data"]) == {"data": {"lastName": "Brandt-Muster"}}
    assert orjson.loads(event["changes"])[0] == {"field": "status", "old": 3, "new": 4}


def test_fields_choose_what_is_written(asking: Caller, world: World) -> None:
    full, plain = world.keys["full"], world.keys["plain"]
    (row,) = _table(asking.get(full, "/v1/export/inquiries.csv?inquiry_id=1&fields=status,customer,links").text)
    assert {name.partition(".")[0] for name in row} == {"id", "status", "customer"}
    assert (row["status"], row["customer.address.city"]) == ("4", "Köln")
    for key in (full, plain):
        for query in ("fields=status,customer", "fields=customer&fields=status", "fields=status&order=asc"):
            lines = asking.get(key, f"/v1/export/inquiries.ndjson?{query}").content.splitlines()
            assert [orjson.loads(line) for line in lines] == asking.found(key, f"/v1/inquiries?{query}")
    (hidden,) = _table(asking.get(plain, "/v1/export/customers.csv?customer_id=301&fields=last_name").text)
    assert (set(hidden), hidden["last_name"]) == ({"id", "last_name"}, "")
    (line,) = asking.get(plain, "/v1/export/customers.ndjson?customer_id=301&fields=last_name").content.splitlines()
    shown = orjson.loads(line)
    assert (set(shown), shown["last_name"]) == ({"id", "last_name", "redacted"}, None)
    assert "last_name" in shown["redacted"]
    refused = asking.get(full, "/v1/export/leads.csv?fields=nothing")
    assert (refused.status_code, refused.json()["errors"][0]["name"]) == (422, "fields")
    assert asking.get(full, "/v1/export/leads.csv?count=exact").status_code == 422


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49 221", "'+49 221"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("", ""),
        ("a=1", "a=1"),
        ("a;=1+1;b", "a;'=1+1;b"),
        ("a\r\n@SUM(A1)", "a\r\n'@SUM(A1)"),
        ('a; "\uff1d1', "a; \"'\uff1d1"),
        ("a; b-1", "a; b-1"),
        (-5, "-5"),
        (Decimal("-1.50"), "-1.50"),
        (True, "true"),
        (date(2026, 3, 9), "2026-03-09"),
        (datetime(2026, 3, 9, 10, tzinfo=UTC), "2026-03-09T10:00:00.000Z"),
    ],
)
def test_no_cell_is_a_formula(value: Any, cell: str) -> None:
    assert to_cell(value) == cell


def test_nobody_breaks_out_of_a_cell(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    names = ['"', 'Muster",=1+1', "Zeile\r\n=2+2", "a,b;c\td", "ü€😀"]
    for number, name in enumerate(names):
        rows.customer(source, number, last_name=name)
    body = open_caller().get(key, "/v1/export/customers.csv?order=asc&bom=true").content
    assert body.startswith(BOM)
    shown = ['"', 'Muster",=1+1', "Zeile\r\n'=2+2", "a,b;c\td", "ü€😀"]
    assert [row["last_name"] for row in _table(body.decode("utf-8-sig"))] == shown


def test_an_object_is_one_line_for_every_reader(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    names = ["Zeile\u2028zwei", "\u2029", "A\x85B\r\n\v\f\x1c\x1d\x1e"]  # all that Python takes for ends of lines
    for number, name in enumerate(names):
        rows.customer(source, number, last_name=name)
    body = open_caller().get(key, "/v1/export/customers.ndjson?order=asc").text
    assert [orjson.loads(line)["last_name"] for line in body.splitlines()] == names


def test_nobody_breaks_out_of_a_cell_where_semicolons_part_them(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    evil = "Muster;=cmd|' /C calc'!A0;\n+1+1"
    delivery = rows.delivery(source, 0)
    rows.event(source, delivery, data={"data": {"name": evil, "sum;": -5}})
    rows.customer(source, 0, last_name=evil)
    caller = open_caller()
    for name in ("customers", "events"):
        body = caller.get(key, f"/v1/export/{name}.csv").text
        cells = [cell for row in csv.reader(io.StringIO(body), delimiter=";") for cell in row]
        assert any("=cmd" in cell for cell in cells)
        assert not [cell for cell in cells if cell.lstrip(" \"'")[:1] in {"=", "+", "-", "@"} and cell[:1] != "'"]
    (event,) = _table(caller.get(key, "/v1/export/events.csv").text)
    assert orjson.loads(event["data"]) == {"data": {"name": evil.replace(";=", ";'="), "sum;": -5}}


def test_it_is_whole_and_in_order(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "FIRST_PAGE", 2)
    monkeypatch.setattr(export, "PAGE", 3)
    source, key = rows.source("s"), rows.key(Scope.READ)
    made = [str(rows.inquiry(source, number, number, status=number % 2)) for number in range(13)]
    caller = open_caller()
    for query, expected in (
        ("", made[::-1]),
        ("?order=asc", made),
        ("?status=0", made[::-2]),
        ("?status=0&order=asc", made[::2]),
        ("?status=7", []),
    ):
        lines = caller.get(key, f"/v1/export/inquiries.ndjson{query}").content.splitlines()
        assert [orjson.loads(line)["id"] for line in lines] == expected
    empty = caller.get(key, "/v1/export/inquiries.csv?status=7").text
    assert empty.count("\r\n") == 1


def test_a_reader_has_the_first_rows_soon(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, key, ask, sizes = rows.source("s"), rows.key(Scope.READ), export._patient_page, []
    for number in range(60):
        rows.inquiry(source, number)

    async def page(*asked: Any) -> Any:
        shown, after = await ask(*asked)
        sizes.append(len(shown))
        return shown, after

    monkeypatch.setattr(export, "_patient_page", page)
    assert len(open_caller().get(key, "/v1/export/inquiries.ndjson").content.splitlines()) == 60
    assert sizes == [50, 10]


def test_no_connection_is_held_between_pages(rows: Rows, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FIRST_PAGE", 2)
    monkeypatch.setattr(export, "PAGE", 2)
    source = rows.source("s")
    made = [rows.lead(source, number) for number in range(5)]
    access = Access(key_id=source, name="", scopes=frozenset(Scope))

    class Book:
        present = Accounts(sources={}, tokens={}, keys={})

        async def refresh(self) -> None:
            raise AssertionError

    async def walk() -> list[Any]:
        engine = open_read_engine(database_url)
        reading = Reading(engine=engine, primary=engine, book=Book(), cursor_key=b"")
        resource = EXPORTED["leads"]
        question = read_question("leads", resource.fields, [], Context(access, START, ZoneInfo("UTC"), {}), b"")
        found = []
        async for page in shown_pages(reading, resource, question, access):
            assert isinstance(engine.pool, QueuePool)
            assert engine.pool.checkedout() == 0
            found += [row["id"] for row in page]
            if len(found) == 2:  # whoever is away for a moment is waited for
                with rows.connection.begin():
                    others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    rows.connection.exec_driver_sql(
                        f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
        await engine.dispose()
        return found

    assert asyncio.run(walk()) == made[::-1]


def test_it_ends_with_the_key(rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FIRST_PAGE", 2)
    monkeypatch.setattr(export, "PAGE", 2)
    source, key, other = rows.source("s"), rows.key(Scope.READ), rows.key(Scope.READ, Scope.READ_PERSONAL)
    for number in range(5):
        rows.lead(source, number)
    ask = export._patient_page
    asked = []

    async def page(reading: Reading, *more: Any) -> Any:
        asked.append(more)
        if len(asked) == 2:
            rows.connection.execute(delete(api_keys).where(api_keys.c.scopes == [Scope.READ.value]))
            driver: Any = rows.connection.connection.driver_connection
            bump_version(driver)
            rows.connection.commit()
            await reading.book.refresh()
        return await ask(reading, *more)

    monkeypatch.setattr(export, "_patient_page", page)
    caller = open_caller()
    caller.client.headers["Authorization"] = f"Bearer {key}"
    with pytest.raises(RuntimeError, match="broke off"):
        caller.client.get("/v1/export/leads.ndjson")
    assert len(asked) == 2
    assert caller.get(other, "/v1/export/leads.ndjson").text.count("\n") == 5


def test_exports_are_audited_without_values(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    rows.source("s")
    key, plain = rows.key(Scope.READ, Scope.READ_PERSONAL), rows.key(Scope.READ)
    caller = open_caller()
    caller.get(key, "/v1/export/customers.csv?last_name=Muster&bom=true")
    caller.get(plain, "/v1/export/leads.ndjson")
    assert caller.get(key, "/v1/export/leads.ndjson?nonsense=1").status_code == 422
    assert [tuple(entry) for entry in rows.connection.execute(ENTRIES.order_by(audit.c.id))] == [
        ("export.begin", {"resource": "customers", "format": "csv", "parameters": ["last_name"], "personal": True}),
        ("export.begin", {"resource": "leads", "format": "ndjson", "parameters": [], "personal": False}),
    ]


def test_what_it_does_not_take(asking: Caller, world: World) -> None:
    key = world.keys["full"]
    for query in ("limit=5", "cursor=x", "bom=perhaps", "bom=true&bom=true", "nonsense=1"):
        response = asking.get(key, f"/v1/export/leads.csv?{query}")
        assert response.status_code == 422, query
    assert asking.get(key, "/v1/export/leads.ndjson?bom=true").status_code == 422
    hidden = asking.get(world.keys["plain"], "/v1/export/customers.csv?last_name=Muster")
    assert (hidden.status_code, hidden.json()["code"]) == (403, "field-hidden")
    assert asking.get(key, "/v1/export/sources.csv").status_code == 404
    assert asking.get(key, "/v1/export/leads.xml").status_code == 404
    assert asking.get(None, "/v1/export/leads.csv").status_code == 401


def test_headings() -> None:
    assert [column.name for column in columns_of(EXPORTED["documents"].schema)][:4] == [
        "id",
        "source",
        "inquiry_id",
        "hash",
    ]
    assert "lead.address" not in {column.name for column in columns_of(EXPORTED["leads"].schema)}
    assert "address.postal_code" in {column.name for column in columns_of(EXPORTED["leads"].schema)}


def test_a_reader_who_leaves_interrupts_no_question(
    rows: Rows, served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To interrupt one costs the connection, and the driver warns of it in words that say nothing to an operator."""
    monkeypatch.setattr(export, "FIRST_PAGE", 2)
    monkeypatch.setattr(export, "PAGE", 2)
    source, key = rows.source("s"), rows.key(Scope.READ)
    for number in range(200):  # more than what lies between us and the service
        rows.lead(source, number, policy_packages=[{"name": "x" * 60_000, "package_nr": None}])

    def found(state: str) -> list[Any]:
        rows.connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        ours = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        return list(rows.connection.exec_driver_sql(f"{ours} AND {state}").scalars())

    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as reader:
        reader.sendall(
            f"GET /v1/export/leads.ndjson HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        assert reader.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        rows.connection.exec_driver_sql("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")
        reader.settimeout(0.02)  # never wait for a page that waits for us
        while not (asking := found("wait_event_type = 'Lock'")):
            with suppress(TimeoutError):
                assert reader.recv(1 << 16)
    time.sleep(0.5)  # time enough for it to be interrupted
    assert found("wait_event_type = 'Lock'") == asking
    rows.connection.commit()
    _until(lambda: set(asking) <= set(found("state = 'idle'")))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("psycopg")] == []


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
