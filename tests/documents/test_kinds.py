"""What a file is, its bytes say; under which name it is handed out, we say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.documents.kinds import contradicts, disposition, safe_name, sniff

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"%PDF-1.7 x", "a.exe", "application/pdf"),
        (b"\r\n%PDF-1.7 x", None, "application/pdf"),
        (b"junk before\x00%PDF-1.7 x", None, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "a.pdf", "image/png"),
        (b"\xff\xd8\xff\xe0", None, "image/jpeg"),
        (b"GIF89a", None, "image/gif"),
        (b"II*\x00", None, "image/tiff"),
        (b"PK\x03\x04x", "a.zip", "application/zip"),
        (b"PK\x03\x04x", "a.DOCX", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (_OLE, "a.msg", "application/vnd.ms-outlook"),
        (_OLE, "a.pdf", "application/x-ole-storage"),
        (b"{\\rtf1", None, "application/rtf"),
        (b"<?xml version='1.0'?><bipro/>", "a.xml", "application/xml"),
        (b"<svg xmlns='x' onload='alert(1)'>", "a.svg", "application/xml"),
        (b" <!DOCTYPE html>", "a.pdf", "text/html"),
        (b"<script>alert(1)</script>", None, "text/html"),
        ("Größe\r\n1;2".encode(), "a.csv", "text/plain"),
        (("ü" * 2048).encode()[:4095], "a.csv", "text/plain"),
        ("Größe".encode("latin-1"), "a.csv", "application/octet-stream"),
        (b"MZ\x90\x00", "a.exe", "application/octet-stream"),
        (b"", None, "application/octet-stream"),
    ],
)
def test_what_a_file_is(head: bytes, name: str | None, kind: str) -> None:
    assert sniff(head, name) == kind


def test_words_in_place_of_a_pdf_are_none() -> None:
    assert contradicts("text/plain", "Antrag.pdf")
    assert contradicts("text/html", "Antrag.PDF")
    assert not contradicts("text/plain", "Antrag.txt")
    assert not contradicts("text/plain", None)
    assert not contradicts("image/png", "Antrag.pdf")


@pytest.mark.parametrize(
    ("name", "kind", "safe"),
    [
        ("Antrag.pdf", "application/pdf", "Antrag.pdf"),
        ("Antrag Brandt-Müller.PDF", "application/pdf", "Antrag Brandt-Müller.PDF"),
        ("Antrag.pdf.exe", "application/pdf", "Antrag.pdf.exe.pdf"),
        ("Antrag.exe", "application/octet-stream", "Antrag.exe.bin"),
        ("Antrag.html", "text/plain", "Antrag.html.txt"),
        ("Liste.csv", "text/plain", "Liste.csv"),
        ("Bestand.gdv", "application/octet-stream", "Bestand.gdv"),
        ("Brief.doc", "application/msword", "Brief.doc"),
        ("../../etc/passwd", "application/pdf", "_.._etc_passwd.pdf"),
        ("C:\\Users\\a.pdf", "application/pdf", "C_Users_a.pdf"),
        ('a"; filename="b.exe', "application/pdf", "a_ filename=_b.exe.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "application/pdf", "aSet-Cookie_ x=1.pdf"),
        ("a\u202efdp.exe", "application/pdf", "afdp.exe.pdf"),
        (".htaccess", "application/pdf", "htaccess.pdf"),
        ("...", "application/pdf", "an-id.pdf"),
        (None, "application/pdf", "an-id.pdf"),
        ("x" * 500, "application/pdf", "x" * 120 + ".pdf"),
    ],
)
def test_names_are_made_safe(name: str | None, kind: str, safe: str) -> None:
    assert safe_name(name, kind, "an-id") == safe


@given(st.text(), st.sampled_from(["application/pdf", "text/plain", "application/octet-stream", "text/html"]))
def test_no_name_breaks_out_of_its_header(name: str, kind: str) -> None:
    header = disposition(safe_name(name, kind, "an-id"))
    assert header.isascii()
    assert header.isprintable()
    assert header.startswith('attachment; filename="')
    assert header.count('"') == 2
    assert "/" not in header
    assert "\\" not in header


def test_names_stand_in_both_forms() -> None:
    header = disposition("Größe Müller.pdf")
    assert header == "attachment; filename=\"Grosse Muller.pdf\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20M%C3%BCller.pdf"
