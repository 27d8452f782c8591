"""The application as a whole: what stands beside receiving and asking, and that the two do not hinder each other."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.accounts import keys, store
from app.accounts.model import Scope
from app.accounts.opening import verify_vault
from app.accounts.writing import Platform
from app.api import build_api
from app.config import Settings, load_settings
from app.crypto import Vault
from app.health import Probe
from app.ingest import writer
from app.main import Callbox, create_app
from tests.ingest.test_keeping import Database

WEGROUP = Platform("wegroup")
PARTS = {"database": "ok", "spool": "ok", "accounts": "ok", "processing": "ok"}


@pytest.fixture
def settings(database_url: str, encryption_key: str, tmp_path: Path) -> Settings:
    return load_settings(
        database_url=database_url,
        encryption_key=encryption_key,
        data_dir=tmp_path,
        cors_origins="https://crm.example.test",
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def add_source(settings: Settings, platform: Platform = WEGROUP, **options: Any) -> str:
    assert settings.database_url
    assert settings.encryption_key
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        vault = Vault(settings.encryption_key.get_secret_value())
        added = store.add_source(connection, vault, platform, "leads", **options)
    return f"/callbacks/{platform.name}/{added.token.token}"


def add_key(settings: Settings) -> str:
    assert settings.database_url
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        return keys.add_key(connection, "head", (Scope.READ, Scope.READ_PERSONAL)).key


def test_health(client: TestClient, settings: Settings) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.json() == {"status": "ok", "parts": PARTS}
    assert client.get("/readyz?for=query").json() == {"status": "ok", "parts": {"database": "ok"}}
    (wrong,) = client.get("/readyz?for=lunch").json()["errors"]
    assert (wrong["name"], wrong["code"]) == ("for", "unknown-value")
    assert "query" in wrong["detail"]
    assert ready.headers["x-request-id"]
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:  # type: ignore[union-attr]
        connection.execute("INSERT INTO inbox VALUES ('01900000-0000-7000-8000-000000000000', gen_random_uuid())")
    behind = client.get("/readyz")
    assert (behind.status_code, behind.json()["status"]) == (200, "degraded")
    assert behind.json()["parts"]["processing"] == "behind"


def test_a_commit_soon_after_another_waits_for_who_is_free_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says whether somebody is."""
    monkeypatch.setattr(writer, "APART_S", 3600.0)
    path = add_source(settings)
    asked = []

    def nobody() -> bool:
        asked.append(1)
        return False

    app = create_app(settings)
    app.may_more_come = nobody
    with TestClient(app) as client:
        for _ in range(2):
            assert client.post(path, json={"id": 1}).status_code == 200
    assert asked


def test_where_a_secret_cannot_be_decrypted_callbacks_are_kept(settings: Settings) -> None:
    assert settings.database_url
    assert settings.encryption_key
    signing = Platform("thinksurance", check_recipe=lambda _: None)
    path = add_source(settings, signing, secrets=["geheim"])
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        verify_vault(connection, Vault(settings.encryption_key.get_secret_value()))
        connection.execute("UPDATE sources SET recipe_proven_at = now()")
        connection.execute("UPDATE source_secrets SET value_encrypted = %s", (bytes(40),))
    with TestClient(create_app(settings)) as client:
        answer = client.post(path, json={"iId": 1, "sHash": "0" * 32, "data": {"iId": 1, "bToken": "t"}})
        assert client.get("/readyz").json()["parts"]["accounts"] == "ok"
    assert (answer.status_code, answer.json()["reason"]) == (202, "signature-unproven")
    assert answer.headers["callbox-delivery"] == answer.json()["id"]


def test_that_it_lives_is_told_before_the_api_is_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    let_in = threading.Event()
    connected = Callbox._connected_api

    def later(self: Callbox, *parts: Any) -> Any:
        let_in.wait()
        return connected(self, *parts)

    monkeypatch.setattr(Callbox, "_connected_api", later)
    with TestClient(create_app(settings.model_copy(update={"cors_origins": ""}))) as client:
        try:
            early = client.get("/livez", headers={"X-Request-Id": "one"})
        finally:
            let_in.set()
        assert client.get("/readyz").status_code == 200
        late = client.get("/livez", headers={"X-Request-Id": "one"})
    assert early.status_code == 200
    assert early.content == late.content
    assert early.headers == late.headers


