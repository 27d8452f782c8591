"""Checks of the sender beyond the token: address, header, Basic, HMAC; each right, wrong and missing, over HTTP."""

import base64
import gzip
import hashlib
import hmac
import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import psycopg
import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from app.accounts import store
from app.accounts.version import bump_version
from app.accounts.writing import AccountError
from app.administration.platforms import get_platform
from app.config import load_settings
from app.crypto import Vault, new_callback_token
from app.ingest.sender_checks import CREDENTIALS, NEEDS, SETTING_CHECKS, SETTINGS, is_sealed
from app.ingest.writer import Writer
from app.main import create_app
from app.processing.work import Worker
from app.providers import PROVIDERS
from tests.ingest.test_receiver import SECRET, Service, assert_problem, item, serving
from tests.whole import served_whole

WEGROUP = get_platform("wegroup")
VALUE, PASSWORD, KEY = "kopfwert-Grünspecht", "paßwort: mit Doppelpunkt", "schlüssel-zum-üben"
WIDE = "Łódź-€"  # has letters that Latin-1 has not
LEAD = json.dumps({"id": "lead-1", "event": "lead.updated", "prospect": {"first_name": "Lotte"}}).encode()

ITEM, FORGED = json.dumps(item()).encode(), json.dumps(item(secret="geraten")).encode()
Options = dict[str, Any]

BY_NETWORK: Options = {"settings": [("sender_networks", "198.51.100.0/24, 2001:db8::/32")]}
BY_HEADER: Options = {
    "settings": [("sender_header", "X-Callbox-Sender")],
    "credentials": [("sender_header_value", "der alte"), ("sender_header_value", VALUE)],
}
BY_LOGIN: Options = {
    "settings": [("sender_user", "wegroup")],
    "credentials": [("sender_password", "das alte"), ("sender_password", PASSWORD)],
}
BY_WIDE_HEADER: Options = {**BY_HEADER, "credentials": [("sender_header_value", WIDE)]}
BY_WIDE_LOGIN: Options = {**BY_LOGIN, "credentials": [("sender_password", WIDE)]}
BY_HMAC: Options = {
    "settings": [("sender_hmac_header", "X-Hub-Signature"), ("sender_hmac_prefix", "sha256=")],
    "credentials": [("sender_hmac_key", "der alte"), ("sender_hmac_key", KEY)],
}
BY_HMAC_IN_BASE64: Options = {
    "settings": [
        ("sender_hmac_header", "X-Signature"),
        ("sender_hmac_algorithm", "sha512"),
        ("sender_hmac_encoding", "base64"),
    ],
    "credentials": [("sender_hmac_key", KEY)],
}


def post(client: TestClient, path: str, body: bytes, headers: Mapping[str, bytes] | None = None) -> Any:
    wire = [(name.encode(), value) for name, value in (headers or {}).items()]
    return client.post(path, content=body, headers=wire)


def basic(user: str, password: str, encoding: str = "utf-8") -> dict[str, bytes]:
    login = base64.b64encode(f"{user}:{password}".encode(encoding))
    return {"Authorization": b"Basic " + login}


def signature(body: bytes, key: str = KEY, prefix: str = "sha256=") -> dict[str, bytes]:
    return {"X-Hub-Signature": (prefix + hmac.new(key.encode(), body, "sha256").hexdigest()).encode()}


def long_signature(body: bytes, key: str = KEY) -> dict[str, bytes]:
    return {"X-Signature": base64.b64encode(hmac.new(key.encode(), body, "sha512").digest())}


def proxied(address: str) -> dict[str, bytes]:
    return {"X-Forwarded-For": address.encode()}


