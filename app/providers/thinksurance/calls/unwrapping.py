"""Takes a file out of whatever it was wrapped in, while it arrives: bytes, base64 text, or JSON around base64.

Pure but for the errors. Which file it is, and how much of it is too much, is the caller's business.
"""

import base64
import binascii
import codecs
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from app.ingest.lenient_json import NotJsonError, parse
from app.providers.calling import Answer
from app.providers.downloading import NotAFileError
from app.providers.thinksurance.calls.answers import check

_BLANKS = b" \t\r\n"
_BEFORE = b"\xef\xbb\xbf" + _BLANKS
_HEAD = 1024
_MOST_JSON = 64 * 1024
_BEGINNINGS = (
    *(b"%PDF", b"{\\rtf", b"PK\x03\x04", b"PK\x05\x06", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"),
    *(b"II*\x00", b"MM\x00*", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x1f\x8b", b"<?xml"),
)
"""How files begin that are taken as they are; base64 text begins like none of them."""
_PAGE = re.compile(rb"(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_BASE64 = re.compile(rb'[A-Za-z0-9+/=\s]+|"[A-Za-z0-9+/=\s\\]+"?\s*')
_WRAPPED = re.compile(rb'"pdfbinary"\s*:\s*"')
_ESCAPES = re.compile(rb"\\(?:[nrt/]|u002[fF])")
_SLASHES = (rb"\/", rb"\u002f", rb"\u002F")
_LONGEST_ESCAPE = len(_SLASHES[1])


class Unwrapping:
    """One file on its way. `feed` and `finish` return the bytes of it that are known by then.

    By hash a file comes as base64 text (V1 Get Document, CopyGet Document), as JSON with `pdfbinary` (an older version)
    or, undocumented, as it is. A link is expected to bring it as it is, so text is then a file too.

    Raises:
        RefusedError: it is JSON with `error`.
        NotAFileError: it is no file, or ends within one.
    """

    def __init__(self, call: str, *, by_link: bool = False) -> None:
        self._call = call
        self._by_link = by_link
        self._head = bytearray()
        self._decode: Callable[[bytes], bytes] | None = None
        self._rest = b""
        self._escaped = False
        self._ended = False
        self._padded = False
        self._is_json = False
        self._any = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the answer."""
        if self._decode is not None:
            return self._noted(self._decode(chunk))
        self._head += chunk
        enough = _MOST_JSON if self._is_json else _HEAD
        if len(self._head) < enough:
            return b""
        return self._noted(self._begin(complete=False))

    def finish(self) -> bytes:
        """Take note that this was all."""
        found = b""
        if self._decode is None:
            found = self._noted(self._begin(complete=True))
        if self._rest:
            raise NotAFileError(self._call, "the answer ends within a file")
        if not self._any:
            raise NotAFileError(self._call, "the answer is no file")
        return found

    def _noted(self, found: bytes) -> bytes:
        self._any = self._any or bool(found)
        return found

    def _begin(self, *, complete: bool) -> bytes:
        """Settle from the first bytes what the answer is, and return what they hold of the file."""
        head = bytes(self._head)
        plain = head.lstrip(_BEFORE)
        if is_page(head):
            raise NotAFileError(self._call, "the answer is a page")
        if plain.startswith(_BEGINNINGS):
            return self._go_on(_as_it_is, head)
        if plain.startswith((b"{", b"[")):
            return self._begin_json(head, complete=complete)
        if _BASE64.fullmatch(plain[:_HEAD]) and (not self._by_link or _is_wrapped_file(plain)):
            self._escaped = plain.startswith(b'"')
            return self._go_on(self._from_base64, plain.removeprefix(b'"'))
        if not self._by_link and (not head or is_text(head[:_HEAD])):
            raise NotAFileError(self._call, "the answer is no file")
        return self._go_on(_as_it_is, head)

    def _begin_json(self, head: bytes, *, complete: bool) -> bytes:
        if complete:
            try:
                value = parse(head).value
            except NotJsonError:
                raise NotAFileError(self._call, "the answer is neither a file nor JSON") from None
            return self._from_value(value)
        wrapped = _WRAPPED.search(head)
        if wrapped is not None:
            self._escaped = True
            return self._go_on(self._from_base64, head[wrapped.end() :])
        if len(head) < _MOST_JSON:
            self._is_json = True
            return b""
        raise NotAFileError(self._call, "the answer is JSON without a file")

    def _from_value(self, value: Any) -> bytes:
        check(self._call, Answer(200, value))
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
            check(self._call, Answer(200, value))
        found = value.get("pdfbinary") if isinstance(value, dict) else None
        if not isinstance(found, str):
            raise NotAFileError(self._call, "the answer is JSON without a file")
        return self._go_on(self._from_base64, found.encode("utf-8", "replace"))

    def _go_on(self, decode: Callable[[bytes], bytes], first: bytes) -> bytes:
        self._decode = decode
        self._head.clear()
        return decode(first)

    def _from_base64(self, text: bytes) -> bytes:
        """Return what base64 text holds, but for the last few characters; those wait for the next."""
        if self._ended:
            return b""
        text, held = _unescaped(self._rest + text) if self._escaped else (self._rest + text, b"")
        body, quote, _ = text.partition(b'"')
        self._ended = bool(quote)
        body = body.translate(None, _BLANKS)
        whole = len(body) - len(body) % 4
        self._rest = body[whole:] + (b"" if self._ended else held)
        try:
            found = base64.b64decode(body[:whole], validate=True)
        except binascii.Error:
            raise NotAFileError(self._call, "the answer is no base64 text") from None
        if found and self._padded:
            raise NotAFileError(self._call, "the answer goes on after its end")
        self._padded = self._padded or body[:whole].endswith(b"=")
        return found


def _as_it_is(chunk: bytes) -> bytes:
    return chunk


def _unescaped(text: bytes) -> tuple[bytes, bytes]:
    r"""Return text of a JSON string as it is meant, and what of its end may be half an escape (`\`, `\u00`)."""
    cut = text.rfind(b"\\")
    may_go_on = cut >= 0 and not _ESCAPES.match(text, cut) and len(text) - cut < _LONGEST_ESCAPE
    body, held = (text[:cut], text[cut:]) if may_go_on and b'"' not in text[cut:] else (text, b"")
    return _ESCAPES.sub(lambda found: b"/" if found[0] in _SLASHES else b"", body), held


def _is_wrapped_file(text: bytes) -> bool:
    """Tell whether base64 text holds something that begins like a file."""
    sample = text.strip(b'"').translate(None, _BLANKS)[:64]
    try:
        return base64.b64decode(sample[: len(sample) // 4 * 4]).startswith(_BEGINNINGS)
    except binascii.Error:
        return False


def is_page(head: bytes) -> bool:
    """Tell whether an answer begins as a page of a proxy does; other XML is none."""
    return _PAGE.match(head.lstrip(_BEFORE)) is not None


def is_text(head: bytes) -> bool:
    """Tell whether the first bytes of something read as text in UTF-8; the last character may be cut off."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and not any(unicodedata.category(char) == "Cc" and char not in "\t\r\n\f" for char in text)
