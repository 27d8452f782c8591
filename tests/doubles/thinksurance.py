"""Plays Thinksurance's API V1.1 over real HTTP, as its pages and examples have it, and calls back.

Run it with `python -m tests.doubles.thinksurance --port N`. Besides the platform's paths it has, for whoever drives it:
`POST /double/advance` `{"inquiryId", "status"}` (an inquiry goes on, and is told to the callback addresses),
`POST /double/expire` (all tokens expire), `GET /double/state`, `POST /double/settings` and `/double/quirks`.
What it remembers is `thinksurance_world`'s, what it refuses `thinksurance_rules`'s, how it misbehaves `quirks`'s.
"""

import argparse
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.doubles.quirks import Quirks
from tests.doubles.serving import run
from tests.doubles.thinksurance_older import Older
from tests.doubles.thinksurance_rules import (
    RefusalError,
    Settings,
    check_broker,
    check_forward,
    checked_agency_numbers,
)
from tests.doubles.thinksurance_world import (
    ACCOUNT_TOKEN,
    BROKER_TOKEN,
    PRODUCTS,
    PROFESSIONS,
    USER_HASH,
    USER_SECRET,
    Broker,
    Inquiry,
    Item,
    World,
    file_hash,
)

_CALLBACKS = ("fullCallback", "callbackUrl", "mvpFullCallback", "mvpCallbackUrl")
_LOOKED_BACK = 92


