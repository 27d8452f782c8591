"""Finds out who asks: the API key of a request, and whether it has the scope that is needed.

Keys are kept by the accounts room; which rows a key may see is settled in `walls`, which fields in `personal`.
"""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.accounts.model import Access, Accounts, Scope
from app.accounts.snapshot import AccountsUnavailableError
from app.crypto import API_KEY, sha256
from app.problems import Problem
from app.query.rate import check_rate
from app.query.reading import Book, DatabaseAway, moment_of, reading_of
from app.times import now


class Unauthorized(Problem):
    """Send an API key in the header `Authorization: Bearer cbx_...`; `callbox keys add` makes one."""

    status = 401
    code = "unauthorized"
    title = "Unauthorized"


class Forbidden(Problem):
    """The key lacks a scope that this needs."""

    status = 403
    code = "forbidden"
    title = "Forbidden"


class FieldHidden(Problem):
    """A field is personal and the key lacks the scope `read:personal`, so it may not filter or sort by it."""

    status = 403
    code = "field-hidden"
    title = "Field hidden"


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="callbox"'}
_REFUSED = {"WWW-Authenticate": 'Bearer realm="callbox", error="invalid_token"'}

bearer = HTTPBearer(
    scheme_name="apiKey",
    bearerFormat="cbx_...",
    description="An API key, made by `callbox keys add`. Its scopes and walls decide what is seen.",
    auto_error=False,
)


async def find_access(book: Book, key: str) -> Access | None:
    """Return what a key may do; a key not in the snapshot makes one shared re-read before it is unknown.

    Raises:
        DatabaseAway: the key is not known here and the database cannot be asked.
    """
    if not API_KEY.fullmatch(key):
        return None
    digest = sha256(key)
    access = book.present.keys.get(digest)
    if access is None:
        await read_anew(book)
        access = book.present.keys.get(digest)
    if access is None or (access.expires_at is not None and access.expires_at <= now()):
        return None
    return access


async def read_anew(book: Book) -> None:
    """Read the accounts again.

    Raises:
        DatabaseAway: the database cannot be asked.
    """
    try:
        await book.refresh()
    except AccountsUnavailableError:
        raise DatabaseAway(headers={"Retry-After": "2"}) from None


class KeyWatch:
    """Tells whether a key still is what it was when a long answer began.

    It looks for the key only where the accounts were read anew.
    """

    def __init__(self, book: Book, access: Access) -> None:
        self._book = book
        self._access = access
        self._seen: Accounts | None = None

    def is_good(self) -> bool:
        """Tell whether the answer may go on."""
        expires_at = self._access.expires_at
        if expires_at is not None and expires_at <= now():
            return False
        present = self._book.present
        if present is not self._seen:
            if self._access not in present.keys.values():
                return False
            self._seen = present
        return True


async def identified(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Access:
    """Return who asks.

    Raises:
        Unauthorized: there is no key, or it is unknown, revoked or expired.
        TooManyRequests: it has asked too often.
    """
    moment_of(request)
    if credentials is None:
        raise Unauthorized(headers=_CHALLENGE)
    access = await find_access(reading_of(request).book, credentials.credentials)
    if access is None:
        raise Unauthorized("This API key is unknown, revoked or expired.", headers=_REFUSED)
    check_rate(request, reading_of(request).limiter, access.key_id)
    return access


def require(access: Access, scope: Scope) -> None:
    """Raise Forbidden where the key lacks a scope."""
    if not access.may(scope):
        raise Forbidden(f"The key lacks the scope `{scope}`.")


async def reader(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Access:
    """Return who asks, if they may read."""
    access = await identified(request, credentials)
    require(access, Scope.READ)
    return access


async def writer(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> Access:
    """Return who asks, if they may write."""
    access = await identified(request, credentials)
    require(access, Scope.WRITE)
    return access


Reader = Annotated[Access, Depends(reader)]
Writer = Annotated[Access, Depends(writer)]