HEADER = "X-Callbox-Sender"
GOOD: list[tuple[Options, Mapping[str, bytes]]] = [
    (BY_NETWORK, proxied("198.51.100.7")),
    (BY_NETWORK, proxied("203.0.113.66, 198.51.100.7")),
    (BY_NETWORK, proxied("2001:db8::17")),
    (BY_NETWORK, proxied("::ffff:198.51.100.7")),
    (BY_HEADER, {HEADER: VALUE.encode()}),
    (BY_HEADER, {HEADER.lower(): b"der alte"}),
    (BY_LOGIN, basic("wegroup", PASSWORD)),
    (BY_LOGIN, basic("wegroup", PASSWORD, "latin-1")),
    (
        BY_LOGIN,
        {"Authorization": basic("wegroup", "das alte")["Authorization"].replace(b"Basic", b"bAsIc").rstrip(b"=")},
    ),
    (BY_WIDE_HEADER, {HEADER: WIDE.encode()}),
    (BY_WIDE_LOGIN, basic("wegroup", WIDE)),
    (BY_HMAC, signature(LEAD)),
    (BY_HMAC, signature(LEAD, "der alte")),
    (BY_HMAC, {"X-Hub-Signature": signature(LEAD)["X-Hub-Signature"].upper().replace(b"SHA256", b"sha256")}),
    (BY_HMAC_IN_BASE64, long_signature(LEAD)),
]
BAD: list[tuple[Options, Mapping[str, bytes], str]] = [
    (BY_NETWORK, {}, "networks"),
    (BY_NETWORK, proxied("198.51.101.7"), "networks"),
    (BY_NETWORK, proxied("198.51.100.7, 203.0.113.66"), "networks"),  # the left one is the sender's own claim
    (BY_NETWORK, proxied("198.51.100.7, unknown"), "networks"),
    (BY_HEADER, {}, "header"),
    (BY_HEADER, {HEADER: VALUE.encode() + b"!"}, "header"),
    (BY_HEADER, {HEADER: b""}, "header"),
    (BY_HEADER, {"X-Other": VALUE.encode()}, "header"),
    (BY_HEADER, {HEADER: b"sha256:" + b"0" * 64}, "header"),
    (BY_LOGIN, {}, "basic"),
    (BY_LOGIN, basic("wegroup", "geraten"), "basic"),
    (BY_LOGIN, basic("thinksurance", PASSWORD), "basic"),
    (BY_LOGIN, {"Authorization": b"Bearer wegroup"}, "basic"),
    (BY_LOGIN, {"Authorization": basic("wegroup", PASSWORD)["Authorization"].replace(b"Basic", b"Bearer")}, "basic"),
    (BY_LOGIN, {"Authorization": b"Basic *** no base64"}, "basic"),
    (BY_HMAC, {}, "hmac"),
    (BY_HMAC, signature(LEAD + b" "), "hmac"),
    (BY_HMAC, signature(LEAD, "geraten"), "hmac"),
    (BY_HMAC, signature(LEAD, prefix=""), "hmac"),
    (BY_HMAC, {"X-Hub-Signature": b"sha256=no hex"}, "hmac"),
    (BY_HMAC, {"X-Hub-Signature": b"sha256="}, "hmac"),
    (BY_HMAC_IN_BASE64, {"X-Signature": long_signature(LEAD)["X-Signature"][:-4]}, "hmac"),
]


@pytest.fixture
def service(database_url: str, encryption_key: str) -> Iterator[Service]:
    """The receiver behind a proxy that is trusted."""
    with serving(database_url, encryption_key, max_body_bytes=20_000, trusted_proxies="203.0.113.8/31") as service:
        yield service


def refused(service: Service) -> int:
    text = service.client.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("callbox_quarantined_deliveries_total{")]
    return sum(int(float(line.split()[-1])) for line in lines if 'reason="sender-refused"' in line)


def process(service: Service) -> None:
    processor = Worker(service.vault, PROVIDERS, ZoneInfo("UTC")).on(service.connection)
    while processor.step():
        pass


def test_who_passes_is_accepted(service: Service) -> None:
    for number, (options, headers) in enumerate(GOOD):
        path = service.add(f"good-{number}", WEGROUP, **options)
        answer = post(service.client, path, LEAD, headers)
        assert answer.status_code == 200, (options["settings"], headers, answer.text)
    process(service)
    rows = service.connection.execute("SELECT status, verdict, count(*) FROM outcomes GROUP BY 1, 2").fetchall()
    assert rows == [("accepted", "unsigned", len(GOOD))]


def test_a_header_is_known_in_each_form_that_is_sent(
    service: Service, database_url: str, encryption_key: str, tmp_path: Path
) -> None:
    """Over a socket, for Starlette's client sends UTF-8 whatever it is given."""
    path = service.add("forms", WEGROUP, **BY_HEADER)
    with served_whole(database_url, encryption_key, tmp_path) as url:
        for encoding, status in (("utf-8", 200), ("latin-1", 200), ("cp437", 401)):
            with closing(http.client.HTTPConnection(url.removeprefix("http://"))) as connection:
                connection.request("POST", path, LEAD, {HEADER: VALUE.encode(encoding)})
                assert connection.getresponse().status == status, encoding


