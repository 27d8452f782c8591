"""Plays WeGroup's create-lead calls over real HTTP, as the page has them, and calls the leads' callbacks.

Run it with `python -m tests.doubles.wegroup --port N`. Besides the platform's paths it has, for whoever drives it:
`POST /double/advance` `{"lead_id", "event", "form"}` (a lead goes on and its callbacks are told, in one of the forms A
to F that the platform's silence leaves possible), `GET /double/state`, `POST /double/settings` and `/double/quirks`.
What it refuses is `wegroup_rules`'s, how it misbehaves `quirks`'s. All people and firms are invented.
"""

import argparse
import copy
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.doubles.quirks import Quirks
from tests.doubles.serving import run
from tests.doubles.wegroup_rules import find_wrong, refusal

Json = dict[str, Any]

API_TOKEN, ACCESS_TOKEN, DISTRIBUTION_ID = (
    "double-api-token",
    "double-access-token",
    "8a52b0a4-5b3f-4d63-9f0e-2f6f0f6f7a01",
)


@dataclass
class Settings:
    """How it plays.

    It calls back `after` its answer, `first` or `never`, in a form from A to F; it refuses in one of the forms of
    `wegroup_rules`, and answers with the `lead`, with `id-only`, `without-id` or with an `id-as-number`.
    """

    calls_back: str = "after"
    form: str = "A"
    refuses_in: str = "object"
    answers: str = "lead"
    status: int = 200


@dataclass(frozen=True)
class Heard:
    """A request that reached a path of the platform."""

    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    body: Any = field(repr=False)


@dataclass(frozen=True)
class CalledBack:
    """A callback that went out and what it was answered; 0 if nobody was there."""

    url: str
    lead_id: str
    form: str
    answered: int


