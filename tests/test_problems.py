"""Every error is a problem, and none says more than it should."""

from collections.abc import Iterator

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel
from starlette.testclient import TestClient

from app import problems
from app.crypto import new_api_key, new_callback_token
from app.posted import pointer_to
from app.problems import Problem
from app.request_id import RequestIdMiddleware


class Teapot(Problem):
    """This is a teapot.

    Still.
    """

    status = 418
    code = "teapot"
    title = "Teapot"


class Cup(BaseModel):
    """Something to post."""

    size: int


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    problems.install(app)
    app.add_middleware(RequestIdMiddleware)

    @app.get("/teapot")
    async def teapot() -> None:
        raise Teapot(headers={"Retry-After": "3"}, id="x")

    more = APIRouter()

    @more.patch("/teapot")
    async def refill() -> None:
        """Be there, at the path of another route."""

    app.include_router(more)

    @app.get("/boom/{name:path}")
    async def boom(name: str) -> None:
        raise RuntimeError(f"secret of {name}")

    @app.get("/plain/{status}")
    async def plain(status: int) -> None:
        raise HTTPException(status, headers={"X-More": "yes"})

    @app.post("/cups")
    async def cups(cup: Cup) -> int:
        return cup.size

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


FIELDS = ["type", "code", "title", "status", "detail", "instance", "request_id", "errors"]


def test_a_problem_of_our_own(client: TestClient) -> None:
    response = client.get("/teapot?name=Nele")
    assert response.status_code == 418
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "3"
    assert response.json() == {
        "type": "urn:callbox:problem:teapot",
        "code": "teapot",
        "title": "Teapot",
        "status": 418,
        "detail": "This is a teapot. Still.",
        "instance": "/teapot",
        "request_id": response.headers["x-request-id"],
        "errors": [],
        "id": "x",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("DELETE", "/teapot", 405, "method-not-allowed"),
        ("GET", "/boom/x", 500, "internal-error"),
        ("GET", "/plain/409", 409, "conflict"),
        ("GET", "/plain/not-a-number", 422, "invalid-request"),
        ("GET", "/plain/799", 799, "error"),
    ],
)
def test_every_error_is_a_problem(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert list(response.json()) == FIELDS
    assert (response.json()["status"], response.json()["code"]) == (status, code)
    assert response.json()["detail"]
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_headers_of_http_errors_are_kept(client: TestClient) -> None:
    assert client.delete("/teapot").headers["allow"] == "GET, HEAD, PATCH"
    assert client.get("/plain/409").headers["x-more"] == "yes"


def test_refused_bodies_are_pointed_at_without_their_values(client: TestClient) -> None:
    response = client.post("/cups", json={"size": "Nele"})
    (error,) = response.json()["errors"]
    assert {name: error[name] for name in ("in", "pointer", "code")} == {
        "in": "body",
        "pointer": "/size",
        "code": "int-parsing",
    }
    assert "Nele" not in response.text
    assert client.post("/cups", content=b"{").json()["errors"][0]["in"] == "body"


def test_what_nobody_foresaw_tells_nothing(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    response = client.get("/boom/Nele")
    assert response.status_code == 500
    assert "secret" not in response.text
    logged = capsys.readouterr()
    assert "request.failed" in logged.out
    assert "secret" not in logged.out + logged.err


@pytest.mark.parametrize("token", [new_callback_token(), new_api_key(), "anything"], ids=["token", "key", "other"])
def test_no_token_stands_in_instance(client: TestClient, token: str) -> None:
    response = client.get(f"/callbacks/wegroup/{token}")
    assert response.json()["instance"] == "/callbacks/wegroup/***"
    elsewhere = client.get(f"/elsewhere/{new_callback_token()}").json()["instance"]
    assert elsewhere == "/elsewhere/cbt_" + "*" * 43


@pytest.mark.parametrize("given", ["abc-123", "0f8fad5b-d9cb-469f-a165-70867728950e", "A" * 128])
def test_a_sane_request_id_is_taken_over(client: TestClient, given: str) -> None:
    assert client.get("/teapot", headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "A" * 129, "<script>", "cbt_" + "A" * 43, "ä"])
def test_others_are_not(client: TestClient, given: str) -> None:
    answered = client.get("/teapot", headers={b"X-Request-Id": given.encode()}).headers["x-request-id"]
    assert answered != given
    assert len(answered) == 32


def test_each_answer_has_another_id(client: TestClient) -> None:
    assert client.get("/teapot").headers["x-request-id"] != client.get("/teapot").headers["x-request-id"]


def test_the_schema_fits_what_is_answered(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()["components"]["schemas"]["Problem"]
    assert schema["required"] == FIELDS
    assert list(schema["properties"]) == FIELDS


def test_where_a_posted_parameter_stands_is_escaped_and_short() -> None:
    assert pointer_to("a/b~c") == "/a~1b~0c"
    assert pointer_to("x" * 1000) == "/" + "x" * 99
