"""Who tries keys is slowed down, who has one is not; and what browsers may do with answers."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import build_api
from app.config import load_settings
from app.ingest.senders import parse_networks
from app.query import strangers
from app.query.strangers import MOST, WINDOW_S, Strangers, StrangersMiddleware

GOOD = {"Authorization": "Bearer good"}
BAD = {"Authorization": "Bearer bad"}


async def door(scope: Scope, receive: Receive, send: Send) -> None:
    """Let in who says so; there is one room."""
    is_good = (b"authorization", b"Bearer good") in scope["headers"]
    status = 401 if not is_good else 200 if scope["path"] == "/" else 404
    await Response(b"", status)(scope, receive, send)


class Street:
    """Asks through the middleware from any address, at any time."""

    def __init__(self, trusted: str = "") -> None:
        self.moment = 1000.0
        self.strangers = Strangers(clock=lambda: self.moment)
        self._app = StrangersMiddleware(door, parse_networks(trusted), self.strangers)

    def ask(self, headers: dict[str, str], address: str = "198.51.100.7", path: str = "/") -> Any:
        return ask(self._app, path, headers, address)

    def try_keys(self, count: int, address: str = "198.51.100.7", **headers: str) -> list[int]:
        return [self.ask(BAD | headers, address).status_code for _ in range(count)]


def ask(app: ASGIApp, path: str, headers: dict[str, str], address: str = "198.51.100.7") -> Any:
    async def once() -> Any:
        transport = httpx2.ASGITransport(app, client=(address, 4711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(once())


def test_bad_keys_are_refused_until_time_has_passed() -> None:
    street = Street()
    assert street.try_keys(MOST + 3) == [401] * MOST + [429] * 3
    refused = street.ask(BAD)
    assert refused.json()["code"] == "too-many-bad-keys"
    assert int(refused.headers["retry-after"]) >= 1
    street.moment += WINDOW_S / MOST * 2
    assert street.try_keys(4) == [401, 401, 429, 429]


def test_a_good_key_is_served_whatever_came_from_its_address() -> None:
    street = Street()
    street.try_keys(MOST + 10)
    for _ in range(3):
        assert street.ask(GOOD).status_code == 200
        assert street.ask(BAD).status_code == 429
    assert street.ask({}).status_code == 401, "who shows no key has tried none"
    assert street.ask(GOOD, path="/nowhere").status_code == 404


def test_addresses_are_told_apart() -> None:
    street = Street()
    street.try_keys(MOST + 1)
    assert street.try_keys(1, "198.51.100.8") == [401]
    assert street.try_keys(MOST, "2001:db8:1:2::1") == [401] * MOST
    assert street.try_keys(1, "2001:db8:1:2:ffff::9") == [429], "one customer's network"
    assert street.try_keys(1, "2001:db8:1:3::1") == [401]
    assert street.try_keys(1, "") == [401]


def test_a_forwarded_address_counts_behind_a_trusted_proxy_only() -> None:
    proxied = Street(trusted="198.51.100.0/24")
    proxied.try_keys(MOST, **{"X-Forwarded-For": "203.0.113.5"})
    assert proxied.try_keys(1, **{"X-Forwarded-For": "203.0.113.5"}) == [429]
    assert proxied.try_keys(1, **{"X-Forwarded-For": "203.0.113.6"}) == [401]
    direct = Street()
    statuses = [direct.try_keys(1, **{"X-Forwarded-For": f"203.0.113.{number}"})[0] for number in range(MOST + 1)]
    assert statuses[-1] == 429, "anybody can write that header"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "MOST_ADDRESSES", 50)
    held = Strangers()
    for number in range(1000):
        held.seconds_to_wait(f"10.0.{number // 250}.{number % 250}")
        assert len(held._left) <= 50


@pytest.fixture(scope="module")
def api() -> ASGIApp:
    return build_api(load_settings())


def test_browsers_are_told_what_not_to_do(api: ASGIApp) -> None:
    for path in ("/", "/docs", "/livez", "/openapi.json", "/nowhere", "/v1/nowhere"):
        headers = ask(api, path, {}).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY", path
    assert ask(api, "/v1/nowhere", {}).headers["cache-control"] == "no-store"


def test_the_application_has_both_layers(api: ASGIApp) -> None:
    kinds: list[Callable[..., Any]] = [one.cls for one in api.user_middleware]  # type: ignore[attr-defined]
    names = [kind.__name__ for kind in kinds]
    assert "StrangersMiddleware" in names
    assert "SecurityHeadersMiddleware" in names