def test_who_fails_is_kept_in_quarantine_and_answered_401(service: Service) -> None:
    before = refused(service)
    with capture_logs() as logs:
        for number, (options, headers, _) in enumerate(BAD):
            path = service.add(f"bad-{number}", WEGROUP, **options)
            answer = post(service.client, path, LEAD, headers)
            problem = assert_problem(answer, 401, "sender-refused")
            kept = service.kept()[-1]
            assert (problem["id"], answer.headers["callbox-delivery"]) == (str(kept["id"]), str(kept["id"])), headers
            assert (kept["answered"], bytes(kept["body"]), kept["waiting"]) == (401, LEAD, True)
            assert ("www-authenticate" in answer.headers) is (options is BY_LOGIN)
    assert [one["check"] for one in logs if one["event"] == "delivery.quarantined"] == [check for *_, check in BAD]
    end = time.monotonic() + 30
    while refused(service) - before < len(BAD) and time.monotonic() < end:
        time.sleep(0.05)
    assert refused(service) - before == len(BAD)
    process(service)
    outcomes = "SELECT status, reason, items, count(*) FROM outcomes GROUP BY 1, 2, 3"
    assert service.connection.execute(outcomes).fetchall() == [("quarantined", "sender-refused", [], len(BAD))]
    assert service.connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_credentials_are_stored_only_as_salted_digests(service: Service) -> None:
    secret = service.add("by-header", WEGROUP, **BY_HEADER)
    login = service.add("by-login", WEGROUP, **BY_LOGIN)
    plain = service.add("plain", WEGROUP)
    for path in (secret, secret, login, plain):
        shown = basic("wegroup", PASSWORD)
        shown |= {"Proxy-Authorization": shown["Authorization"], HEADER: VALUE.encode(), "X-Other": b"kept"}
        assert post(service.client, path, LEAD, shown).status_code == 200
    stored = [dict(orjson.loads(kept["headers"])) for kept in service.kept()]
    word = HEADER.lower()
    assert all(headers["x-other"] == "kept" for headers in stored)
    assert all(headers["authorization"].startswith("Basic sha256:") for headers in stored)
    assert all(is_sealed(headers["proxy-authorization"]) for headers in stored)
    assert [is_sealed(headers[word]) for headers in stored] == [True, True, False, False]
    assert stored[0][word] != stored[1][word], "salted"


def test_all_checks_of_a_source_must_be_passed(service: Service) -> None:
    both: Options = {key: BY_HEADER.get(key, []) + BY_HMAC.get(key, []) for key in ("settings", "credentials")}
    path = service.add("both", WEGROUP, **both)
    header, signed = {HEADER: VALUE.encode()}, signature(LEAD)
    statuses = [post(service.client, path, LEAD, one).status_code for one in (header, signed)]
    assert statuses == [401, 401]
    assert post(service.client, path, LEAD, {**header, **signed}).status_code == 200
    assert service.client.get(path).status_code == 204, "a probe brings nothing and is asked for nothing"


def test_the_hmac_is_over_the_bytes_as_they_came(service: Service) -> None:
    path = service.add("packed", WEGROUP, **BY_HMAC)
    sent = gzip.compress(LEAD)
    gzipped = {"Content-Encoding": b"gzip"}
    assert post(service.client, path, sent, {**gzipped, **signature(sent)}).status_code == 200
    assert post(service.client, path, sent, {**gzipped, **signature(LEAD)}).status_code == 401
    bomb = gzip.compress(b" " * 30_000)
    assert_problem(post(service.client, path, bomb, gzipped), 413, "body-too-large")
    large = json.dumps({"id": "lead-2", "origin": "x" * 15_000}).encode()
    assert post(service.client, path, large, signature(large)).status_code == 200
    assert post(service.client, path, b"no json", signature(b"no json")).status_code == 202


def test_a_signed_item_of_a_refused_sender_waits_too(service: Service) -> None:
    """The one 401 is told from the other by what is stored."""
    path = service.add("strict", get_platform("thinksurance"), secrets=[SECRET], **BY_NETWORK)
    inside = proxied("198.51.100.7")
    assert post(service.client, path, ITEM, inside).status_code == 200
    assert_problem(post(service.client, path, ITEM), 401, "sender-refused")
    service.prove("strict")
    assert_problem(post(service.client, path, FORGED, inside), 401, "invalid-signature")
    assert_problem(post(service.client, path, FORGED), 401, "sender-refused")
    store.set_source(
        service.connection, service.vault, get_platform("thinksurance"), "strict", settings=[("sender_networks", "")]
    )
    process(service)
    rows = service.connection.execute("SELECT status, reason FROM outcomes ORDER BY delivery_id").fetchall()
    assert rows == [("accepted", None), ("accepted", None), *[("quarantined", "invalid-signature")] * 2]


def test_a_check_that_is_set_later_takes_nothing_back(service: Service) -> None:
    path = service.add("later", WEGROUP)
    assert post(service.client, path, LEAD).status_code == 200
    assert post(service.client, path, b"no json").status_code == 202
    store.set_source(service.connection, service.vault, WEGROUP, "later", **BY_NETWORK)
    for _ in range(2):
        process(service)
        rows = service.connection.execute("SELECT status, reason FROM outcomes ORDER BY delivery_id").fetchall()
        assert rows == [("accepted", None), ("quarantined", "not-json")]
        service.connection.execute("INSERT INTO inbox SELECT id, source_id FROM deliveries")