@pytest.mark.parametrize("spool_works", [True, False])
def test_without_the_database_the_spool_decides(encryption_key: str, tmp_path: Path, *, spool_works: bool) -> None:
    (tmp_path / "file").touch()
    spool = tmp_path / ("spool" if spool_works else "file")
    url = "postgresql://x@127.0.0.1:1/x"
    nowhere = load_settings(database_url=url, encryption_key=encryption_key, data_dir=tmp_path, spool_dir=spool)
    with TestClient(create_app(nowhere)) as client:
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert ready.json()["parts"]["database"] == "away"
        if spool_works:
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        else:
            assert (ready.status_code, ready.json()["code"]) == (503, "not-ready")
            assert ready.headers["retry-after"]
        assert client.get("/readyz?for=query").status_code == 503
        measures = client.get("/metrics")
        assert measures.status_code == 200
        assert "callbox_inbox" not in measures.text


def test_a_database_that_takes_nothing_counts_as_away(client: TestClient, settings: Settings, server_url: str) -> None:
    """As a standby: it answers, but callbacks go to the spool."""
    assert settings.database_url
    with Database(settings.database_url.get_secret_value(), server_url).read_only():
        cast("Callbox", client.app)._receiver._sink.is_away = True  # type: ignore[attr-defined]  # it is the keeper
        ready = client.get("/readyz").json()
    assert (ready["status"], ready["parts"]["database"]) == ("degraded", "away")


def test_a_probe_finds_a_database_that_came_back(database_url: str) -> None:
    import asyncio  # noqa: PLC0415

    async def act() -> list[Any]:
        probe = Probe("postgresql://x@127.0.0.1:1/x")
        answers = [await probe.ask("SELECT 1")]
        probe._url = database_url
        answers += [await probe.ask("SELECT 1"), await probe.ask("SELECT 1")]
        assert probe._connection
        await probe._connection.close()
        answers += [await probe.ask("SELECT 1"), await probe.ask("SELECT 1")]
        await probe.close()
        return answers

    assert asyncio.run(act()) == [None, (1,), (1,), None, (1,)]


def _measures(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_measures(client: TestClient, settings: Settings) -> None:
    path = add_source(settings)
    before = _measures(client)
    assert client.post(path, content=b"no json").status_code == 202
    assert client.post(path + "x").status_code == 404
    after = _measures(client)
    kept = (("provider", "wegroup"), ("status", "202"), ("verdict", "unsigned"))
    for name, labels in (
        ("callbox_deliveries_total", kept),
        ("callbox_refusals_total", (("reason", "unknown-callback"),)),
        ("callbox_batch_rows_count", ()),
        ("callbox_commit_seconds_count", ()),
        ("callbox_acknowledgement_seconds_count", ()),
    ):
        assert after[name, labels] - before.get((name, labels), 0) == 1, name
    assert after["callbox_in_flight_bytes", ()] == 0
    assert after["callbox_inbox_deliveries", ()] == 1
    assert 0 <= after["callbox_inbox_oldest_seconds", ()] < 60


def test_pages_need_no_other_host_and_no_script(client: TestClient) -> None:
    for page in ("/", "/docs"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "<script" not in answer.text
        links = re.findall(r'(?:href|src)="([^"]*)"', answer.text)
        assert links
        for link in links:
            target = urlsplit(urljoin(f"http://testserver{page}", link))
            assert target.netloc == "testserver"
            assert client.get(target.path).status_code == 200
    assert "/callbacks/{provider}/{token}" in client.get("/docs").text
    assert "/v1/inquiries" in client.get("/docs").text


def test_every_error_is_a_problem_with_a_request_id(client: TestClient) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/livez", 405), ("GET", "/v1/inquiries", 401)):
        answer = client.request(method, path, headers={"X-Request-Id": "mine"})
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-request-id"] == "mine" == answer.json()["request_id"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/livez", 200),
        ("/readyz", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/v1/inquiries?limit=5", 200),
        ("/v1/inquiries?limit=none", 422),
        ("/v1/inquiries/019a9c3e-1f00-7abc-8def-0123456789ab", 404),
        ("/v1/export/events.csv", 200),
        ("/v1/events/stream", 200),
    ],
)
def test_head_is_answered_as_get_without_the_body(
    client: TestClient, settings: Settings, path: str, status: int
) -> None:
    asked = {"Authorization": f"Bearer {add_key(settings)}"}
    head = client.head(path, headers=asked)
    assert (head.status_code, head.content) == (status, b"")
    if path != "/v1/events/stream":  # of which a GET has no end
        got = client.get(path, headers=asked)
        fleeting = {"x-request-id", "ratelimit", "content-disposition"} | (
            {"content-length"} if status > 400 else set()
        )
        assert {name: text for name, text in got.headers.items() if name not in fleeting} == {
            name: text for name, text in head.headers.items() if name not in fleeting
        }
    assert head.headers["x-request-id"]


