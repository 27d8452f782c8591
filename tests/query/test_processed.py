"""What the real readers and the real processor leave behind fits the schemas: the samples of both platforms."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.accounts.model import Scope
from app.crypto import Vault
from app.query.routes import RESOURCES
from app.query.schemas.parts import History
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
