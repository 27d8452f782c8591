"""Makes and reads cursors: encrypted, and good only for the very question they were given for.

What a position is made of is the business of the lists; a place in the feed would tell how much others get.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from app.accounts.model import Access, Scope
from app.problems import Problem

_SIGNATURE_BYTES = 16
_LONGEST = 1000


class CursorInvalid(Problem):
    """The cursor was not given for this question.

    Repeat filters and order as they were, with a key that sees the same.
    """

    status = 422
    code = "cursor-invalid"
    title = "Invalid cursor"

    def __init__(self) -> None:
        super().__init__(
            errors=[{"in": "query", "name": "cursor", "code": self.code, "detail": "was not given for this question"}]
        )


class CursorAhead(Problem):
    """The cursor is ahead of every `seq` that was given here: the database was restored from a backup since.

    What came after the backup may be told anew by other numbers. Begin with a cursor of before it, or with none.
    """

    status = 422
    code = "cursor-ahead"
    title = "Cursor ahead"

    def __init__(self) -> None:
        detail = "is ahead of all that was given here, for the database was restored from a backup"
        super().__init__(errors=[{"in": "query", "name": "cursor", "code": self.code, "detail": detail}])


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the last row's values in the order, and the moment that relative times count from."""

    after: tuple[str | int | None, ...]
    asked_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """The question that a cursor is good for, as a digest."""

    digest: bytes

    @classmethod
    def of(cls, resource: str, order: str, filters: Sequence[tuple[str, str]], access: Access) -> "Binding":
        """Return the binding: the list, its order, its filters, and what the key may see (not which key it is)."""
        sources = None if access.source_ids is None else sorted(map(str, access.source_ids))
        brokers = None if access.brokers is None else sorted(access.brokers)
        personal = access.may(Scope.READ_PERSONAL)
        question = orjson.dumps([resource, order, sorted(filters), sources, brokers, personal])
        return cls(hashlib.sha256(question).digest())


def cursor_key(encryption_key: str) -> bytes:
    """Return the key that cursors are made with, derived from the service's encryption key."""
    return hmac.digest(encryption_key.encode(), b"callbox cursor", "sha256")


def write_cursor(key: bytes, binding: Binding, position: Position) -> str:
    """Return a position as a cursor."""
    payload = orjson.dumps([position.after, position.asked_at_ms])
    return base64.urlsafe_b64encode(_cipher(key).encrypt(payload, [binding.digest])).decode().rstrip("=")


def read_cursor(key: bytes, binding: Binding, text: str) -> Position:
    """Return the position of a cursor.

    Raises:
        CursorInvalid: it is not one of ours, or of another question.
    """
    if len(text) > _LONGEST or not text.isascii():
        raise CursorInvalid
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise CursorInvalid from None
    after, asked_at_ms = orjson.loads(_payload(key, binding, raw))
    return Position(tuple(after), asked_at_ms)


def _payload(key: bytes, binding: Binding, raw: bytes) -> bytes:
    """Return what a cursor holds; followers may still have one of the time when they were only signed."""
    try:
        return _cipher(key).decrypt(raw, [binding.digest])
    except InvalidTag:
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if hmac.compare_digest(signature, hmac.digest(key, binding.digest + payload, "sha256")[:_SIGNATURE_BYTES]):
            return payload
        raise CursorInvalid from None


@lru_cache(1)
def _cipher(key: bytes) -> AESSIV:
    """Return what needs no nonce: the same position is the same cursor."""
    return AESSIV(hmac.digest(key, b"position", "sha256"))
