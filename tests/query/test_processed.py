"""What the real readers and the real processor leave behind fits the schemas: the samples of both platforms."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.accounts.model import Mode, Scope
from app.crypto import Vault
from app.processing.batch import give_up
from app.query.routes import RESOURCES
from app.query.schemas.parts import History
from app.storage.counting import count_next
from app.storage.database import connect
from tests.processing.conftest import Desk
from tests.query.conftest import Caller, Rows

SAMPLES = Path(__file__).parents[1] / "providers" / "samples"


@pytest.fixture
def processed(rows: Rows, database_url: str, vault: Vault) -> str:
    """Process all samples; return a key that sees everything."""
    with closing(connect(database_url)) as connection:
        desk = Desk(connection, vault)
        for source_id, name in ((desk.thinksurance, "thinksurance"), (desk.wegroup, "wegroup")):
            for sample in sorted((SAMPLES / name).iterdir()):
                desk.lay(sample.read_bytes(), source_id)
        desk.process()
    return rows.key(Scope.READ, Scope.READ_PERSONAL)


def test_the_samples_as_they_are_shown(processed: str, open_caller: Callable[[], Caller]) -> None:
    caller = open_caller()
    seen: dict[str, list[dict[str, Any]]] = {}
    for resource in RESOURCES:
        response = caller.get(processed, f"{resource.path}?limit=500")
        assert response.status_code == 200, response.text
        resource.page.model_validate_json(response.content)
        seen[resource.name] = orjson.loads(response.content)["data"]
    assert {name for name, rows in seen.items() if not rows} == {"gaps", "drift"}  # nothing was pulled or changed shape
    assert any(row["customer"] for row in seen["inquiries"])
    assert any(row["documents"] for row in seen["inquiries"])
    assert any(row["insurance_policies"] for row in seen["leads"])
    assert {row["status"] for row in seen["deliveries"]} >= {"accepted", "quarantined"}
    for name in ("inquiries", "customers", "leads"):
        for row in seen[name]:
            history = caller.get(processed, f"/v1/{name}/{row['id']}/history")
            assert History.model_validate_json(history.content).data, name
    for row in seen["events"]:
        record = row["links"]["record"]
        if record is not None:
            assert caller.get(processed, record).status_code == 200, row["type"]


def test_what_is_judged_anew_is_counted_anew(database_url: str, vault: Vault) -> None:
    with closing(connect(database_url)) as connection:
        desk = Desk(connection, vault)

        def assert_counted() -> None:
            counted = desk.rows(
                "SELECT source_id, status, verdict, reason, sum(number) FROM delivery_counts"
                " GROUP BY 1, 2, 3, 4 HAVING sum(number) <> 0"
            )
            there = desk.rows(
                "SELECT source_id, status, verdict, reason, count(*) FROM outcomes, delivery_counts_end e"
                " WHERE outcomes.seq <= e.seq GROUP BY 1, 2, 3, 4"
            )
            assert set(counted) == set(there)

        laid = [desk.lay({"sHash": "0" * 32, "data": {"iId": number, "status": 4}}) for number in range(6)]
        laid.append(desk.lay(b"no JSON"))
        desk.process()
        count_next(connection)
        assert_counted()
        late = desk.lay({"sHash": "0" * 32, "data": {"iId": 99, "status": 4}})
        desk.process()
        desk.sources[desk.thinksurance] = replace(desk.sources[desk.thinksurance], mode=Mode.ENFORCE)
        for delivery_id in (*laid[:3], laid[-1], late):
            desk.ask_again(delivery_id)
        desk.process()
        assert_counted()
        with connection.transaction():
            assert give_up(connection, laid[4]) is not None
        assert_counted()
        count_next(connection)
        assert_counted()
        assert len(desk.rows("SELECT DISTINCT status, reason FROM delivery_counts")) > 2
        assert desk.row("SELECT sum(number), bool_or(is_loose) FROM delivery_counts") == (8, False)


def test_the_folded_beginnings_find_what_the_processor_folded(
    processed: str, open_caller: Callable[[], Caller]
) -> None:
    caller = open_caller()
    for name in ("customers", "leads", "documents", "inquiries"):
        (resource,) = (one for one in RESOURCES if one.name == name)
        fields = [field for field, about in resource.fields.items() if about.folded is not None and "." not in field]
        assert fields
        for row in caller.found(processed, f"{resource.path}?limit=500"):
            for field in fields:
                if row[field]:
                    wanted = {f"{field}[prefix]": row[field].upper()[:5], "limit": "500"}
                    found = caller.found(processed, resource.path, params=wanted)
                    assert row["id"] in {one["id"] for one in found}, field


def test_a_lead_keeps_its_id_where_only_its_partys_is_told(
    rows: Rows, database_url: str, vault: Vault, open_caller: Callable[[], Caller]
) -> None:
    key = rows.key(Scope.READ, Scope.READ_PERSONAL)
    with closing(connect(database_url)) as connection:
        desk = Desk(connection, vault)
        for body in (
            {"id": "lead-1", "prospect": {"id": "party-1", "first_name": "Lotte"}},
            {"prospect": {"id": "party-1", "first_name": "Lotte", "last_name": "Voorbeeld"}},
            {"event": "touched", "party_id": "party-1"},
            {"prospect": {"id": "party-2", "first_name": "Marieke"}},
        ):
            desk.lay(body, desk.wegroup)
            desk.process()
    caller = open_caller()

    def found(query: str) -> list[Any]:
        return [(row["lead_id"], row["party_id"]) for row in caller.found(key, f"/v1/leads?{query}")]

    known, other = ("lead-1", "party-1"), ("party-2", "party-2")
    assert found("order=asc") == [known, other]
    assert found("lead_id=lead-1") == found("lead_id[prefix]=LEAD") == found("lead_id[ne]=party-2") == [known]
    assert found("lead_id=party-2") == found("lead_id[in]=party-1,party-2") == found("lead_id[prefix]=party") == [other]
    assert found("lead_id[null]=true") == []


def test_names_in_which_a_separator_stands_make_no_two_one(
    rows: Rows, database_url: str, vault: Vault, open_caller: Callable[[], Caller]
) -> None:
    key = rows.key(Scope.READ, Scope.READ_PERSONAL)
    pairs = [("a\x1fb", "c"), ("a", "b\x1fc"), ('["a', 'b"]')]
    with closing(connect(database_url)) as connection:
        desk = Desk(connection, vault)
        for number, (first, second) in enumerate(pairs, 1):
            desk.lay({"external_ref": {"external_ref_company": first, "external_ref": second}}, desk.wegroup)
            stated = [{"origin": one, "paramKey": other, "paramValue": "x"} for one, other in pairs]
            data = {"iId": number, "bExternalId": first, "status": 4, "externalReferences": stated}
            desk.lay({"sHash": "0" * 32, "data": data, "customer": {"cExternalId": second}})
        desk.process()
    caller = open_caller()
    leads = caller.found(key, "/v1/leads?order=asc")
    named = [[(one["origin"], one["value"]) for one in lead["external_references"]] for lead in leads]
    assert named == [[pair] for pair in pairs]
    customers = caller.found(key, "/v1/customers?order=asc")
    assert [one["external_id"] for one in customers] == [second for _, second in pairs]
    for inquiry in caller.found(key, "/v1/inquiries"):
        assert {(one["origin"], one["key"]) for one in inquiry["external_references"]} == set(pairs)
