"""The doors of a running service, over HTTP: tokens and keys that are revoked, guessed, or shown too often wrongly."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.accounts import keys, snapshot
from app.accounts.model import Scope
from app.accounts.parts import add_token, revoke_token
from app.accounts.snapshot import BOUND_S, INTERVAL_S, AccountBook
from app.administration.platforms import get_platform
from app.crypto import new_api_key, new_callback_token
from app.query.strangers import MOST
from tests.ingest.test_receiver import Service, serving

LEAD = b'{"id": "lead-1"}'


@pytest.fixture
def service(database_url: str, encryption_key: str) -> Iterator[Service]:
    with serving(database_url, encryption_key) as service:
        yield service


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what a change brings about; the accounts are read every second."""
    assert INTERVAL_S + BOUND_S / 2 <= 2.0, "what is promised"
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_is_revoked_is_refused_by_a_running_service(service: Service) -> None:
    path = service.add("leads", get_platform("wegroup"))
    other = add_token(service.connection, service.vault, "leads", "second")
    second = f"/callbacks/wegroup/{other.token}"
    key = keys.add_key(service.connection, "reader", [Scope.READ])

    def asked() -> int:
        return service.client.get("/v1/deliveries", headers={"Authorization": f"Bearer {key.key}"}).status_code

    assert [service.client.post(one, content=LEAD).status_code for one in (path, second)] == [200, 200]
    assert asked() == 200
    revoke_token(service.connection, "leads", "second")
    until(lambda: service.client.post(second, content=LEAD).status_code == 404)
    assert service.client.post(path, content=LEAD).status_code == 200, "the other one is good still"
    keys.revoke_key(service.connection, "reader")
    until(lambda: asked() == 401)


def test_guessing_tokens_asks_the_database_next_to_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while a question is under way shares the next one, so that a flood is one question at a time."""
    asked = Counter[str]()
    plain = AccountBook._ask

    async def counted(book: AccountBook) -> None:
        asked["questions"] += 1
        await asyncio.sleep(0.05)  # as if the database were far away
        await plain(book)

    monkeypatch.setattr(AccountBook, "_ask", counted)
    monkeypatch.setattr(snapshot, "BOUND_S", 30.0)  # on a machine that is busy the answer is 503 after two seconds
    path = service.add("leads", get_platform("wegroup"))
    with ThreadPoolExecutor(40) as pool:
        guesses: list[Any] = [
            pool.submit(service.client.post, f"/callbacks/wegroup/{new_callback_token()}", content=LEAD)
            for _ in range(200)
        ]
        assert {guess.result().status_code for guess in guesses} == {404}
    assert 1 <= asked["questions"] <= 60
    assert service.client.post(path, content=LEAD).status_code == 200
    assert service.kept()[0]["size"] == len(LEAD)
    assert len(service.kept()) == 1


def test_wrong_keys_are_limited_by_address_and_good_ones_never(service: Service) -> None:
    good = {"Authorization": f"Bearer {keys.add_key(service.connection, 'reader', [Scope.READ]).key}"}
    path = service.add("leads", get_platform("wegroup"))
    statuses = Counter(
        service.client.get("/v1/deliveries", headers={"Authorization": f"Bearer {new_api_key()}"}).status_code
        for _ in range(MOST + 20)
    )
    assert set(statuses) == {401, 429}
    assert statuses[401] >= MOST
    for _ in range(MOST + 20):
        assert service.client.get("/v1/deliveries?limit=1", headers=good).status_code == 200
    assert service.client.post(path, content=LEAD).status_code == 200, "nor does that touch callbacks"
