"""Bytes as they came, our own tokens overwritten wherever and however they stand."""

import gzip
import hashlib
import zlib
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.model import Scope
from app.crypto import new_api_key, new_callback_token
from app.query.bodies import masked_body
from app.query.deliveries import masked_headers
from tests.query.conftest import Caller, Rows

TOKEN = new_callback_token()
STARS = "cbt_" + "*" * 43


def _escaped(text: str, form: str) -> bytes:
    return "".join(form.format(ord(char)) for char in text).encode()


def test_tokens_are_overwritten_by_as_many_stars() -> None:
    for token in (TOKEN, new_api_key()):
        body = orjson.dumps({"callbacks": [f"https://callbox.example/callbacks/wegroup/{token}"], "name": "Ünal"})
        masked = masked_body(body, None)
        assert len(masked) == len(body)
        assert token.encode() not in masked
        assert masked == body.replace(token[4:].encode(), b"*" * 43)


@pytest.mark.parametrize("form", ["\\u00{:02x}", "\\u00{:02X}", "%{:02x}", "%{:02X}", "%25{:02x}"])
def test_escaped_tokens_too(form: str) -> None:
    body = b'{"url": "' + _escaped(TOKEN, form) + b'"}'
    masked = masked_body(body, None)
    assert len(masked) == len(body)
    assert masked == b'{"url": "' + _escaped("cbt_", form) + b"*" * (len(body) - 11 - 4 * len(form.format(99))) + b'"}'
    if form.startswith("\\"):
        assert orjson.loads(masked)["url"].startswith("cbt_*")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be"])
def test_tokens_in_wide_characters_too(encoding: str) -> None:
    masked = masked_body(f'{{"url": "{TOKEN}"}}'.encode(encoding), None)
    assert masked.decode(encoding) == f'{{"url": "{STARS}"}}'
    escaped = masked_body(_escaped(TOKEN, "\\u00{:02x}").decode().encode(encoding), None)
    assert escaped.decode(encoding) == _escaped("cbt_", "\\u00{:02x}").decode() + "*" * 6 * 43


@pytest.mark.parametrize(
    ("encode", "named"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "GZIP"),
        (gzip.compress, None),
        (zlib.compress, "deflate"),
        (lambda body: zlib.compress(body, wbits=-15), "deflate"),
        (lambda body: gzip.compress(body[:10]) + gzip.compress(body[10:]), "gzip"),
    ],
)
def test_compressed_bodies_are_masked_inside(encode: Callable[[bytes], bytes], named: str | None) -> None:
    body = orjson.dumps({"callback": TOKEN, "fill": "x" * 100})
    masked = masked_body(encode(body), named)
    decode = zlib.decompress if named == "deflate" else gzip.decompress
    assert decode(masked) == body.replace(TOKEN.encode(), STARS.encode())
    harmless = encode(b'{"status": 4}')
    assert masked_body(harmless, named) == harmless


def test_bodies_that_are_compressed_twice_are_masked_inside() -> None:
    body = orjson.dumps({"callback": TOKEN})
    masked = masked_body(gzip.compress(zlib.compress(body)), "deflate, gzip")
    assert zlib.decompress(gzip.decompress(masked)) == body.replace(TOKEN.encode(), STARS.encode())


def test_a_body_that_is_not_compressed_as_it_says_is_masked_all_the_same() -> None:
    body = orjson.dumps({"callback": TOKEN})
    for named in ("deflate", "gzip", "br", "gzip, deflate"):
        assert masked_body(body, named) == body.replace(TOKEN.encode(), STARS.encode())


def test_what_is_not_compressed_as_it_says_is_masked_as_it_is() -> None:
    assert masked_body(TOKEN.encode(), "gzip") == STARS.encode()
    torn = gzip.compress(b"harmless")[:-4]
    assert masked_body(torn, "gzip") == torn
    assert TOKEN.encode() not in gzip.decompress(masked_body(gzip.compress(TOKEN.encode())[:-4], "gzip"))


@given(st.binary(), st.sampled_from([None, "gzip", "deflate", "br"]))
def test_other_bytes_stay_as_they_are(body: bytes, encoding: str | None) -> None:
    assert masked_body(body, encoding) == body


def test_headers_show_no_credentials() -> None:
    pairs = [
        ["Authorization", "Basic bmVsZQ=="],
        ["cookie", "session=1"],
        ["X-Api-Key", "secret"],
        ["referer", f"https://callbox.example/callbacks/wegroup/{TOKEN}"],
        ["user-agent", "python"],
    ]
    assert masked_headers(pairs) == [
        ["Authorization", "***"],
        ["cookie", "***"],
        ["X-Api-Key", "***"],
        ["referer", f"https://callbox.example/callbacks/wegroup/{STARS}"],
        ["user-agent", "python"],
    ]


def test_bodies_are_downloads(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    body = b'\xff{"callback": "' + TOKEN.encode() + b'"}'
    delivery = rows.delivery(source, body=body, headers=[["content-type", "text/html"]])
    plain, personal = rows.key(Scope.READ), rows.key(Scope.READ, Scope.READ_PERSONAL)
    admin = rows.key(Scope.READ, Scope.READ_PERSONAL, Scope.ADMIN)
    caller = open_caller()
    path = f"/v1/deliveries/{delivery}/body"
    refused = caller.get(plain, path)
    assert (refused.status_code, refused.json()["code"]) == (403, "field-hidden")
    response = caller.get(personal, path)
    assert response.content == body.replace(TOKEN.encode(), STARS.encode())
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"] == f'attachment; filename="{delivery}.bin"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    exact = caller.get(admin, path)
    assert exact.content == body
    shown = caller.get(admin, f"/v1/deliveries/{delivery}").json()
    assert shown["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert shown["content_type"] == "text/html"


def test_what_a_delivery_was_sent_as_shows_no_token(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    named = [["content-type", f"application/json; name={TOKEN}"], ["content-encoding", TOKEN]]
    delivery = rows.delivery(rows.source("told"), headers=named)
    shown = open_caller().get(rows.key(Scope.READ), f"/v1/deliveries/{delivery}").json()
    assert (shown["content_type"], shown["content_encoding"]) == (f"application/json; name={STARS}", STARS)
