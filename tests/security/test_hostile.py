"""Odd and hostile input over real HTTP: nothing of it ends a process, none is lost, and each is processed.

`-s` shows the most memory that the receiver ever held. Bodies without end and their time are in tests/server.
"""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from app.accounts.model import Mode, Scope
from tests.security.hostile import LIMIT, Body, bodies
from tests.security.service import Answer, Service, running

pytestmark = pytest.mark.process

AT_ONCE = 4
MOST_RECEIVER_BYTES = 800 << 20
"""What two of the worst bodies at once, 64 MB of bodies in flight and the program itself may come to."""

BOMBS = {"bomb", "bomb-in-a-bomb", "deflate-bomb"}


class Bench(NamedTuple):
    """A service with a source of each platform."""

    service: Service
    tokens: dict[str, str]
    admin: str
    receiver: int
    slow: list[socket.socket]

    def path(self, provider: str) -> str:
        """Return the path of a callback URL."""
        return f"/callbacks/{provider}/{self.tokens[provider]}"


class Kept(NamedTuple):
    """A delivery, and the bytes that were sent."""

    name: str
    delivery_id: str
    content: bytes


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with running() as service:
        tokens = {
            "thinksurance": service.add_source("thinksurance", "observed", Mode.OBSERVE),
            "wegroup": service.add_source("wegroup", "leads"),
        }
        admin = service.add_key("admin", Scope.READ, Scope.READ_PERSONAL, Scope.ADMIN)
        bench = Bench(service, tokens, admin, service.receiver(), [])
        with ExitStack() as slow:
            for _ in range(50):  # who hang about while all else is tested
                bench.slow.append(slow.enter_context(dial(service.port, 60)))
                bench.slow[-1].sendall(request_of(bench)[:-80])
            yield bench
        assert b"request.failed" not in service.said()["stderr"]
        assert b"process.died" not in service.said()["stderr"]


def test_every_body_is_kept_as_it_came_and_processed(bench: Bench) -> None:
    service, turn = bench.service, cycle(bench.tokens)  # a large one goes to one platform, by turns

    def send(pair: tuple[str, Body]) -> tuple[str, Body, Answer]:
        provider, body = pair
        headers = {"Content-Encoding": body.encoding} if body.encoding else {}
        return provider, body, service.ask("POST", bench.path(provider), body.content, headers)

    pairs = []
    for body in bodies():
        either = [next(turn)] if len(body.content) > 1 << 20 else list(bench.tokens)
        pairs += [(provider, body) for provider in either]
    with ThreadPoolExecutor(AT_ONCE) as senders:
        sent = list(senders.map(send, pairs))
    kept = []
    for provider, body, answer in sent:
        if body.name in BOMBS:
            assert answer.status == 413, (provider, body.name)
            continue
        assert answer.status in {200, 202, 204}, (provider, body.name, answer)
        kept.append(Kept(f"{body.name} to {provider}", answer.headers["callbox-delivery"], body.content))
    service.await_processed()
    check_kept(bench, kept)
    check_readable(bench)
    most = most_memory(bench.receiver)
    print(f"{len(kept)} hostile bodies, at most {most >> 20} MiB in the receiver")  # noqa: T201 - the figure asked for
    assert most < MOST_RECEIVER_BYTES


def check_kept(bench: Bench, kept: list[Kept]) -> None:
    """See that each has its bytes and was processed."""
    listed = {row["id"]: row for row in walk(bench, "deliveries")}
    for name, delivery_id, content in kept:
        assert bench.service.get(f"/v1/deliveries/{delivery_id}/body", bench.admin).body == content, name
        shown = listed[delivery_id]
        assert shown["status"] in {"accepted", "partial", "quarantined"}, name
        assert shown["reason"] != "processing-failed", name
        assert "processing-failed" not in {item["reason"] for item in shown["items"]}, name


def walk(bench: Bench, resource: str) -> Iterator[dict[str, Any]]:
    """Give all there is of a resource."""
    target = f"/v1/{resource}?limit=500"
    while target:
        page = bench.service.get(target, bench.admin)
        assert page.status == 200, (target, page.body[:300])
        yield from page.json["data"]
        cursor = page.json["next_cursor"]
        target = f"/v1/{resource}?limit=500&cursor={cursor}" if cursor else ""


def check_readable(bench: Bench) -> None:
    """See that what came of them can be asked for."""
    for resource in ("events", "inquiries", "customers", "documents", "leads"):
        assert list(walk(bench, resource)), resource
    for target in ("/v1/search?q=beispiel", "/v1/stats/inquiries?group_by=status", "/v1/export/events.ndjson"):
        assert bench.service.get(target, bench.admin).status == 200, target


