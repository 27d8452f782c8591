"""Reads the answer of V1.1 Get Document: the file out of whatever it was wrapped in.

Keeping it, and the link as another way to it, is the documents job's.
"""

import base64
import binascii
from dataclasses import dataclass, field

from app.ingest.lenient_json import NotJsonError, parse
from app.providers.calling import Answer, UnusableAnswerError
from app.providers.thinksurance.calls.answers import check

DOCUMENT = "thinksurance.document"

_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Document:
    """A file. What it is, its own bytes say: the answer's content type is `text/pdf` for all."""

    content: bytes = field(repr=False)


def to_document(answer: Answer) -> Document:
    """Return the file: base64 text (V1.1), JSON with `pdfbinary` (an older version), or the bytes themselves.

    Raises:
        RefusedError: it is JSON with `error`.
        UnusableAnswerError: it is none of these.
    """
    body = answer.body.strip(_BLANKS)
    if body.startswith(b"%PDF"):
        return Document(answer.body)
    if body.startswith((b"{", b"[", b'"')):
        try:
            value = parse(body).value
        except NotJsonError:
            value = None
        check(DOCUMENT, Answer(answer.status, value, answer.body, answer.content_type))
        if isinstance(value, dict):
            value = value.get("pdfbinary")
        body = value.encode() if isinstance(value, str) else b""
    try:
        content = base64.b64decode(body.translate(None, _BLANKS), validate=True)
    except binascii.Error:
        content = b""
    if not content:
        raise UnusableAnswerError(DOCUMENT, "the answer is no file", answer=answer)
    return Document(content)