@dataclass(frozen=True)
class Heard:
    """A request that reached a path of the platform."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


Handler = Callable[[Request, Any], Awaitable[Response]]


class Thinksurance:
    """The platform: an ASGI application. Tests may reach into `world`, `settings` and `quirks` between calls."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.settings = Settings()
        self.heard: list[Heard] = []
        self.world.files.settings = self.settings
        open_to_all = [
            ("POST", "/api/ipn/tokens", self._tokens),
            ("POST", "/api/token", self._tokens),
            ("POST", "/api/doc/get/{token}", self._document_v1),
            ("GET", "/files/{digest}", self._linked),
        ]
        self.older = Older(self.world, self.settings)
        open_to_all += self.older.routes
        guarded = [
            ("POST", "/api/ipn/brokers/forward", self._forward),
            ("POST", "/api/ipn/agency-numbers", self._agency_numbers),
            ("POST", "/api/ipn/brokers", self._create_broker),
            ("POST", "/api/ipn/brokers/tokens", self._broker_tokens),
            ("GET", "/api/ipn/products", self._products),
            ("GET", "/api/ipn/professions", self._professions),
            ("GET", "/api/ipn/inquiries", self._inquiries),
            ("GET", "/api/ipn/inquiries/{inquiry_id:int}", self._inquiry),
            ("GET", "/api/ipn/documents/{document_id}", self._document),
        ]
        control = [
            ("GET", "/switch/{key}", self._switch),
            ("POST", "/double/advance", self._advance),
            ("POST", "/double/expire", self._expire),
            ("POST", "/double/settings", self._set),
            ("GET", "/double/state", self._state),
        ]
        account = Route(
            "/api/ipn/account/tokens", self._answering(self._account_tokens, guarded=True), methods=["GET", "POST"]
        )
        routes = [Route(path, self._answering(call), methods=[method]) for method, path, call in open_to_all + control]
        routes += [Route(path, self._answering(call, guarded=True), methods=[method]) for method, path, call in guarded]
        self.quirks = Quirks(Starlette(routes=[account, *routes]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        await self.quirks(scope, receive, send)

    def _answering(self, call: Handler, *, guarded: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint: hears, checks the session, turns a refusal into the platform's error."""

        async def endpoint(request: Request) -> Response:
            try:
                body = await request.json() if await request.body() else None
                if request.url.path.startswith("/api/"):
                    query, headers = dict(request.query_params), dict(request.headers)
                    self.heard.append(Heard(request.method, request.url.path, query, headers, body))
                if guarded:
                    self._check_session(request)
                return await call(request, body)
            except RefusalError as refusal:
                return JSONResponse({"error": str(refusal)}, refusal.status or self.settings.error_status)

        return endpoint

    def _check_session(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not self.world.is_live(token):
            raise RefusalError("Token is not valid or expired.")

    async def _tokens(self, _request: Request, body: Any) -> Response:
        if body != {"hash": self.world.user_hash, "secret": self.world.user_secret}:
            raise RefusalError("API User is not existing or deactivated.")
        token, expired = self.world.log_in()
        return JSONResponse({"token": token, "expired": expired})

    async def _forward(self, request: Request, body: Any) -> Response:
        broker = self._broker(request)
        check_forward(body)
        broker.external_id = body["bExternalId"]
        broker.master |= {name: value for name, value in body.items() if name.startswith("b")}
        broker.callbacks |= {name: body[name] for name in _CALLBACKS if name in body}
        key = secrets.token_urlsafe(16)
        self.world.switches[key] = {"broker": broker, "sent": body, "used": False}
        answer: Item = {"url": f"{str(request.base_url).rstrip('/')}/switch/{key}"}
        customer = self.world.save_customer(broker, body)
        if body.get("instantInquiryCreation") != "True":
            return JSONResponse(answer)
        inquiry = self.world.create_inquiry(broker, customer, body)
        self.world.switches[key]["used"] = True
        answer |= {"inquiryId": inquiry.id, "inquiryHash": inquiry.hash}
        if self.settings.callback_first:
            await self.world.call_back(inquiry)
            return JSONResponse(answer)
        return JSONResponse(answer, background=BackgroundTask(self.world.call_back, inquiry))

    async def _switch(self, request: Request, _body: Any) -> Response:
        """Play the user's browser arriving: the inquiry may be made as late as here."""
        switch = self.world.switches.get(request.path_params["key"])
        if switch is None:
            raise RefusalError("unknown", 404)
        sent = switch["sent"]
        if not switch["used"] and "productId" in sent and "professionId" in sent:
            switch["used"] = True
            customer = self.world.save_customer(switch["broker"], sent)
            inquiry = self.world.create_inquiry(switch["broker"], customer, sent)
            return JSONResponse({"landed": "inquiry"}, background=BackgroundTask(self.world.call_back, inquiry))
        return JSONResponse({"landed": "dashboard"})

    async def _agency_numbers(self, request: Request, body: Any) -> Response:
        brokers = [self._broker(request)] if "x-broker-token" in request.headers else self._brokers_of_account(request)
        numbers = checked_agency_numbers(body)
        taken = {number.get("externalUniqueId") for broker in brokers for number in broker.agency_numbers} - {"", None}
        if any(number.get("externalUniqueId") in taken for number in numbers):
            raise RefusalError("externalUniqueId is used already.")
        for broker in brokers:
            broker.agency_numbers += numbers
        said = {"status": "Broker Api: agency number added succesfully."}
        return JSONResponse([said] if self.settings.statuses_as_list else said)

    async def _create_broker(self, request: Request, body: Any) -> Response:
        self._check_account(request)
        check_broker(body)
        if self.world.find_broker(body["bExternalId"]) is not None:
            raise RefusalError("Broker exists already.")
        broker = self.world.create_broker(body)
        return JSONResponse({"status": "Broker created.", "bToken": broker.token})

    async def _broker_tokens(self, request: Request, body: Any) -> Response:
        self._check_account(request)
        check_broker(body)
        broker = self.world.find_broker(body["bExternalId"])
        if broker is None:
            # 404 since 25.03.2025 (newsletter).
            raise RefusalError("Broker not found.", 404)
        token = {"status": "Broker found.", "bToken": broker.token}
        return JSONResponse([token] if self.settings.tokens_as_list else token)

    async def _account_tokens(self, request: Request, _body: Any) -> Response:
        if self.settings.account_tokens_by_post and request.method == "GET":
            raise RefusalError("Method not allowed.", 405)
        token = {"aToken": self.world.account_token}
        return JSONResponse([{"name": "Musterpool", **token}] if self.settings.tokens_as_list else token)

    async def _products(self, request: Request, _body: Any) -> Response:
        profession = request.query_params.get("professionId")
        return JSONResponse(list(PRODUCTS[:1] if profession else PRODUCTS))

    async def _professions(self, _request: Request, _body: Any) -> Response:
        return JSONResponse(list(PROFESSIONS))

    async def _inquiries(self, request: Request, _body: Any) -> Response:
        query = request.query_params
        since = self.world.today() - timedelta(days=int(query.get("lastDays", _LOOKED_BACK)))
        found = [
            (str(inquiry.id), self.world.item(inquiry))
            for inquiry in self._visible(request)
            if inquiry.updated_on >= since
        ]
        if "inquiryId" in query:
            found = [(key, item) for key, item in found if key == query["inquiryId"]]
        if not found:
            return JSONResponse([] if self.settings.empty_form == "list" else {})
        return JSONResponse([item for _, item in found] if self.settings.pull_form == "list" else dict(found))

    async def _inquiry(self, request: Request, _body: Any) -> Response:
        number = request.path_params["inquiry_id"]
        for inquiry in self._visible(request):
            if inquiry.id == number:
                return JSONResponse(self.world.item(inquiry))
        raise RefusalError("Inquiry not found.")

    async def _document(self, request: Request, _body: Any) -> Response:
        return await self._handed_out("v1.1", self._broker(request), request.path_params["document_id"])

    async def _document_v1(self, request: Request, body: Any) -> Response:
        if not self.world.is_live(request.path_params["token"]):
            raise RefusalError("Token is not valid or expired.")
        broker = self.world.brokers.get(body.get("bToken", ""))
        if broker is None:
            raise RefusalError("Broker is not existing.")
        return await self._handed_out("v1", broker, body["hash"])

    async def _handed_out(self, way: str, broker: Broker, digest: str) -> Response:
        if digest not in [file_hash(one) for one in self.world.inquiries.values() if one.broker is broker]:
            raise RefusalError("Document not found.")
        return await self.world.files.answer(way, digest)

    async def _linked(self, request: Request, _body: Any) -> Response:
        return await self.world.files.linked(request)

    async def _advance(self, _request: Request, body: Any) -> Response:
        inquiry = self.world.inquiries.get(body["inquiryId"])
        if inquiry is None:
            raise RefusalError("unknown inquiry", 404)
        inquiry.status = body["status"]
        called = await self.world.call_back(inquiry)
        return JSONResponse([asdict(one) for one in called])

    async def _expire(self, _request: Request, _body: Any) -> Response:
        self.world.expire_sessions()
        self.world.files.end_tokens()
        return JSONResponse({})

    async def _set(self, _request: Request, body: Any) -> Response:
        for name, value in body.items():
            if name not in asdict(self.settings):
                raise RefusalError(f"unknown setting {name}", 422)
            setattr(self.settings, name, value)
        return JSONResponse(asdict(self.settings))

    async def _state(self, _request: Request, _body: Any) -> Response:
        brokers = [asdict(broker) for broker in self.world.brokers.values()]
        inquiries = {str(one.id): self.world.item(one) for one in self.world.inquiries.values()}
        calls = [{"method": one.method, "path": one.path} for one in self.heard]
        called = [asdict(one) for one in self.world.called_back]
        return JSONResponse({"brokers": brokers, "inquiries": inquiries, "heard": calls, "called_back": called})

    def _broker(self, request: Request) -> Broker:
        broker = self.world.brokers.get(request.headers.get("x-broker-token", ""))
        if broker is None:
            raise RefusalError("Broker is not existing.")
        return broker

    def _check_account(self, request: Request) -> None:
        if request.headers.get("x-account-token") != self.world.account_token:
            raise RefusalError("Account is not existing.")

    def _brokers_of_account(self, request: Request) -> list[Broker]:
        self._check_account(request)
        return list(self.world.brokers.values())

    def _visible(self, request: Request) -> list[Inquiry]:
        brokers = [self._broker(request)] if "x-broker-token" in request.headers else self._brokers_of_account(request)
        return [inquiry for inquiry in self.world.inquiries.values() if inquiry.broker in brokers]


def main() -> None:
    """Serve in the foreground."""
    options = argparse.ArgumentParser(description="Plays Thinksurance.")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--hash", default=USER_HASH, dest="user_hash")
    options.add_argument("--secret", default=USER_SECRET, dest="user_secret")
    options.add_argument("--signing-secret", help="what sHash is made with; the secret, if it is not given")
    options.add_argument("--broker-token", default=BROKER_TOKEN)
    options.add_argument("--account-token", default=ACCOUNT_TOKEN)
    options.add_argument("--token-seconds", type=float, default=900.0)
    chosen = vars(options.parse_args())
    port = chosen.pop("port")
    run(Thinksurance(World(**chosen)), port)


if __name__ == "__main__":
    main()