QUESTIONS = [
    "/v1/customers?last_name=%00",
    "/v1/customers?last_name=a%00b&last_name[prefix]=%00",
    "/v1/customers?last_name=%ED%A0%80",
    "/v1/customers?last_name=%FF%FE",
    "/v1/customers?last_name[in]=" + "x," * 8000,
    "/v1/customers?last_name=" + "x" * 30_000,
    "/v1/search?q=%00",
    "/v1/search?q=" + "%27%22%5C%26%7C%21%3A%2A" * 20,
    "/v1/search?q=" + "a+" * 8000,
    "/v1/leads?lead_id=%00&lead_id[in]=%00,%00",
    "/v1/inquiries?inquiry_id=" + "9" * 400,
    "/v1/inquiries?inquiry_id[gte]=-1e400",
    "/v1/inquiries?inquiry_id=%D9%A7",
    "/v1/inquiries?premium_yearly_cents[gt]=NaN",
    "/v1/inquiries?created_on=99999-01-01",
    "/v1/deliveries?received_at[gte]=-999999999999h",
    "/v1/deliveries?received_at[lt]=9999-12-31T23:59:59%2B14:00",
    "/v1/deliveries?received_at[lt]=0001-01-01T00:00:00-14:00",
    "/v1/deliveries?limit=" + "9" * 400,
    "/v1/deliveries?cursor=" + "A" * 20_000,
    "/v1/deliveries?cursor=%00",
    "/v1/deliveries?%00=1",
    "/v1/deliveries?" + "a=1&" * 5000,
    "/v1/deliveries/%00",
    "/v1/deliveries/..%2F..%2Fetc%2Fpasswd/body",
    "/v1/deliveries/" + "9" * 20_000,
    "/v1/sources/%00",
    "/v1/sources/%ED%A0%80",
    "/v1/sources/a%2Fb",
    "/v1/stats/inquiries?bucket=hour&from=0001-01-01&tz=%00",
    "/v1/stats/deliveries?bucket=hour&received_at[gte]=0001-01-01T00:00:00Z",
    "/v1/export/events.%00",
    "/v1/events/stream?cursor=%00",
    "/%00",
    "//",
    "/v1//deliveries",
    "/v1/%2e%2e/%2e%2e/etc/passwd",
]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question[:40])
def test_odd_questions_are_answered(bench: Bench, question: str) -> None:
    answer = bench.service.get(question, bench.admin)
    assert answer.status < 500, answer.body[:300]
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("key", ["", "cbx_", "Bearer", "\xff" * 50, "cbx_" + "\xe9" * 43, "x" * 20_000])
def test_odd_keys_are_refused(bench: Bench, key: str) -> None:
    assert bench.service.get("/v1/deliveries", key).status == 401


PATHS = [
    ("/callbacks%2F{provider}%2F{token}", {200, 404}),
    ("/callbacks/{provider}%2F{token}", {200, 404}),
    ("/callbacks/{provider}/{token}%2F", {200, 404}),
    ("/callbacks/{provider}/{token}%00", {404}),
    ("/callbacks/{provider}/%ED%A0%80", {404}),
    ("/callbacks/{provider}/%FF", {404}),
    ("/callbacks/{provider}/..%2F{token}", {404}),
    ("/callbacks/{provider}/../{provider}/{token}", {404}),
    ("/callbacks/%00/{token}", {404}),
    ("/callbacks/{provider}/" + "x" * 30_000, {404}),
    ("/callbacks/", {404}),
    ("/callbacks/{provider}/{token}/?" + "x=%00&" * 3000, {200}),
    ("/callbacks/{provider}/{token}#fragment", {200, 400, 404}),
]


@pytest.mark.parametrize(("path", "statuses"), PATHS, ids=[path[:50] for path, _ in PATHS])
def test_odd_paths_of_callbacks(bench: Bench, path: str, statuses: set[int]) -> None:
    target = path.replace("{provider}", "wegroup").replace("{token}", bench.tokens["wegroup"])
    assert bench.service.ask("POST", target, b'{"id": "lead-1", "first_name": "x"}').status in statuses


# --- Below HTTP's manners: what a connection may send ----------------------------------------------------------------


