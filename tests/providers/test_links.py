"""No link leads where it was not allowed to, however it is written, whatever its name resolves to."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.providers.calling import CallError, UnreachableError
from app.providers.links import (
    Allowed,
    GuardedTransport,
    LinkRefusedError,
    Origin,
    allowed_links,
    is_public,
    parse_origins,
    resolve,
)
from app.providers.thinksurance.calls.documents import download_link
from tests.doubles.serving import serve

HOST = "files.example.test"
ALLOWED = allowed_links("https://ipn.example.test", f"{HOST}, http://127.0.0.1:9000", ("app.example.test",))


@pytest.mark.parametrize(
    "link",
    [
        f"https://{HOST}/a/b?t=1",
        f"https://{HOST}:443/a",
        f"HTTPS://{HOST.upper()}/a",
        "https://ipn.example.test/a",
        "https://app.example.test/a",
        "http://127.0.0.1:9000/a",
        f"https://{HOST}/a#b@c",
    ],
)
def test_links_to_named_hosts_are_followed(link: str) -> None:
    assert ALLOWED.check(link).fragment == ""


@pytest.mark.parametrize(
    "link",
    [
        f"http://{HOST}/a",
        f"https://{HOST}:8443/a",
        f"https://{HOST}.evil.test/a",
        f"https://evil.test/{HOST}",
        f"https://{HOST}@evil.test/",
        f"https://user@{HOST}/a",
        f"https://user:word@{HOST}/a",
        f"https://evil.test#@{HOST}/",
        f"https://evil.test\\@{HOST}/",
        f"https://{HOST}\\.evil.test/",
        f"https://{HOST}./a",
        f"https://sub.{HOST}/a",
        f"https://{HOST}%2eevil.test/",
        f"https://{HOST} .evil.test/",
        f"https://{HOST}\n/a",
        f"//{HOST}/a",
        f"ftp://{HOST}/a",
        f"file://{HOST}/etc/passwd",
        "file:///etc/passwd",
        "gopher://127.0.0.1:9000/",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://127.0.0.1:9001/a",
        "https://127.0.0.1:9000/a",
        "http://127.1:9000/a",
        "http://2130706433:9000/a",
        "http://0x7f000001:9000/a",
        "http://[::ffff:127.0.0.1]:9000/a",
        "http://localhost:9000/a",
        "http://169.254.169.254/latest/meta-data/",
        "https://ƒiles.example.test/a",
        "https://",
        "https:///a",
        "",
        "x" * 5000,
    ],
)
def test_all_other_links_are_refused_and_not_repeated(link: str) -> None:
    with pytest.raises(LinkRefusedError) as caught:
        ALLOWED.check(link)
    assert not caught.value.retry_could_help
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("9.9.9.9", True),
        ("2620:fe::fe", True),
        ("::ffff:9.9.9.9", True),
        ("64:ff9b::909:909", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.1.2.3", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:53aa:64c::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("no address", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_the_setting_names_hosts() -> None:
    assert parse_origins("a.example.test, b.example.test:8443 ,http://127.0.0.1:9000,https://[::1]:1/") == {
        Origin("https", "a.example.test", 443),
        Origin("https", "b.example.test", 8443),
        Origin("http", "127.0.0.1", 9000),
        Origin("https", "::1", 1),
    }
    assert parse_origins("") == frozenset()


@pytest.mark.parametrize(
    "text", ["*.example.test", "a b", "https://a/path", "https://u@a", "ftp://a", "a?b", "https://", "a/../b", "-a"]
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        parse_origins(text)


class Network:
    """Plays the resolver, and the hosts behind its addresses."""

    def __init__(self, *answers: list[str], allowed: Allowed = ALLOWED) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str | None]] = []
        self.down: set[str] = set()
        self.redirects: dict[str, str] = {}
        self.transport = GuardedTransport(
            allowed, resolve=self._resolve, make=lambda: httpx2.MockTransport(self._answer)
        )

    async def _resolve(self, host: str, _port: int) -> list[str]:
        if not self.answers:
            raise OSError(host)
        return self.answers.pop(0)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append((request.url.host, request.extensions.get("sni_hostname")))
        if request.url.host in self.down:
            raise httpx2.ConnectError("down")
        to = self.redirects.get(request.url.path)
        assert "authorization" not in request.headers
        return httpx2.Response(302, headers={"Location": to}) if to else httpx2.Response(200, content=b"%PDF-1.4")

    def follow(self, link: str) -> bytes:
        """Return what a link brings."""
        came: list[bytes] = []

        async def followed() -> None:
            async with self.transport:
                await download_link(httpx2.URL(link), came.append, self.transport)

        asyncio.run(followed())
        return b"".join(came)


def test_the_checked_address_is_connected_to_and_tls_asks_for_the_name() -> None:
    network = Network(["9.9.9.9"])
    assert network.follow(f"https://{HOST}/a") == b"%PDF-1.4"
    assert network.asked == [("9.9.9.9", HOST)]


def test_the_next_address_is_tried_where_one_is_down() -> None:
    network = Network(["9.9.9.9", "2620:fe::fe"])
    network.down = {"9.9.9.9"}
    assert network.follow(f"https://{HOST}/a") == b"%PDF-1.4"
    assert [host for host, _ in network.asked] == ["9.9.9.9", "2620:fe::fe"]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1"], ["::ffff:169.254.169.254"], ["9.9.9.9", "192.168.0.1"], ["fe80::1"], ["::1"]],
)
def test_a_name_that_resolves_to_a_private_address_is_refused(addresses: list[str]) -> None:
    network = Network(addresses)
    with pytest.raises(LinkRefusedError, match="private network"):
        network.follow(f"https://{HOST}/a")
    assert network.asked == []


def test_a_name_that_is_not_known_may_be_tomorrow() -> None:
    with pytest.raises(UnreachableError):
        Network().follow(f"https://{HOST}/a")


def test_the_name_is_asked_for_once_a_request_so_that_it_cannot_change_in_between() -> None:
    network = Network(["9.9.9.9"], ["127.0.0.1"])
    network.follow(f"https://{HOST}/a")
    with pytest.raises(LinkRefusedError):
        network.follow(f"https://{HOST}/a")
    assert [host for host, _ in network.asked] == ["9.9.9.9"]


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.test/a",
        "http://169.254.169.254/",
        f"http://{HOST}/b",
        "//evil.test/a",
        f"https://{HOST}:444/",
        "file:///etc/passwd",
        "https://u@app.example.test/",
    ],
)
def test_redirects_lead_nowhere_else(to: str) -> None:
    network = Network(["9.9.9.9"], ["9.9.9.9"])
    network.redirects = {"/a": to}
    with pytest.raises(CallError) as caught:
        network.follow(f"https://{HOST}/a")
    assert not caught.value.retry_could_help
    assert len(network.asked) == 1


def test_redirects_among_allowed_hosts_are_followed_but_not_for_ever() -> None:
    network = Network(["9.9.9.9"], ["9.9.9.10"])
    network.redirects = {"/a": "https://app.example.test/b"}
    assert network.follow(f"https://{HOST}/a") == b"%PDF-1.4"
    assert network.asked == [("9.9.9.9", HOST), ("9.9.9.10", "app.example.test")]
    endless = Network(*[["9.9.9.9"]] * 9)
    endless.redirects = {"/a": "/a"}
    with pytest.raises(CallError):
        endless.follow(f"https://{HOST}/a")
    assert len(endless.asked) == 4


def test_only_an_address_that_was_named_itself_may_be_private() -> None:
    named = Network(allowed=ALLOWED)
    assert named.follow("http://127.0.0.1:9000/a") == b"%PDF-1.4"
    by_base_url = Network(allowed=allowed_links("http://127.0.0.1:9000", ""))
    with pytest.raises(LinkRefusedError, match="private network"):
        by_base_url.follow("http://127.0.0.1:9000/a")
    by_name = Network(["127.0.0.1"], allowed=allowed_links(None, "http://intern.example.test:9000"))
    with pytest.raises(LinkRefusedError, match="private network"):
        by_name.follow("http://intern.example.test:9000/a")


def test_the_system_resolves_names() -> None:
    assert "127.0.0.1" in asyncio.run(resolve("localhost", 80))


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await JSONResponse({"host": dict(scope["headers"])[b"host"].decode()})(scope, receive, send)


def test_over_real_http_the_host_is_named() -> None:
    with serve(_answer) as served:
        transport = GuardedTransport(allowed_links(None, served.url))

        async def asked() -> httpx2.Response:
            async with httpx2.AsyncClient(transport=transport) as client:
                return await client.get(served.url)

        assert asyncio.run(asked()).json() == {"host": f"127.0.0.1:{served.port}"}


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for the host, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "invented")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return paths


def test_tls_asks_for_the_name_and_believes_no_other(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    monkeypatch.setattr("app.providers.links.is_public", lambda _: True)

    async def asked_for(host: str) -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n%PDF-1.4")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        transport = GuardedTransport(
            allowed_links(None, f"{host}:{port}"),
            resolve=_to_this_machine,
            make=lambda: httpx2.AsyncHTTPTransport(verify=trusting),
        )
        came: list[bytes] = []
        async with server, transport:
            await download_link(httpx2.URL(f"https://{host}:{port}/a"), came.append, transport)
        return b"".join(came)

    assert asyncio.run(asked_for(HOST)) == b"%PDF-1.4"
    assert asked == [HOST]
    with pytest.raises(UnreachableError):
        asyncio.run(asked_for("other.example.test"))


async def _to_this_machine(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]