def test_where_head_is_taken_it_is_allowed(client: TestClient) -> None:
    assert client.head("/v1/inquiries").status_code == 401
    assert client.delete("/livez").headers["allow"] == "GET, HEAD"
    assert client.head("/v1/search/nothing").status_code == 404


@pytest.mark.parametrize("path", ["/v1/inquiries/", "/v1/sources/x/", "/docs/", "/livez/"])
def test_a_slash_too_many_leads_nowhere(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "elsewhere.example"}, follow_redirects=False)
    assert (answer.status_code, answer.json()["code"], "location" in answer.headers) == (404, "not-found", False)


def test_dashboards_of_the_named_origins_may_ask(client: TestClient, settings: Settings) -> None:
    asked = {"Origin": "https://crm.example.test", "Access-Control-Request-Method": "GET"}
    allowed = client.options("/v1/inquiries", headers=asked | {"Access-Control-Request-Headers": "authorization"})
    assert allowed.headers["access-control-allow-origin"] == "https://crm.example.test"
    stranger = client.get("/livez", headers={"Origin": "https://evil.example.test"})
    assert "access-control-allow-origin" not in stranger.headers
    probe = client.options(add_source(settings), headers=asked)
    assert "access-control-allow-origin" not in probe.headers


def test_a_refused_preflight_is_a_problem(client: TestClient) -> None:
    asked = {"Origin": "https://crm.example.test", "Access-Control-Request-Method": "GET", "X-Request-Id": "mine"}
    for wrong in (
        {"Origin": "https://evil.example.test"},
        {"Access-Control-Request-Method": "PUT"},
        {"Access-Control-Request-Headers": "x-other"},
    ):
        refused = client.options("/v1/inquiries", headers=asked | wrong)
        assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
        assert {"type", "title", "detail", "errors"} < refused.json().keys()
        assert (refused.json()["code"], refused.json()["instance"]) == ("preflight-refused", "/v1/inquiries")
        assert refused.headers["x-request-id"] == "mine" == refused.json()["request_id"]
        assert "access-control-allow-origin" not in refused.headers
        assert "Origin" in refused.headers["vary"]


def test_a_wrong_key_keeps_it_from_starting(settings: Settings) -> None:
    add_source(settings, Platform("thinksurance", check_recipe=lambda _: None), secrets=["geheim"])
    wrong = settings.model_copy(update={"encryption_key": SecretStr("B" * 43)})
    with pytest.raises(Exception, match="CALLBOX_ENCRYPTION_KEY"), TestClient(create_app(wrong)):
        pass


def test_the_openapi_document_is_whole() -> None:
    document = build_api(load_settings()).openapi()
    assert document["openapi"].startswith("3.1")
    text = str(document)
    references = set(re.findall(r"'\$ref': '#/components/schemas/([^']+)'", text))
    assert references <= set(document["components"]["schemas"])


def test_importing_the_application_leaves_out_what_receiving_does_without() -> None:
    """The start of a receiver must not wait for what only questions need."""
    program = (
        "import sys, app.main; print(*(name for name in ('sqlalchemy', 'jinja2', 'alembic') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not done.stdout.split()
