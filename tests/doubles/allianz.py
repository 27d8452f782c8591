"""Plays the Leads Contract API of Allianz Spain over real HTTP, by its page; what the page leaves open is a setting.

Run it with `python -m tests.doubles.allianz --port N`. Besides the platform's paths it has, for whoever drives it:
`POST /double/expire` (all access tokens expire), `GET /double/state`, `POST /double/settings` and `/double/quirks`.
How it misbehaves is `quirks`'s. All people are invented; the tax numbers are the published test numbers.
"""

import argparse
import base64
import itertools
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.doubles.quirks import Quirks
from tests.doubles.serving import run

Json = dict[str, Any]
Handler = Callable[[Json], Response]

CLIENT_ID, CLIENT_SECRET = "double-client", "double-secret"
USERNAME, PASSWORD = "double-partner", "double-password"
API_KEY = "double-api-key"

CLIENT, CLIENT_OF_ALLIANZ, STRANGER = "12345678Z", "54362315K", "Y1234567X"
"""A client whom the partner manages, one whom Allianz keeps, and nobody's client."""

AGENT = "0098761"
_REQUIRED = ("acceptTerms", "agenteId", "motivoLlamada", "name", "phone")


@dataclass
class Settings:
    """How it plays.

    `auth` is none, basic, header or client-credentials. `wrapped` puts every answer one level down, `loose` writes
    booleans as text and numbers as numbers, `ko_status` is the HTTP code of a KO. `client_data` overwrites members of
    Client Data's answers ("absent" leaves one out), `lead` those of the other two.
    """

    auth: str = "none"
    wrapped: bool = False
    loose: bool = False
    ko_status: int = 200
    client_data: Json = field(default_factory=dict)
    lead: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """A request that reached a path of the platform."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: Json = field(repr=False)


class Allianz:
    """The platform: an ASGI application. Tests may reach into `leads`, `settings` and `quirks` between calls."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.clients: dict[str, Json] = {
            CLIENT: {"agentId": AGENT, "client": True, "multiAcceso": True, "partnerManage": True},
            CLIENT_OF_ALLIANZ: {"agentId": AGENT, "client": True, "multiAcceso": False, "partnerManage": False},
        }
        self.leads: dict[str, Json] = {}
        self.updates: list[Json] = []
        self.heard: list[Heard] = []
        self.tokens: set[str] = set()
        self.tokens_given = 0
        self._ids = itertools.count(900_501)
        calls = (
            ("/client-data", self._client_data),
            ("/alta-lead", self._alta),
            ("/update-lead", self._update),
        )
        routes = [Route(path, self._guarded(call), methods=["GET", "POST", "PUT", "PATCH"]) for path, call in calls]
        routes += [
            Route("/oauth/token", self._token, methods=["POST"]),
            Route("/double/expire", self._expire, methods=["POST"]),
            Route("/double/settings", self._set, methods=["POST"]),
            Route("/double/state", self._state, methods=["GET"]),
        ]
        self.quirks = Quirks(Starlette(routes=routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        await self.quirks(scope, receive, send)

    def _guarded(self, call: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a call: hears, checks the credentials, answers in the form of the settings."""

        async def endpoint(request: Request) -> Response:
            body = await request.json() if await request.body() else dict(request.query_params)
            self.heard.append(Heard(request.method, request.url.path, dict(request.headers), body))
            if not self._is_authorised(request):
                return JSONResponse({"message": "Unauthorized"}, 401)
            return call(body)

        return endpoint

    def _is_authorised(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return {
            "none": True,
            "basic": given == _basic(USERNAME, PASSWORD),
            "header": request.headers.get("x-api-key") == API_KEY,
            "client-credentials": given.removeprefix("Bearer ") in self.tokens,
        }[self.settings.auth]

    def _answer(self, answer: Json, status: int = 200) -> Response:
        if self.settings.loose:
            answer = {name: _loose(name, value) for name, value in answer.items()}
        return JSONResponse({"result": answer} if self.settings.wrapped else answer, status)

    def _client_data(self, body: Json) -> Response:
        nif = body.get("nif", "")
        if not isinstance(nif, str) or len(nif) != len(CLIENT):
            return self._answer(
                {"message": f"NIF {nif} not valid", "nif": nif, "status": "KO"}, self.settings.ko_status
            )
        known = self.clients.get(nif, {"agentId": None, "client": False, "multiAcceso": False, "partnerManage": True})
        told = {"message": f"Operation completed for {nif}", "nif": nif, "status": "OK", **known}
        told |= self.settings.client_data
        status = self.settings.ko_status if told.get("status") == "KO" else 200
        return self._answer({name: value for name, value in told.items() if value != "absent"}, status)

    def _alta(self, body: Json) -> Response:
        """Register a lead. Each call makes one: the page promises no idempotency."""
        missing = [name for name in _REQUIRED if not body.get(name)]
        if missing:
            said = f"{', '.join(missing)} not valid for {body.get('name')}"
            return self._answer({"idLanding": None, "leadId": None, "message": said})
        lead_id = str(next(self._ids))
        self.leads[lead_id] = body
        id_landing = body.get("idLanding", f"LND-{lead_id}")
        told = {"idLanding": id_landing, "leadId": lead_id, "message": "Lead registered", **self.settings.lead}
        return self._answer(told)

    def _update(self, body: Json) -> Response:
        if body.get("leadId") not in self.leads:
            return self._answer({"leadId": None, "message": f"leadId {body.get('leadId')} unknown"})
        self.updates.append(body)
        return self._answer({"leadId": body["leadId"], "message": "Lead updated", **self.settings.lead})

    async def _token(self, request: Request) -> Response:
        """Give an access token by client credentials, in the header or in the form."""
        form = dict(parse_qsl((await request.body()).decode()))
        in_form = form.get("client_id") == CLIENT_ID and form.get("client_secret") == CLIENT_SECRET
        in_header = request.headers.get("authorization") == _basic(CLIENT_ID, CLIENT_SECRET)
        if form.get("grant_type") != "client_credentials" or not (in_form or in_header):
            return JSONResponse({"error": "invalid_client"}, 401)
        token = secrets.token_urlsafe(24)
        self.tokens.add(token)
        self.tokens_given += 1
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    async def _expire(self, _request: Request) -> Response:
        self.tokens.clear()
        return JSONResponse({})

    async def _set(self, request: Request) -> Response:
        for name, value in (await request.json()).items():
            if name not in asdict(self.settings):
                return JSONResponse({"error": f"unknown setting {name}"}, 422)
            setattr(self.settings, name, value)
        return JSONResponse(asdict(self.settings))

    async def _state(self, _request: Request) -> Response:
        heard = [{"method": one.method, "path": one.path} for one in self.heard]
        return JSONResponse({"leads": self.leads, "updates": self.updates, "heard": heard})


def _loose(name: str, value: Any) -> Any:
    """Write a value in another type than the page has it."""
    if isinstance(value, bool):
        return str(value).upper()
    if name in {"agentId", "leadId"} and isinstance(value, str) and value.isdigit():
        return int(value)
    return value.lower() if name == "status" else value


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def main() -> None:
    """Serve in the foreground."""
    options = argparse.ArgumentParser(description="Plays Allianz Spain.")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--auth", default="none", choices=("none", "basic", "header", "client-credentials"))
    chosen = options.parse_args()
    double = Allianz()
    double.settings.auth = chosen.auth
    run(double, chosen.port)


if __name__ == "__main__":
    main()
