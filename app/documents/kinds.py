"""Finds out what a file is from its bytes, and by which name it may safely be handed out.

Pure. What the platform says of a file's type is `text/pdf` for all of them, so it is not asked.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from app.providers.thinksurance.calls.unwrapping import is_text

HEAD_BYTES: Final = 4096
UNKNOWN: Final = "application/octet-stream"
PLAIN_TEXT: Final = "text/plain"
PAGE: Final = "text/html"
_XML = "application/xml"

_OFFICE = "application/vnd.openxmlformats-officedocument."
_ZIP = "application/zip"
_OLE = "application/x-ole-storage"
_BEGINNINGS: Final = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", _ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLE),
    (b"{\\rtf", "application/rtf"),
    (b"\x1f\x8b", "application/gzip"),
)
# What is in a zip or OLE container, its name says; the bytes only say that it is one.
_CONTAINED: Final = {
    _ZIP: {
        "docx": _OFFICE + "wordprocessingml.document",
        "xlsx": _OFFICE + "spreadsheetml.sheet",
        "pptx": _OFFICE + "presentationml.presentation",
        "odt": "application/vnd.oasis.opendocument.text",
        "ods": "application/vnd.oasis.opendocument.spreadsheet",
    },
    _OLE: {
        "doc": "application/msword",
        "xls": "application/vnd.ms-excel",
        "ppt": "application/vnd.ms-powerpoint",
        "msg": "application/vnd.ms-outlook",
    },
}
_ENDINGS: Final = {
    "application/pdf": ("pdf",),
    "image/png": ("png",),
    "image/jpeg": ("jpg", "jpeg"),
    "image/gif": ("gif",),
    "image/tiff": ("tif", "tiff"),
    "application/rtf": ("rtf", "doc"),
    "application/gzip": ("gz", "tgz"),
    _XML: ("xml",),
    PAGE: ("html", "htm"),
    _ZIP: ("zip",),
    _OLE: ("bin",),
}
_BINARY_ENDINGS: Final = frozenset(
    {*("pdf", "png", "jpg", "jpeg", "gif", "tif", "tiff", "zip", "gz"), *(n for c in _CONTAINED.values() for n in c)}
)
_HARMLESS: Final = frozenset(
    {"txt", "csv", "eml", "log", "gdv", "ics", "vcf", "json", "md", "bin", "dat", "p7m", "p7s"}
)
"""Endings that text and what is unknown may keep: nothing is run or shown by them."""

_PAGE_BEGINNING = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body|script)\b", re.IGNORECASE)
_XML_BEGINNING = re.compile(rb"\s*<(?:\?xml|svg)\b", re.IGNORECASE)
_LONGEST_NAME = 120
_SEPARATORS = re.compile(r'[\\/:*?"<>|%;]+')


def sniff(head: bytes, name: str | None) -> str:
    """Return the media type of a file by its first bytes; its name only tells apart what is in a container."""
    beginning = head.lstrip(b" \t\r\n")
    for sign, kind in _BEGINNINGS:
        if beginning.startswith(sign):
            return _CONTAINED.get(kind, {}).get(_ending(name or ""), kind)
    if b"%PDF-" in head[:1024]:  # readers of PDF allow for something before it
        return "application/pdf"
    if _PAGE_BEGINNING.match(head):
        return PAGE
    if _XML_BEGINNING.match(head):
        return _XML
    return PLAIN_TEXT if is_text(head) else UNKNOWN


def served_as(kind: str) -> str:
    """Return the media type by which a file is handed out: none whose scripts a browser would run."""
    return UNKNOWN if kind in {PAGE, _XML} else kind


def contradicts(kind: str, name: str | None) -> bool:
    """Tell whether a file that its name calls a PDF, an image or the like turned out to be some words or a page."""
    return kind in {PLAIN_TEXT, PAGE} and _ending(name or "") in _BINARY_ENDINGS


def safe_name(name: str | None, kind: str, otherwise: str) -> str:
    """Return a name for a download: no folders, no signs that hide something, and an ending that fits the bytes."""
    signs = unicodedata.normalize("NFC", name or "")
    plain = "".join(sign for sign in signs if sign == " " or unicodedata.category(sign)[0] not in "CZ")
    plain = _SEPARATORS.sub("_", plain).strip(" .")[:_LONGEST_NAME].strip(" .") or otherwise
    ending = _ending(plain)
    fitting = _ENDINGS.get(kind) or _contained_endings(kind)
    if fitting:
        return plain if ending in fitting else f"{plain}.{fitting[0]}"
    if ending in _HARMLESS or (kind == UNKNOWN and not ending):
        return plain
    return f"{plain}.{'txt' if kind == PLAIN_TEXT else 'bin'}"


def _contained_endings(kind: str) -> tuple[str, ...]:
    return tuple(ending for known in _CONTAINED.values() for ending, of in known.items() if of == kind)


def disposition(name: str) -> str:
    """Return `Content-Disposition` for a safe name (RFC 6266): plain for old readers, and as it is for all others."""
    ascii_name = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode() or "document"
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"


def _ending(name: str) -> str:
    """Return the ending of a name, in small letters and without the dot."""
    _, dot, ending = name.rpartition(".")
    return ending.lower() if dot and ending.isalnum() and ending.isascii() else ""
