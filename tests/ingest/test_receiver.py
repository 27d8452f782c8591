"""The table "Answers of the receiver", each row with what is answered and what is kept; wrong input of each kind."""

import asyncio
import gzip
import hashlib
import json
import tempfile
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
import psycopg
import pytest
from starlette.testclient import TestClient

from app import metrics
from app.accounts import store
from app.accounts.model import Accounts, Mode, Token
from app.accounts.snapshot import AccountsUnavailableError
from app.accounts.version import mark_recipe_proven
from app.accounts.writing import Platform
from app.config import load_settings
from app.crypto import Vault, new_callback_token, sha256
from app.ids import IdSource
from app.ingest.contract import Findings, Item, Reason, Source, Verdict
from app.ingest.judged import unpack
from app.ingest.receiver import Limits, Receiver
from app.ingest.senders import parse_networks
from app.ingest.writer import Writer
from app.main import Callbox, create_app
from app.problems import SCHEMA
from tests.ingest.test_keeping import Database

SECRET = "ein-geheimnis-zum-ueben"
SIGNED = Platform("thinksurance", check_recipe=lambda _: None)


def item(inquiry: int = 2900418, secret: str | None = SECRET) -> dict[str, Any]:
    """Return an item of an invented broker, signed by the default recipe unless `secret` is None."""
    data = {"bToken": "7c21be90a4f35d6812ee04b9a", "bExternalId": "42", "iId": inquiry, "status": 6}
    made: dict[str, Any] = {"data": data, "customer": {"cId": 511210, "cCompany": "Tischlerei Beispiel GmbH"}}
    if secret is not None:
        text = f"{data['bToken']}{inquiry}{secret}"
        made["sHash"] = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return made


NOTIFICATION = {
    "eventType": "InquiryOrdered",
    "eventTime": "2025-03-09T10:01:02.345Z",
    "eventId": "",
    "notificationId": "5b0c1a9e-2f47-11f0-8d1b-0242ac120002",
    "accountReference": "musterpool",
    "brokerReference": "42",
    "affected": [{"referenceType": "inquiry", "referenceId": "2900418"}],
}


class Service:
    """The running application with two sources, and a look into its database."""

    def __init__(self, client: TestClient, connection: psycopg.Connection[Any], vault: Vault) -> None:
        self.client = client
        self.connection = connection
        self.vault = vault
        self.path = self.add("pool", SIGNED, secrets=[SECRET])

    def add(self, name: str, platform: Platform = SIGNED, **options: Any) -> str:
        """Make a source and return its callback path."""
        added = store.add_source(self.connection, self.vault, platform, name, **options)
        return f"/callbacks/{platform.name}/{added.token.token}"

    def prove(self, name: str = "pool") -> None:
        """Have the recipe of a source matched once."""
        row = self.connection.execute("SELECT id FROM sources WHERE name = %s", (name,)).fetchone()
        assert row
        mark_recipe_proven(self.connection, row[0])
        self.client.post("/callbacks/thinksurance/" + new_callback_token())  # an unknown token has it read again

    def kept(self) -> list[dict[str, Any]]:
        """Return all deliveries in order, with whether they are in the inbox."""
        with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute(
                "SELECT d.*, EXISTS (SELECT FROM inbox WHERE delivery_id = d.id) AS waiting"
                " FROM deliveries d ORDER BY id"
            ).fetchall()


@contextmanager
def serving(database_url: str, encryption_key: str, **settings: Any) -> Iterator[Service]:
    with (
        tempfile.TemporaryDirectory() as folder,
        TestClient(
            create_app(
                load_settings(database_url=database_url, encryption_key=encryption_key, data_dir=folder, **settings)
            ),
            client=("203.0.113.9", 4711),
        ) as client,
        psycopg.connect(database_url, autocommit=True) as connection,
    ):
        yield Service(client, connection, Vault(encryption_key))