def dial(port: int, patience_s: float) -> socket.socket:
    """Return a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=patience_s)


def talk(port: int, *pieces: bytes, patience_s: float = 90.0) -> bytes:
    """Send pieces on one connection and return all that comes back until it is closed or nothing comes any more."""
    with closing(dial(port, patience_s)) as wire:
        try:
            for piece in pieces:
                wire.sendall(piece)
        except OSError:
            pass  # it was refused meanwhile
        answer = b""
        try:
            while piece := wire.recv(1 << 16):
                answer += piece
        except OSError:
            pass
        return answer


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


LEAD = b'{"id": "lead-2", "first_name": "x"}'
CLOSE = b"connection: close\r\n"


def request_of(bench: Bench, headers: bytes = b"", body: bytes = LEAD, length: bytes | None = None) -> bytes:
    """Return a callback as bytes."""
    size = b"content-length: %s\r\n" % (str(len(body)).encode() if length is None else length)
    return b"POST %s HTTP/1.1\r\nhost: x\r\n%s%s\r\n%s" % (bench.path("wegroup").encode(), size, headers, body)


REQUESTS: dict[str, tuple[Callable[[Bench], bytes], set[int]]] = {
    "many-headers": (lambda bench: request_of(bench, b"x: y\r\n" * 200), {431}),
    "large-header": (lambda bench: request_of(bench, b"x: " + b"y" * 40_000 + b"\r\n"), {431}),
    "headers-without-end": (lambda bench: request_of(bench).partition(b"\r\n\r\n")[0] + b"\r\nx: y" * 500_000, {431}),
    "header-of-any-bytes": (lambda bench: request_of(bench, CLOSE + b"x: \xff\xe9\x80\r\n"), {200}),
    "header-with-nul": (lambda bench: request_of(bench, CLOSE + b"x: a\x00b\r\n"), {200, 400}),
    "folded-header": (lambda bench: request_of(bench, CLOSE + b"x: a\r\n b\r\n"), {200, 400}),
    "content-type-of-8-kb": (
        lambda bench: request_of(bench, CLOSE + b"content-type: " + b"a/" * 4000 + b"\r\n"),
        {200},
    ),
    "odd-encoding-header": (lambda bench: request_of(bench, CLOSE + b"content-encoding: \xff,,\x80\r\n"), {200, 202}),
    "length-and-chunks": (lambda bench: request_of(bench, b"transfer-encoding: chunked\r\n"), {400}),
    "two-lengths": (lambda bench: request_of(bench, b"content-length: 3\r\n"), {400}),
    "negative-length": (lambda bench: request_of(bench, length=b"-1"), {400}),
    "length-of-400-digits": (lambda bench: request_of(bench, length=b"9" * 400), {400, 413}),
    "length-of-a-terabyte": (lambda bench: request_of(bench, length=b"1000000000000"), {413}),
    "no-http": (lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, {400}),
    "http-2": (lambda _: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404, 405}),
    "any-bytes-in-the-path": (lambda _: b"POST /callbacks/wegroup/\xff\xfe HTTP/1.1\r\nhost: x\r\n\r\n", {400, 404}),
    "connect": (lambda _: b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", {400}),
    "asterisk": (lambda _: b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", {200, 204, 400, 404, 405}),
    "broken-chunk": (lambda bench: chunked(bench) + b"zz\r\nabc\r\n", {400}),
    "chunk-of-a-huge-size": (lambda bench: chunked(bench) + b"F" * 40 + b"\r\n", {400, 413}),
    "chunks-without-end": (lambda bench: chunked(bench) + b"10000\r\n%s\r\n" % (b"x" * 0x10000) * 200, {413}),
    "chunks-of-a-byte": (lambda bench: chunked(bench) + b"1\r\n7\r\n" * 100_000 + b"0\r\n\r\n", {202}),
    "chunk-extensions": (
        lambda bench: chunked(bench) + b"1;" + b"x" * 100_000 + b"\r\n7\r\n0\r\n\r\n",
        {202, 400, 413, 431},
    ),
    "trailers": (lambda bench: chunked(bench) + b"1\r\n7\r\n0\r\nx: y\r\n\r\n", {202}),
}


def chunked(bench: Bench) -> bytes:
    """Return the head of a callback in chunks."""
    path = bench.path("wegroup").encode()
    return b"POST %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n" % path


@pytest.mark.parametrize("name", REQUESTS)
def test_odd_requests(bench: Bench, name: str) -> None:
    make, statuses = REQUESTS[name]
    assert status_of(talk(bench.service.port, make(bench))) in statuses


def test_requests_sent_ahead_are_answered_one_after_the_other(bench: Bench) -> None:
    answer = talk(bench.service.port, request_of(bench) * 99 + request_of(bench, CLOSE))
    assert answer.count(b"HTTP/1.1 200 OK") == 100
    assert len({orjson.loads(piece[: piece.index(b"}}") + 2])["id"] for piece in answer.split(b"\r\n\r\n")[1:]}) == 100


def test_slow_senders_held_up_nobody(bench: Bench) -> None:
    """Those whose time is over are sent away; `tests/server` waits for it."""
    answered, _, _ = select.select(bench.slow, [], [], 0)
    assert {status_of(one.recv(1000)) for one in answered} <= {408}
    assert bench.service.ask("POST", bench.path("wegroup"), LEAD).status == 200


def test_many_large_bodies_at_once_stay_within_the_bound(bench: Bench) -> None:
    """Four bodies of 5 MB at once: who finds no room is told to come again, and none ends the process."""
    begin = threading.Barrier(4)

    def send(_: int) -> int:
        begin.wait()
        return bench.service.ask("POST", bench.path("wegroup"), b"[" + b"{}," * (LIMIT // 3 - 1) + b"]").status

    with ThreadPoolExecutor(4) as senders:
        statuses = set(senders.map(send, range(4)))
    assert statuses <= {202, 503}
    assert bench.service.ask("POST", bench.path("wegroup"), LEAD).status == 200
    most = most_memory(bench.receiver)
    print(f"4 times 5 MB at once: at most {most >> 20} MiB in the receiver")  # noqa: T201 - the figure asked for
    assert most < MOST_RECEIVER_BYTES
    assert bench.service.receiver() == bench.receiver


def most_memory(pid: int) -> int:
    """Return the bytes that a process ever held."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
