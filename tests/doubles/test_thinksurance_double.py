"""Shows that the double of Thinksurance can be driven from outside, as a program of its own."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.doubles.serving import serve

INSTANT = {
    "type": 1,
    "bExternalId": "42",
    "cExternalId": "K-1001",
    "cBankIban": "DE02120300000000202051",
    "productId": 88,
    "professionId": 311,
    "instantInquiryCreation": "True",
    "fullCallback": 0,
}

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a double in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.doubles.thinksurance",
        "--port",
        "0",
        "--secret",
        "s",
        "--broker-token",
        "b",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(20)


class Driver:
    """Asks the double without the client."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=20, trust_env=False)
        token = self.post("/api/ipn/tokens", {"hash": "double-hash", "secret": "s"})["token"]
        self._client.headers |= {"Authorization": f"Bearer {token}", "X-Broker-Token": "b"}

    def post(self, path: str, body: Any = None) -> Any:
        return self._client.post(path, json=body).json()

    def get(self, path: str) -> Any:
        return self._client.get(path).json()

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def driver(url: str) -> Iterator[Driver]:
    """Someone who logged in."""
    driver = Driver(url)
    yield driver
    driver.close()


@pytest.fixture
def heard() -> Iterator[tuple[str, list[Any]]]:
    """An address that can be called back, and what it heard."""
    bodies: list[Any] = []

    async def hear(request: Request) -> Response:
        bodies.append(await request.json())
        return Response(status_code=204)

    with serve(Starlette(routes=[Route("/here", hear, methods=["POST"])])) as served:
        yield f"{served.url}/here", bodies


def test_it_calls_back_after_a_forward_and_on_demand(driver: Driver, heard: tuple[str, list[Any]]) -> None:
    address, bodies = heard
    answer = driver.post("/api/ipn/brokers/forward", INSTANT | {"callbackUrl": address})
    called = driver.post("/double/advance", {"inquiryId": answer["inquiryId"], "status": 15})
    assert called == [{"url": address, "inquiry_id": answer["inquiryId"], "answered": 204}]
    # The first goes out after the answer; which of the two arrives first is open, as with the platform.
    state = driver.get("/double/state")
    assert state["inquiries"][str(answer["inquiryId"])] in bodies
    assert bodies[-1]["data"]["iId"] == answer["inquiryId"]
    assert "cBankIban" not in bodies[-1]["customer"]
    assert driver.post("/double/advance", {"inquiryId": 1, "status": 6}) == {"error": "unknown inquiry"}


def test_an_inquiry_can_be_made_as_late_as_at_the_switch(driver: Driver, heard: tuple[str, list[Any]]) -> None:
    sent = INSTANT | {"instantInquiryCreation": "False", "callbackUrl": heard[0]}
    answer = driver.post("/api/ipn/brokers/forward", sent)
    assert set(answer) == {"url"}
    assert driver.get(answer["url"]) == {"landed": "inquiry"}
    assert driver.get(answer["url"]) == {"landed": "dashboard"}
    assert "error" in driver.get("/switch/unknown")


def test_its_sessions_expire_on_demand(driver: Driver) -> None:
    assert isinstance(driver.get("/api/ipn/products"), list)
    driver.post("/double/expire")
    assert "error" in driver.get("/api/ipn/products")


def test_its_habits_and_quirks_are_set_over_http(driver: Driver) -> None:
    assert driver.post("/double/settings", {"empty_form": "list"})["empty_form"] == "list"
    assert driver.get("/api/ipn/inquiries?inquiryId=1") == []
    assert "error" in driver.post("/double/settings", {"nothing": 1})
    assert driver.post("/double/quirks", {"kind": "error", "path": "/api/ipn/products"})[0]["times"] == 1
    assert "error" in driver.get("/api/ipn/products")
    assert isinstance(driver.get("/api/ipn/products"), list)
    assert "error" in driver.post("/double/quirks", {"kind": "nothing"})
    assert httpx2.delete(f"{driver._client.base_url}/double/quirks").json() == []
    headers = {"X-Double-Quirk": "html-error"}
    assert httpx2.get(f"{driver._client.base_url}/api/ipn/products", headers=headers).status_code == 502
