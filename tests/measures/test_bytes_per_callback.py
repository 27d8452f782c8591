"""The measurement of `make bytes` in small: its callbacks are what they should be, and it counts all tables."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from app.accounts.model import Mode
from app.processing.work import Worker
from app.providers import PROVIDERS
from tests.ingest.test_receiver import SIGNED, Service, serving
from tests.measures.bytes_per_callback import SIZE, body, sizes
from tests.security.service import SECRET


@pytest.fixture
def service(database_url: str, encryption_key: str) -> Iterator[Service]:
    with serving(database_url, encryption_key) as service:
        yield service


def test_callbacks_are_distinct_of_one_size_and_accepted(service: Service) -> None:
    bodies = [body(number, 5) for number in range(20)]
    assert len(set(bodies)) == 20
    assert {len(one) for one in bodies} == {SIZE}
    before = {name: sum(parts) for name, *parts in sizes(service.connection)}
    path = service.add("measured", SIGNED, secrets=[SECRET], mode=Mode.ENFORCE)
    for one in bodies:
        assert service.client.post(path, content=one).status_code == 200
    processor = Worker(service.vault, PROVIDERS, ZoneInfo("UTC")).on(service.connection)
    while processor.step():
        pass
    rows = service.connection.execute("SELECT count(*), count(duplicate_of) FROM events").fetchone()
    assert rows == (20, 0)
    assert service.connection.execute("SELECT count(*) FROM inquiries").fetchone() == (5,)
    after = {name: sum(parts) for name, *parts in sizes(service.connection)}
    assert {"deliveries", "events", "outcomes", "inquiries", "customers"} <= {
        name for name in after if after[name] > before.get(name, 0)
    }
