"""Finds out who asks: the API key of a request, and whether it has the scope that is needed.

Keys are kept by the accounts room; which rows a key may see is settled in `walls`, which fields in `personal`.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

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


def require(access: Access, scope: Scope) -> None:
    """Raise Forbidden where the key lacks a scope."""
    if not access.may(scope):
        raise Forbidden(f"The key lacks the scope `{scope}`.")


class Identified(SecurityBase):
    """Finds out who asks, and refuses who lacks a scope: all of that is one dependency, for each costs every request.

    Raises:
        Unauthorized: there is no key, or it is unknown, revoked or expired.
        TooManyRequests: it has asked too often.
        Forbidden: it lacks the scope.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        self.scheme_name = "apiKey"
        self.model = HTTPBearer(
            bearerFormat="cbx_...",
            description="An API key, made by `callbox keys add`. Its scopes and walls decide what is seen.",
        )
        self._scope = scope

    async def __call__(self, request: Request) -> Access:
        """Return who asks."""
        moment_of(request)
        scheme, key = get_authorization_scheme_param(request.headers.get("Authorization"))
        if not key or scheme.lower() != "bearer":
            raise Unauthorized(headers=_CHALLENGE)
        reading = reading_of(request)
        access = await find_access(reading.book, key)
        if access is None:
            raise Unauthorized("This API key is unknown, revoked or expired.", headers=_REFUSED)
        check_rate(request, reading.limiter, access.key_id)
        if self._scope is not None:
            require(access, self._scope)
        return access


identified = Identified()
Reader = Annotated[Access, Depends(Identified(Scope.READ))]
Writer = Annotated[Access, Depends(Identified(Scope.WRITE))]


class StraightRoute(APIRoute):
    """Calls an endpoint that takes the request, the words of its path and who asks, and nothing else.

    FastAPI looks for parameters of all sorts in each request, which takes longer than to find out who asks.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        endpoint, taken = self.endpoint, self.dependant
        (asking,) = taken.dependencies
        identify, name = asking.call, str(asking.name)
        others = (taken.query_params, taken.header_params, taken.cookie_params, taken.body_params)
        if not isinstance(identify, Identified) or any(others):
            raise TypeError(f"{self.path} takes more than is handed over")

        async def answered(request: Request) -> Response:
            who = {name: await identify(request)}
            return await endpoint(request=request, **who, **request.path_params)  # type: ignore[no-any-return]  # FastAPI types it as any

        return answered
