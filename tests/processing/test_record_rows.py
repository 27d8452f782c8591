"""What is known of records comes back from the database as it was written, whatever kinds of columns it stands in."""

from collections.abc import Callable
from typing import Any

from app.processing.record_rows import Record, Scope, load_records, write_records
from app.storage.models import RECORDS
from tests.processing.conftest import Desk

_CUSTOMER = {"cId": 9, "cSalutation": 2, "cLastName": "Beispiel", "cBirthDate": "1980-02-29", "cZip": "01234"}
_DATA: dict[str, Any] = {
    "taxPercent": "19.50",
    "coverage": "unbegrenzt",
    "contractStartDate": "2026-02-01",
    "digitalOrderAvailable": True,
    "externalReferences": [{"origin": "crm", "paramKey": "k", "paramValue": 'a "quoted" \\ value'}],
}
_DOCS = {
    "docToken": {"token": "t0ken", "expired": "2027-01-01 10:00:00"},
    "files": [{"hash": "abc", "name": "Police.pdf", "fullFilePath": "https://example.org/abc"}],
}
_LEAD = {
    "id": "8d4a6f0e-7f2c-4d5e-9a51-0f6f2d1c3b7a",
    "prospect": {"type": "customer", "last_name": "Beispiel", "risk_objects": [{"id": "1", "type": "car"}]},
}


def test_a_record_is_loaded_as_it_was_written(desk: Desk, item: Callable[..., dict[str, Any]]) -> None:
    desk.lay({**item(7, customer=_CUSTOMER, **_DATA), "docs": _DOCS})
    desk.lay({**item(7, customer={"cId": 9, "cFirstName": "Erika"}, iUpdated="2026-01-01", revenue=5)})
    desk.lay(_LEAD, desk.wegroup)
    desk.process()
    for kind, table in RECORDS.items():
        every = f"SELECT * FROM {table.name} ORDER BY id"  # noqa: S608 - a table of ours
        written = desk.rows(every)
        assert len(written) == 1
        identities = desk.rows(f"SELECT source_id, identity FROM {table.name}")  # noqa: S608
        records: dict[tuple[Scope, str], Record] = {}
        load_records(desk.database, [((source_id, kind), identity) for source_id, identity in identities], records)
        for record in records.values():
            record.touched = record.anew = True
        desk.database.execute(f"UPDATE {table.name} SET head_receipt = '', event_count = 0")  # noqa: S608
        write_records(desk.database, records.values())
        assert desk.rows(every) == written
