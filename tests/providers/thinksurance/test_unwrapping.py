"""Files come in many wrappings and in pieces of any size; what is no file is told from one."""

import base64

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.providers.calling import CallError, RefusedError
from app.providers.downloading import NotAFileError
from app.providers.thinksurance.calls.unwrapping import Unwrapping

PDF = b"%PDF-1.4\n% an invented policy\n" + bytes(range(256)) * 18 + b"%%EOF\n"


def unwrapped(body: bytes, *, piece: int = 1 << 20, by_link: bool = False) -> bytes:
    """Return the file in a body that arrives in pieces of a size."""
    unwrapping, found = Unwrapping("call", by_link=by_link), b""
    for at in range(0, len(body), piece):
        found += unwrapping.feed(body[at : at + piece])
    return found + unwrapping.finish()


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (b"JVBERi0xLjQK", b"%PDF-1.4\n"),
        (b'"JVBERi0xLjQK"', b"%PDF-1.4\n"),
        (b"\xef\xbb\xbf JVBERi0xLjQK", b"%PDF-1.4\n"),
        (b"JVBE\r\nRi0x\nLjQK\n", b"%PDF-1.4\n"),
        (b'{"pdfbinary": "JVBERi0xLjQK"}', b"%PDF-1.4\n"),
        (b'{"error": "", "pdfbinary": "JVBERi0xLjQK"}', b"%PDF-1.4\n"),
        (b'[{"pdfbinary": "JVBERi0xLjQK"}]', b"%PDF-1.4\n"),
        (b"%PDF-1.4\nas it is", b"%PDF-1.4\nas it is"),
        (b"\n%PDF-1.4\nas it is", b"\n%PDF-1.4\nas it is"),
        (b"{\\rtf1 as it is}", b"{\\rtf1 as it is}"),
        (b"<?xml version='1.0'?><bipro/>", b"<?xml version='1.0'?><bipro/>"),
        (b"UEsDBA==", b"PK\x03\x04"),
        (b'"/\\/8="', b"\xff\xff"),
        (b'"\\u002f/8=\\r\\n"', b"\xff\xff"),
        (b"\x00\x01", b"\x00\x01"),
    ],
)
def test_a_file_comes_in_many_wrappings(body: bytes, content: bytes) -> None:
    assert unwrapped(body) == content
    assert unwrapped(body, piece=1) == content


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["plain", "lines", "json", "escaped", "quoted", "as-it-is"]), st.integers(1, 3000))
def test_the_size_of_the_pieces_changes_nothing(form: str, piece: int) -> None:
    text = base64.b64encode(PDF).decode()
    bodies = {
        "plain": text.encode(),
        "lines": base64.encodebytes(PDF).replace(b"\n", b"\r\n"),
        "json": orjson.dumps({"name": "x" * 70, "pdfbinary": text, "more": "y"}),
        "escaped": b'{"pdfbinary":"' + text.replace("/", "\\/").encode() + b'"}',
        "quoted": b'"' + base64.encodebytes(PDF).replace(b"\n", b"\\r\\n").replace(b"/", b"\\/") + b'"',
        "as-it-is": PDF,
    }
    assert unwrapped(bodies[form], piece=piece) == PDF


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=5000), st.integers(1, 1500))
def test_any_bytes_come_out_of_base64_as_they_went_in(content: bytes, piece: int) -> None:
    assert unwrapped(base64.b64encode(content), piece=piece) == content


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{}", b"[]", b'{"pdfbinary": 5}', b'{"pdfbinary": ""}', b"not base64!", b"{broken", b'""'),
        *(b"Error", b"Access denied.", b"<html><body>Please log in", b"  <!DOCTYPE html>", b"JVBERi0xLjQ"),
        *(b"QQ==QQ==", b'{"x": "' + b"y" * 70_000, b"<?xml version='1.0'?><html xmlns='x'>"),
        base64.b64encode(PDF)[:-1],
        base64.b64encode(PDF)[:5000] + b"!" + base64.b64encode(PDF)[5001:],
        b'{"pdfbinary":"' + base64.b64encode(PDF)[:5001],
    ],
)
@pytest.mark.parametrize("piece", [1 << 20, 7])
def test_what_is_no_file_is_told(body: bytes, piece: int) -> None:
    with pytest.raises(NotAFileError) as caught:
        unwrapped(body, piece=piece)
    assert caught.value.retry_could_help


def test_an_error_is_told_from_a_file() -> None:
    for body in (b'{"error": "gone"}', b'[{"error": "gone"}]', b'{"error": "gone", "pdfbinary": "JVBERi0xLjQK"}'):
        with pytest.raises(RefusedError) as caught:
            unwrapped(body)
        assert caught.value.said == "gone"
        assert "gone" not in str(caught.value)


def test_a_link_brings_files_as_they_are() -> None:
    for content in (PDF, b"Erika;Beispiel\n", b"word", b"\x00\x01", b"QQ=="):
        assert unwrapped(content, by_link=True) == content
    assert unwrapped(base64.b64encode(PDF), by_link=True) == PDF
    for body in (b"<html>", b'{"error": "expired"}', b""):
        with pytest.raises(CallError):
            unwrapped(body, by_link=True)