class WeGroup:
    """The platform: an ASGI application. Tests may reach into `leads`, `settings` and `quirks` between calls."""

    def __init__(
        self,
        *,
        api_token: str = API_TOKEN,
        access_token: str = ACCESS_TOKEN,
        distribution_id: str = DISTRIBUTION_ID,
    ) -> None:
        self.settings = Settings()
        self.leads: dict[str, Json] = {}
        self.heard: list[Heard] = []
        self.called_back: list[CalledBack] = []
        self._authorizations = {f"apikey {api_token}", f"bearer {access_token}"}
        self._distribution_id = distribution_id
        leads = "/v1/api/distributions/{distribution_id}/leads/{kind}"
        self.quirks = Quirks(
            Starlette(
                routes=[
                    Route(leads, self._create, methods=["POST"]),
                    Route("/double/advance", self._advance, methods=["POST"]),
                    Route("/double/settings", self._set, methods=["POST"]),
                    Route("/double/state", self._state, methods=["GET"]),
                ]
            )
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        await self.quirks(scope, receive, send)

    async def _create(self, request: Request) -> Response:
        """Create a lead, or merge it into one that matches."""
        body = await request.json()
        self.heard.append(Heard(request.method, request.url.path, dict(request.headers), body))
        kind = request.path_params["kind"]
        if request.headers.get("authorization") not in self._authorizations:
            return JSONResponse({"detail": "Could not validate credentials"}, 401)
        if request.path_params["distribution_id"] != self._distribution_id or kind not in {"customers", "companies"}:
            return JSONResponse({"detail": "Not Found"}, 404)
        if wrong := find_wrong(kind, body):
            return refusal(wrong, self.settings.refuses_in, body)
        lead_id = self._save(body)
        answer = self._answer(lead_id)
        if self.settings.calls_back == "first":
            await self.call_back(lead_id, "created")
        if self.settings.calls_back == "after":
            answer.background = BackgroundTask(self.call_back, lead_id, "created")
        return answer

    def _answer(self, lead_id: str) -> Response:
        shown: dict[str, Json] = {
            "lead": self.leads[lead_id],
            "id-only": {"id": lead_id},
            "without-id": {"status": "ok"},
            "id-as-number": {"id": 4711},
        }
        return JSONResponse(shown[self.settings.answers], self.settings.status)

    def _save(self, body: Json) -> str:
        """Merge by reference, by id, or by e-mail, birth and address; callbacks are collected."""
        sent = copy.deepcopy(body)
        lead_id = next((one for one, lead in self.leads.items() if _matches(lead, sent)), str(uuid4()))
        known = self.leads.setdefault(lead_id, {"id": lead_id, "distribution_id": self._distribution_id})
        party = known.get("prospect", {"id": lead_id})
        callbacks = [*party.get("callbacks", []), *sent["prospect"].get("callbacks", [])]
        party |= sent["prospect"] | {"id": lead_id, "callbacks": list(dict.fromkeys(callbacks))}
        known |= sent | {"prospect": party, "status": known.get("status", "NEW"), "updated_at": _now()}
        return lead_id

    async def call_back(self, lead_id: str, event: str, form: str | None = None) -> list[CalledBack]:
        """Tell a lead to each of its callbacks, in the form given or that of the settings."""
        chosen = form or self.settings.form
        called = []
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            for url in self.leads[lead_id]["prospect"]["callbacks"]:
                try:
                    answered = (await client.post(url, json=self._told(lead_id, event, chosen))).status_code
                except httpx2.HTTPError:
                    answered = 0
                called.append(CalledBack(url, lead_id, chosen, answered))
        self.called_back += called
        return called

    def _told(self, lead_id: str, event: str, form: str) -> Any:
        """Return the body of a callback."""
        lead = self.leads[lead_id]
        forms: dict[str, Any] = {
            "A": lead,
            "B": {"event": f"lead.{event}", "id": f"evt-{uuid4()}", "timestamp": _now(), "data": lead},
            "C": {"origin": lead.get("origin"), "updated_at": lead["updated_at"], **lead["prospect"]},
            "D": {"lead_id": lead_id, "event_type": event},
            "E": [lead, {"lead_id": lead_id, "event_type": event}],
            "F": {"hello": "world"},
        }
        return forms[form]

    async def _advance(self, request: Request) -> Response:
        """Let something happen to a lead, and tell it."""
        body = await request.json()
        lead = self.leads.get(body["lead_id"])
        if lead is None:
            return JSONResponse({"error": "unknown lead"}, 404)
        event = body.get("event", "updated")
        lead |= {"status": body.get("status", event.upper()), "updated_at": _now()}
        called = await self.call_back(body["lead_id"], event, body.get("form"))
        return JSONResponse([asdict(one) for one in called])

    async def _set(self, request: Request) -> Response:
        for name, value in (await request.json()).items():
            if name not in asdict(self.settings):
                return JSONResponse({"error": f"unknown setting {name}"}, 422)
            setattr(self.settings, name, value)
        return JSONResponse(asdict(self.settings))

    async def _state(self, _request: Request) -> Response:
        heard = [{"method": one.method, "path": one.path} for one in self.heard]
        called = [asdict(one) for one in self.called_back]
        return JSONResponse({"leads": self.leads, "heard": heard, "called_back": called})


def _matches(lead: Json, sent: Json) -> bool:
    """Say whether two leads are one, by the page's combinations ("Updating a lead")."""
    one, other = lead["prospect"], sent["prospect"]
    by_reference = other.get("external_ref") is not None and one.get("external_ref") == other["external_ref"]
    by_id = other.get("id") == lead["id"]
    names = ("email", "birth", "address")
    by_person = all(other.get(name) and one.get(name) == other[name] for name in names)
    return by_reference or by_id or by_person


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def main() -> None:
    """Serve in the foreground."""
    options = argparse.ArgumentParser(description="Plays WeGroup.")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--api-token", default=API_TOKEN)
    options.add_argument("--access-token", default=ACCESS_TOKEN)
    options.add_argument("--distribution-id", default=DISTRIBUTION_ID)
    chosen = vars(options.parse_args())
    port = chosen.pop("port")
    run(WeGroup(**chosen), port)


if __name__ == "__main__":
    main()
