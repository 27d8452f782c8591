"""Content encodings: what is understood, what is left, and that nothing grows over its bound."""

import gzip
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.bodies import BodyTooLargeError, decoded_body, header_value

TEXT = b'{"iId": 2900418}' * 20
LIMIT = 1 << 20


def gzipped(body: bytes) -> bytes:
    """Compress without the time, which would stand in the names of the tests."""
    return gzip.compress(body, mtime=0)


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("UTF-8", TEXT),
        ("ISO-8859-1", TEXT),
        ("binary", TEXT),
        ("gzip", gzipped(TEXT)),
        ("GZip", gzipped(TEXT)),
        ("x-gzip", gzipped(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("gzip", gzipped(TEXT[:100]) + gzipped(TEXT[100:])),
        ("gzip", gzipped(TEXT) + b"\0\0\0"),
        ("deflate, gzip", gzipped(zlib.compress(TEXT))),
        (" gzip , identity", gzipped(TEXT)),
        ("gzip, gzip, gzip", gzipped(gzipped(gzipped(TEXT)))),
        ("gzip", gzipped(b"") * 999 + gzipped(TEXT)),
    ],
)
def test_understood(encoding: str, body: bytes) -> None:
    assert decoded_body(body, encoding, LIMIT) == TEXT


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", TEXT),
        ("gzip", TEXT),
        ("gzip", b""),
        ("gzip", gzipped(TEXT)[:-9]),
        ("gzip", gzipped(TEXT)[:-1] + b"x"),
        ("deflate", b"\x00\xff"),
        ("gzip, deflate", gzipped(zlib.compress(TEXT))),
        ("gzip, gzip, gzip, gzip", gzipped(gzipped(gzipped(gzipped(TEXT))))),
        ("gzip", gzipped(b"") * 1001),
    ],
)
def test_not_understood(encoding: str, body: bytes) -> None:
    assert decoded_body(body, encoding, LIMIT) is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_before_it_is_large(encoding: str) -> None:
    bomb = (gzip if encoding == "gzip" else zlib).compress(bytes(200 << 20))
    tracemalloc.start()
    with pytest.raises(BodyTooLargeError):
        decoded_body(bomb, encoding, LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * LIMIT


def test_exactly_the_limit_is_let_through() -> None:
    assert decoded_body(gzipped(bytes(LIMIT)), "gzip", LIMIT) == bytes(LIMIT)
    with pytest.raises(BodyTooLargeError):
        decoded_body(gzipped(bytes(LIMIT + 1)), "gzip", LIMIT)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "gzip, deflate", "x-gzip"]))
def test_any_bytes_end(body: bytes, encoding: str) -> None:
    decoded_body(body, encoding, LIMIT)


@given(st.binary(max_size=5000), st.lists(st.integers(0, 4999), max_size=4))
def test_members_come_out_one_after_the_other(body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    members = b"".join(gzipped(body[a:b]) for a, b in pairwise(edges))
    assert decoded_body(members, "gzip", LIMIT) == body


def test_headers_are_joined() -> None:
    headers = [("content-encoding", "deflate"), ("x", "y"), ("Content-Encoding", "gzip")]
    assert header_value(headers, "content-encoding") == "deflate, gzip"
    assert not header_value(headers, "content-type")
