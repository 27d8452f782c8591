"""Plays what Thinksurance has beside V1.1: the pulls of V1, and the login and links of V2's notifications.

All else is `thinksurance`'s.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from tests.doubles.thinksurance_rules import RefusalError, Settings
from tests.doubles.thinksurance_world import Inquiry, World

_LOOKED_BACK = 92


class Older:
    """The other two versions over the same world. Tests may reach into `references` (what links lead to).

    All tokens end once `ends_after` links were asked for. At any other path than `login_path` a page says that there is
    nothing.
    """

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._logins: set[str] = set()
        self.references: dict[str, Any] = {}
        self.asked: list[str] = []
        self.ends_after: int | None = None
        self.login_path = "/api/auth/v2/token"
        self.routes = [
            ("POST", "/api/ipn/get/{token}", self._by_broker),
            ("POST", "/api/account-ipn/get/{token}", self._by_account),
            ("POST", "/api/ipn/inquiry/{inquiry_id:int}", self._one),
            ("POST", "/api/auth/v2/token", self._log_in),
            ("POST", "/tokens", self._log_in),
            ("GET", "/api/public/v2/{name:path}", self._reference),
        ]

    async def _by_broker(self, request: Request, body: Any) -> Response:
        return self._found(request.path_params["token"], body, [body.get("bToken", "")])

    async def _by_account(self, request: Request, body: Any) -> Response:
        if body.get("aToken") != self._world.account_token:
            raise RefusalError("Account is not existing.")
        return self._found(request.path_params["token"], body, list(self._world.brokers))

    def _found(self, token: str, body: Any, brokers: list[str]) -> Response:
        self._check(token)
        since = self._world.today() - timedelta(days=int(body.get("lastDays", _LOOKED_BACK)))
        found = {
            str(one.id): self._world.item(one)
            for one in self._world.inquiries.values()
            if one.broker.token in brokers and one.updated_on >= since
        }
        return JSONResponse(found or ([] if self._settings.empty_form == "list" else {}))

    async def _one(self, request: Request, body: Any) -> Response:
        self._check(body.get("token", ""))
        inquiry = self._world.inquiries.get(request.path_params["inquiry_id"])
        if inquiry is None or body.get("bToken", inquiry.broker.token) != inquiry.broker.token:
            raise RefusalError("Inquiry not found.")
        return JSONResponse(self._world.item(inquiry))

    def _check(self, token: str) -> None:
        if not self._world.is_live(token):
            raise RefusalError("Token is not valid or expired.")

    async def _log_in(self, request: Request, body: Any) -> Response:
        if request.url.path != self.login_path:
            return HTMLResponse("<html><body>Not Found</body></html>", 404)
        # The names are crossed over, by the page.
        if body != {"accessKey": self._world.user_secret, "secretKey": self._world.user_hash}:
            raise RefusalError("access denied", 401)
        token = secrets.token_urlsafe(24)
        self._logins.add(token)
        return JSONResponse({"access_token": token, "expires_in": 14400})

    async def _reference(self, request: Request, _body: Any) -> Response:
        name = request.path_params["name"]
        if len(self.asked) == self.ends_after:
            self._logins.clear()
        self.asked.append(name)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self._logins:
            raise RefusalError("access denied", 401)
        if name not in self.references:
            raise RefusalError("not found", 404)
        found = self.references[name]
        if isinstance(found, str):
            return RedirectResponse(found)
        return found if isinstance(found, Response) else JSONResponse(found)

    async def notify(self, url: str, inquiry: Inquiry, event_type: str, *links: tuple[str, str, str]) -> int:
        """Send a thin notification about an inquiry, and about what `links` (type, id, address) name besides."""
        affected: list[dict[str, Any]] = [{"referenceType": "inquiry", "referenceId": str(inquiry.id)}]
        affected += [
            {"referenceType": kind, "referenceId": name, "links": [{"contentType": "application/json", "href": href}]}
            for kind, name, href in links
        ]
        body = {
            "eventType": event_type,
            "eventTime": datetime.now(UTC).isoformat(),
            "eventId": "",
            "notificationId": str(uuid4()),
            "accountReference": "musterpool",
            "brokerReference": inquiry.broker.external_id,
            "affected": affected,
        }
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            return (await client.post(url, json=body)).status_code