def test_a_running_receiver_follows(service: Service) -> None:
    path = service.add("followed", WEGROUP)
    assert post(service.client, path, LEAD).status_code == 200
    store.set_source(service.connection, service.vault, WEGROUP, "followed", **BY_HEADER)
    began = time.monotonic()
    while post(service.client, path, LEAD).status_code != 401:
        assert time.monotonic() - began < 30
        time.sleep(0.05)
    assert post(service.client, path, LEAD, {HEADER: VALUE.encode()}).status_code == 200


def test_without_the_database_the_same_is_asked(
    database_url: str, encryption_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts while the database is away has the checks on its own disk, and spools what it refuses."""
    monkeypatch.setattr("app.main.Writer", Writer)  # which goes over to the spool soon
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    vault = Vault(encryption_key)
    with psycopg.connect(database_url, autocommit=True) as connection:
        added = store.add_source(connection, vault, WEGROUP, "spooled", **BY_LOGIN)
    path = f"/callbacks/wegroup/{added.token.token}"
    with tempfile.TemporaryDirectory() as folder:

        def client(url: str) -> TestClient:
            settings = load_settings(database_url=url, encryption_key=encryption_key, data_dir=folder)
            return TestClient(create_app(settings), client=("203.0.113.9", 4711))

        with client(database_url):
            pass  # the accounts are on the disk now
        with client(away) as alone:
            assert_problem(post(alone, path, LEAD), 401, "sender-refused")
            assert_problem(post(alone, path, LEAD, basic("wegroup", "x")), 401, "sender-refused")
            assert post(alone, path, LEAD, basic("wegroup", PASSWORD)).status_code == 200
        with client(database_url), psycopg.connect(database_url, autocommit=True) as connection:
            end = time.monotonic() + 60
            while connection.execute("SELECT count(*) FROM deliveries").fetchone() != (3,):
                assert time.monotonic() < end
                time.sleep(0.05)
            processor = Worker(vault, PROVIDERS, ZoneInfo("UTC")).on(connection)
            while processor.step():
                pass
            rows = connection.execute("SELECT status, reason FROM outcomes ORDER BY delivery_id").fetchall()
    assert rows == [("quarantined", "sender-refused")] * 2 + [("accepted", None)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sender_networks", "198.51.100.0/33"),
        ("sender_networks", " , "),
        ("sender_header", "X Callbox"),
        ("sender_user", "a:b"),
        ("sender_hmac_algorithm", "md5"),
        ("sender_hmac_encoding", "HEX"),
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, value: str, database_url: str, vault: Vault) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection, pytest.raises(AccountError) as caught:
        store.add_source(connection, vault, WEGROUP, "odd", settings=[(name, value)])
    assert caught.value.field == "setting"


def test_half_a_check_is_refused(database_url: str, vault: Vault) -> None:
    assert set(NEEDS) | set(NEEDS.values()) == (SETTINGS | CREDENTIALS) - {"sender_networks"}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for options in (BY_HEADER, BY_LOGIN, BY_HMAC):
            for part in options:
                with pytest.raises(AccountError, match="give both or neither"):
                    store.add_source(connection, vault, WEGROUP, "half", **{part: options[part]})
        store.add_source(connection, vault, WEGROUP, "whole", **BY_HEADER)
        with pytest.raises(AccountError, match="sender_header_value"):
            store.set_source(connection, vault, WEGROUP, "whole", credentials=[("sender_header_value", "")])
        gone: Options = {"settings": [("sender_header", "")], "credentials": [("sender_header_value", "")]}
        store.set_source(connection, vault, WEGROUP, "whole", **gone)
        assert connection.execute("SELECT settings FROM sources").fetchall() == [({},)]


def test_a_lost_secret_opens_no_door(service: Service) -> None:
    """`secrets reset` gives up what the key does not open; the check stays, and nobody passes it."""
    path = service.add("lost", WEGROUP, **BY_HMAC)
    service.connection.execute("DELETE FROM source_credentials")
    bump_version(service.connection)
    service.client.post("/callbacks/wegroup/" + new_callback_token())  # has the accounts read again
    empty = {"X-Hub-Signature": b"sha256=" + hmac.new(b"", LEAD, hashlib.sha256).hexdigest().encode()}
    for headers in ({}, signature(LEAD), empty):
        assert post(service.client, path, LEAD, headers).status_code == 401


def test_each_setting_that_is_not_free_text_is_checked() -> None:
    assert set(SETTING_CHECKS) == SETTINGS - {"sender_hmac_prefix"}