@pytest.fixture
def service(database_url: str, encryption_key: str) -> Iterator[Service]:
    with serving(database_url, encryption_key, max_body_bytes=20_000) as service:
        yield service


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """See that an answer is a whole problem that says nothing secret."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(SCHEMA["required"]) <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response.headers["x-request-id"]
    assert "cbt_" not in response.text
    return body


def test_an_accepted_item(service: Service) -> None:
    sent = json.dumps(item()).encode()
    answer = service.client.post(service.path, content=sent, headers={"Content-Type": "application/json", "X-A": "b"})
    assert answer.status_code == 200
    (kept,) = service.kept()
    assert answer.json() == {"id": str(kept["id"]), "status": "accepted", "items": {"accepted": 1, "quarantined": 0}}
    assert answer.headers["callbox-delivery"] == str(kept["id"])
    assert answer.headers["x-request-id"]
    assert bytes(kept["body"]) == sent
    assert kept["body_sha256"] == hashlib.sha256(sent).digest()
    assert (kept["answered"], kept["verdict"], kept["via"], kept["method"]) == (200, Verdict.VERIFIED.rank, 0, 0)
    assert unpack(kept["judged"]) == [(Verdict.VERIFIED, False)]
    assert kept["remote_addr"] == b"203.0.113.9"
    assert kept["size"] == len(sent)
    assert kept["waiting"]
    assert ["content-type", "application/json"] in orjson.loads(kept["headers"])
    assert ["x-a", "b"] in orjson.loads(kept["headers"])
    assert kept["received_at"] == kept["received_at"].replace(
        microsecond=kept["received_at"].microsecond // 1000 * 1000
    )


def test_the_forms_of_the_url(service: Service) -> None:
    forms = [
        (method, suffix) for method in ("POST", "PUT", "PATCH") for suffix in ("", "/", "%2F", "?a=1&token=x", "/?a=1")
    ]
    for method, suffix in forms:
        answer = service.client.request(method, service.path + suffix, json=item(), follow_redirects=False)
        assert answer.status_code == 200, (method, suffix)
    kept = [(("POST", "PUT", "PATCH")[one["method"]], one["query"].decode()) for one in service.kept()]
    assert kept == [(method, suffix.partition("?")[2]) for method, suffix in forms]
    joined = f"http://testserver/{service.path}"  # as of a CALLBOX_PUBLIC_URL that ends with a slash
    assert service.client.post(joined, json=item()).status_code == 200


def test_a_signed_form(service: Service) -> None:
    """In a form a `+` is a blank, so that one of a signature in base64 must come as `%2B`."""
    path = service.add("forms", secrets=[SECRET], recipe={"encoding": "base64"})
    for inquiry in count(1):
        data = item(inquiry)["data"]
        text = f"{data['bToken']}{inquiry}{SECRET}".encode()
        signature = b64encode(hashlib.md5(text, usedforsecurity=False).digest()).decode()
        if "+" in signature:
            break
    form = urlencode({"sHash": signature, **{f"data[{name}]": value for name, value in data.items()}})
    for body, status in ((form, 200), (form.replace("%2B", "+"), 401)):
        answer = service.client.post(path, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert answer.status_code == status
        service.prove("forms")
    assert [Verdict.VERIFIED.rank, Verdict.INVALID.rank] == [one["verdict"] for one in service.kept()]


def test_some_items_accepted(service: Service) -> None:
    answer = service.client.post(service.path, json={"1": item(1), "2": item(2, "falsch"), "3": item(3, None)})
    assert answer.status_code == 200
    assert answer.json()["items"] == {"accepted": 1, "quarantined": 2}
    (kept,) = service.kept()
    assert kept["verdict"] == Verdict.INVALID.rank
    assert unpack(kept["judged"]) == [(Verdict.VERIFIED, False), (Verdict.INVALID, True), (Verdict.UNSIGNED, True)]


def test_a_notification(service: Service) -> None:
    answer = service.client.post(service.path, json=NOTIFICATION)
    assert (answer.status_code, answer.content) == (204, b"")
    (kept,) = service.kept()
    assert answer.headers["callbox-delivery"] == str(kept["id"])
    assert (kept["answered"], kept["waiting"]) == (204, True)


def test_what_is_not_understood_is_kept(service: Service) -> None:
    cases: list[tuple[bytes, Reason | None]] = [
        (b"", Reason.NOTHING_IN_IT),
        (b"iId=1", Reason.NOT_JSON),
        (b'{"a": 1} trailing', Reason.NOT_JSON),
        (b"\xff\xfe\x00", Reason.NOT_JSON),
        (b"[" * 19_000, None),
        (b'{"something": "else"}', Reason.UNKNOWN_SHAPE),
        (b"42", Reason.UNKNOWN_SHAPE),
        (b"{}", Reason.NOTHING_IN_IT),
        (b"[]", Reason.NOTHING_IN_IT),
    ]
    for content, reason in cases:
        answer = service.client.post(service.path, content=content)
        assert answer.status_code == 202, content[:50]
        kept = service.kept()[-1]
        assert answer.json()["id"] == str(kept["id"]) == answer.headers["callbox-delivery"]
        assert answer.json()["status"] == "quarantined"
        assert reason is None or answer.json()["reason"] == reason, content[:50]
        assert bytes(kept["body"]) == content
        assert (kept["answered"], kept["waiting"], kept["judged"]) == (202, True, b"")
    assert len(service.kept()) == len(cases)


@pytest.mark.parametrize("secret", ["falsch", None])
def test_a_wrong_signature_before_and_after_the_recipe_is_proven(service: Service, secret: str | None) -> None:
    before = service.client.post(service.path, json=item(1, secret))
    assert before.status_code == 202
    assert before.json()["reason"] == Reason.SIGNATURE_UNPROVEN
    service.prove()
    after = service.client.post(service.path, json=[item(1, secret), item(2, secret)])
    problem = assert_problem(after, 401, "invalid-signature")
    first, second = service.kept()
    assert problem["id"] == str(second["id"]) == after.headers["callbox-delivery"]
    assert (first["answered"], second["answered"]) == (202, 401)
    assert all(quarantined for _, quarantined in unpack(second["judged"]))


def test_a_mode_that_only_observes_accepts_a_wrong_signature(service: Service) -> None:
    path = service.add("watched", secrets=[SECRET], mode=Mode.OBSERVE)
    assert service.client.post(path, json=item(1, "falsch")).status_code == 200


def test_a_probe_keeps_nothing(service: Service) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = service.client.request(method, service.path)
        assert (answer.status_code, answer.content) == (204, b"")
    assert not service.kept()


def test_other_methods(service: Service) -> None:
    for method in ("DELETE", "TRACE", "PROPFIND"):
        answer = service.client.request(method, service.path)
        assert_problem(answer, 405, "method-not-allowed")
        assert set(answer.headers["allow"].split(", ")) == {"POST", "PUT", "PATCH", "GET", "HEAD", "OPTIONS"}


def test_an_unknown_token(service: Service) -> None:
    for method in ("POST", "PUT", "PATCH", "GET", "OPTIONS", "DELETE"):
        answer = service.client.request(method, f"/callbacks/thinksurance/{new_callback_token()}")
        assert_problem(answer, 404, "unknown-callback")
    assert service.client.head(f"/callbacks/thinksurance/{new_callback_token()}").status_code == 404
    assert not service.kept()


def test_other_tokens_that_are_unknown(service: Service) -> None:
    token = service.path.rpartition("/")[2]
    revoked = service.add("revoked")
    store.disable_source(service.connection, "revoked")
    for path in (
        f"/callbacks/wegroup/{token}",
        f"/callbacks/nobody/{token}",
        f"/callbacks/thinksurance/{token}/more",
        f"/callbacks/thinksurance/{token[:-1]}",
        "/callbacks/thinksurance/",
        "/callbacks/",
        "/callbacks/thinksurance/%F0%9F%92%A9",
        revoked,
    ):
        problem = assert_problem(service.client.post(path, json=item()), 404, "unknown-callback")
        assert token[4:-2] not in problem["instance"]
    assert not service.kept()


def test_when_a_token_was_used_last_is_noted(database_url: str, encryption_key: str) -> None:
    with serving(database_url, encryption_key) as service:
        unused = service.add("unused")
        assert service.client.post(service.path, json=item()).status_code == 200
        assert service.client.post(unused + "x", json=item()).status_code == 404
    with psycopg.connect(database_url) as connection:
        used = connection.execute(
            "SELECT s.name FROM source_tokens t JOIN sources s ON s.id = t.source_id WHERE t.last_used_at IS NOT NULL"
        )
        assert used.fetchall() == [("pool",)]


def test_a_token_made_a_moment_ago_is_known_at_once(service: Service) -> None:
    assert service.client.post(service.add("fresh", Platform("wegroup")), json={}).status_code == 202


def test_a_body_too_large(service: Service) -> None:
    assert service.client.post(service.path, content=b"1" * 20_000).status_code == 202
    answers = [
        service.client.post(service.path, content=b"1" * 20_001),
        service.client.post(service.path, content=iter([b"1" * 15_000, b"1" * 15_000])),
        service.client.post(service.path, content=gzip.compress(bytes(20_001)), headers={"Content-Encoding": "gzip"}),
    ]
    for answer in answers:
        assert_problem(answer, 413, "body-too-large")
        assert "20000 bytes" in answer.json()["detail"]
        assert answer.headers["connection"].lower() == "close"
    assert len(service.kept()) == 1


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_read_and_kept_as_it_came(
    service: Service, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    sent = pack(json.dumps(item()).encode())
    answer = service.client.post(service.path, content=sent, headers={"Content-Encoding": encoding})
    assert answer.status_code == 200
    (kept,) = service.kept()
    assert bytes(kept["body"]) == sent
    assert kept["size"] == len(sent)


def test_a_broken_or_unknown_encoding_is_kept(service: Service) -> None:
    for number, encoding in enumerate(("gzip", "deflate", "br"), start=1):
        answer = service.client.post(service.path, json=item(), headers={"Content-Encoding": encoding})
        assert answer.status_code == 202
        assert answer.json()["reason"] == Reason.NOT_JSON
        assert len(service.kept()) == number


def test_a_large_body_is_judged_aside(database_url: str, encryption_key: str) -> None:
    with serving(database_url, encryption_key) as service:
        many = {str(number): item(number) for number in range(1, 2001)}
        answer = service.client.post(service.path, json=many)
        assert answer.json()["items"] == {"accepted": 2000, "quarantined": 0}


def test_proxies_are_believed_by_settings(database_url: str, encryption_key: str) -> None:
    with serving(database_url, encryption_key, trusted_proxies="203.0.113.0/24") as service:
        service.client.post(service.path, json=item(), headers={"X-Forwarded-For": "6.6.6.6, 198.51.100.1"})
        assert service.kept()[0]["remote_addr"] == b"198.51.100.1"


def test_a_request_id_is_taken_over(service: Service) -> None:
    answer = service.client.post(service.path, json=item(), headers={"X-Request-Id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"


def test_the_openapi_document_knows_the_receiver(service: Service) -> None:
    path = service.client.get("/openapi.json").json()["paths"]["/callbacks/{provider}/{token}"]
    assert set(path) == {"parameters", "post", "put", "patch"}
    assert {"200", "202", "204", "401", "404", "405", "413", "503"} == set(path["post"]["responses"])


def store_delivery(connection: psycopg.Connection[Any], delivery_id: UUID) -> None:
    """Store a delivery that nobody sent."""
    connection.execute(
        "INSERT INTO deliveries (id, source_id, received_at, via, method, answered, verdict, size, judged,"
        " body_sha256, remote_addr, query, headers, body)"
        " VALUES (%s, %s, now(), 0, 0, 200, 0, 0, '', '', '', '', '', '')",
        (delivery_id, UUID(int=1)),
    )


def test_ids_go_on_above_the_last_one_stored(database_url: str, encryption_key: str) -> None:
    """As after a restart with a clock that was set back."""
    ahead = UUID("0fffffff-0000-7000-8000-000000000000")
    with psycopg.connect(database_url, autocommit=True) as connection:
        store_delivery(connection, ahead)
    with serving(database_url, encryption_key) as service:
        assert UUID(service.client.post(service.path, json=item()).json()["id"]) > ahead


def test_ids_go_on_above_the_last_one_stored_once_the_database_can_be_asked(
    database_url: str, server_url: str, encryption_key: str, tmp_path: Path
) -> None:
    ahead, database = UUID("0fffffff-0000-7000-8000-000000000000"), Database(database_url, server_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        store_delivery(connection, ahead)
        added = store.add_source(connection, Vault(encryption_key), SIGNED, "pool")
    path = f"/callbacks/thinksurance/{added.token.token}"
    settings = load_settings(database_url=database_url, encryption_key=encryption_key, data_dir=tmp_path)
    with ExitStack() as stack:
        with database.away():
            client = stack.enter_context(TestClient(create_app(settings)))
            assert client.post(path, json=item()).status_code == 503
        end = time.monotonic() + 60
        while True:
            answer = client.post(path, json=item())
            if answer.status_code == 200 and UUID(answer.json()["id"]) > ahead:
                break
            assert time.monotonic() < end
            time.sleep(0.1)


# --- Without FastAPI: what is hard to bring about in a running application ---------------------------------------


class _Book:
    """Accounts that are known, or cannot be asked."""

    def __init__(self, token: str, source: Source, *, away: bool = False) -> None:
        known = Token(UUID(int=5), "token-1", source)
        self.present = Accounts(sources={}, tokens={sha256(token): known}, keys={})
        self.away = away
        self.asked = 0

    async def refresh(self) -> None:
        self.asked += 1
        if self.away:
            raise AccountsUnavailableError

    def note_use(self, token_id: UUID) -> None:
        assert token_id == UUID(int=5)


class _Platform:
    """A platform whose reader does what the test says."""

    name = "wegroup"

    def __init__(self, find: Callable[[], Findings]) -> None:
        self._find = find

    def find(self, *_: Any) -> Findings:
        return self._find()

    def read(self, *_: Any) -> Any:
        raise NotImplementedError


SOURCE = Source(
    UUID(int=1), "s", "wegroup", Mode.OBSERVE, {}, recipe_proven=False, secrets=(), credentials={}, settings={}
)
TOKEN = new_callback_token()
FOUND = Findings(items=[Item(0, {}, Verdict.UNSIGNED)])


async def post(
    receiver: Receiver,
    pieces: list[bytes],
    token: str = TOKEN,
    on_piece: Callable[[int], Awaitable[None]] | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> tuple[int, dict[str, str], bytes]:
    """Send one request in pieces and return the answer."""
    sent: list[Any] = []
    coming = iter(enumerate(pieces))

    async def receive() -> Any:
        number, piece = next(coming, (None, b""))
        if number is None:
            return {"type": "http.disconnect"}
        if on_piece:
            await on_piece(number)
        return {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/callbacks/wegroup/{token}",
        "query_string": b"",
        "headers": headers,
        "client": ("203.0.113.9", 1),
    }
    await receiver(scope, receive, send)
    if not sent:
        return 0, {}, b""
    answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, sent[1]["body"]


def run(url: str, act: Callable[[Writer], Awaitable[None]], patience: float = 5) -> None:
    async def inside() -> None:
        writer = Writer(url, patience=timedelta(seconds=patience))
        writer.start()
        try:
            await act(writer)
        finally:
            await writer.close()

    asyncio.run(inside())


def receiver_with(
    writer: Writer, find: Callable[[], Findings] = lambda: FOUND, *, away: bool = False, **limits: Any
) -> tuple[Receiver, _Book]:
    book = _Book(TOKEN, SOURCE, away=away)
    return Receiver(book, {"wegroup": _Platform(find)}, writer, IdSource(), Limits(**limits)), book


NOWHERE = "postgresql://x@127.0.0.1:1/x"


def test_without_the_database_a_known_token_gets_503_and_an_unknown_one_too() -> None:
    async def act(writer: Writer) -> None:
        receiver, book = receiver_with(writer, away=True)
        status, headers, body = await post(receiver, [b"{}"])
        assert (status, headers["retry-after"], json.loads(body)["code"]) == (503, "5", "storage-unavailable")
        assert book.asked == 0
        status, headers, body = await post(receiver, [b"{}"], token=new_callback_token())
        assert (status, headers["retry-after"], json.loads(body)["code"]) == (503, "5", "accounts-unavailable")
        assert book.asked == 1

    run(NOWHERE, act, patience=0.2)


def test_a_body_that_is_announced_as_too_large_is_not_waited_for() -> None:
    async def act(writer: Writer) -> None:
        receiver, _ = receiver_with(writer, max_body_bytes=1000)
        status, _, body = await post(receiver, [], headers=[(b"content-length", b"1001")])
        assert (status, json.loads(body)["code"]) == (413, "body-too-large")

    run(NOWHERE, act)


@pytest.mark.parametrize(
    ("body", "encoding", "aside"),
    [(b"x" * 1000, b"", False), (b"x" * (1 << 20), b"", True), (gzip.compress(b"{}"), b"gzip", True)],
    ids=["small", "large", "compressed"],
)
def test_what_takes_long_to_read_holds_up_no_other_callback(
    database_url: str, body: bytes, encoding: bytes, *, aside: bool
) -> None:
    threads: list[threading.Thread] = []

    def find() -> Findings:
        threads.append(threading.current_thread())
        return FOUND

    async def act(writer: Writer) -> None:
        receiver, _ = receiver_with(writer, find)
        assert (await post(receiver, [body], headers=[(b"content-encoding", encoding)]))[0] == 200

    run(database_url, act)
    assert [thread is not threading.current_thread() for thread in threads] == [aside]


def test_a_reader_that_fails_loses_nothing(database_url: str) -> None:
    def fail() -> Findings:
        raise RecursionError("Erika Mustermann")

    async def act(writer: Writer) -> None:
        receiver, _ = receiver_with(writer, fail)
        status, _, body = await post(receiver, [b"{}"])
        assert (status, json.loads(body)["reason"]) == (202, "unknown-shape")

    run(database_url, act)


def test_an_unforeseen_error_is_a_problem_that_says_nothing() -> None:
    async def act(writer: Writer) -> None:
        receiver, book = receiver_with(writer)
        book.present = None  # type: ignore[assignment]
        status, _, body = await post(receiver, [b"{}"])
        assert (status, json.loads(body)["code"]) == (500, "internal-error")

    run(NOWHERE, act, patience=0.1)


def test_too_much_in_flight_is_refused_and_room_comes_back(database_url: str) -> None:
    async def act(writer: Writer) -> None:
        receiver, _ = receiver_with(writer, max_in_flight_bytes=100_000)
        held, go_on = asyncio.Event(), asyncio.Event()

        def in_flight() -> float:
            return next(iter(metrics.IN_FLIGHT_BYTES.collect())).samples[0].value

        async def hold(number: int) -> None:
            if number == 1:
                held.set()
                await go_on.wait()

        first = asyncio.create_task(post(receiver, [b"x" * 60_000, b"y"], on_piece=hold))
        await held.wait()
        status, headers, body = await post(receiver, [b"x" * 60_000])
        assert (status, headers["retry-after"], json.loads(body)["code"]) == (503, "5", "overloaded")
        assert headers["connection"] == "close"
        assert (await post(receiver, [b"x"]))[0] == 200
        assert in_flight() > 0
        go_on.set()
        assert (await first)[0] == 200
        assert in_flight() == 0
        for _ in range(5):  # nothing of the refused one is held
            assert (await post(receiver, [b"x" * 60_000]))[0] == 200

    run(database_url, act)


def test_requests_of_which_little_came_take_room_too(database_url: str) -> None:
    async def act(writer: Writer) -> None:
        receiver, _ = receiver_with(writer, max_in_flight_bytes=20_000)
        go_on, held = asyncio.Event(), asyncio.Semaphore(0)

        async def hold(_: int) -> None:
            held.release()
            await go_on.wait()

        waiting = [asyncio.create_task(post(receiver, [b"x"], on_piece=hold)) for _ in range(2)]
        for _ in waiting:
            await held.acquire()
        assert (await post(receiver, [b"x"]))[0] == 503
        go_on.set()
        assert [status for status, *_ in await asyncio.gather(*waiting)] == [200, 200]

    run(database_url, act)


def test_a_sender_that_goes_away_leaves_nothing(database_url: str) -> None:
    async def act(writer: Writer) -> None:
        receiver, _ = receiver_with(writer, max_in_flight_bytes=100_000)

        async def disconnect(number: int) -> None:
            if number == 1:
                raise ConnectionResetError

        assert (await post(receiver, []))[0] == 0
        for _ in range(5):
            assert (await post(receiver, [b"x" * 60_000, b"y"], on_piece=disconnect))[0] == 500
        assert (await post(receiver, [b"x" * 60_000]))[0] == 200

    run(database_url, act)


def test_trusted_networks_are_read_from_settings() -> None:
    assert [str(network) for network in parse_networks("10.1.2.3/8, ::1, ")] == ["10.0.0.0/8", "::1/128"]


def test_the_application_needs_a_resolved_database() -> None:
    with pytest.raises(ValueError, match="DATABASE_URL"):
        create_app(load_settings())


def test_an_asgi_application_is_given() -> None:
    key = "A" * 43
    assert isinstance(create_app(load_settings(database_url=NOWHERE, encryption_key=key)), Callbox)
