"""A whole run with all that can go wrong in it: nothing secret and nobody's name is in what the service wrote."""

import base64
import gzip
import hashlib
import hmac
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from app.accounts.model import Mode, Scope
from app.crypto import new_api_key, new_callback_token
from tests.security.service import DEMANDED, SECRET, Answer, Service, running
from tests.server.test_supervisor import find_postmaster, until

pytestmark = pytest.mark.process

PERSONS = ("Quastenflosser", "Zephyrine", "Wolkenkratz", "Balthazar", "Irrlichtergasse", "Nachtigallenhof")
"""Invented, and in no log by chance."""

BROKER_TOKEN = "9d1c5be2f7a04c6688e1b0aa"
DOCUMENT_TOKEN = "f00dfeedf00dfeed77"
DOCUMENT_LINK = "https://documents.example.test/Quastenflosser/Police.pdf"


def signed(number: int, secret: str = SECRET, **data: Any) -> bytes:
    """Return an IPNotification about an invented person."""
    digest = hashlib.md5(f"{BROKER_TOKEN}{number}{secret}".encode(), usedforsecurity=False).hexdigest()
    body = {
        "sHash": digest,
        "data": {"bToken": BROKER_TOKEN, "bExternalId": "42", "iId": number, "status": 6, "iUpdated": "2026-03-09"}
        | data,
        "customer": {
            "cId": 1000 + number,
            "cFirstName": "Zephyrine",
            "cLastName": "Quastenflosser",
            "cEmail": "zephyrine@quastenflosser.example",
            "cStreet": "Irrlichtergasse",
            "cCity": "Nachtigallenhof",
        },
        "docs": {
            "docToken": {"token": DOCUMENT_TOKEN, "expired": "2026-03-16 12:00:00"},
            "files": [
                {"name": "Police", "fullName": "Quastenflosser.pdf", "hash": "ab12", "fullFilePath": DOCUMENT_LINK}
            ],
        },
    }
    return json.dumps(body).encode()


def lead(number: int, token: str) -> bytes:
    """Return a lead that echoes the callback URL, as WeGroup does."""
    url = f"https://hooks.example.test/callbacks/wegroup/{token}"
    prospect = {"first_name": "Balthazar", "last_name": "Wolkenkratz", "callbacks": [url]}
    return json.dumps({"id": f"lead-{number}", "event": "lead.updated", "prospect": prospect}).encode()


def demanded(body: bytes) -> dict[str, str]:
    """Return what the source `guarded` demands of a sender, signed for a body."""
    login = base64.b64encode(f"wegroup:{DEMANDED['sender_password']}".encode()).decode()
    signature = hmac.new(DEMANDED["sender_hmac_key"].encode(), body, "sha256").hexdigest()
    value = DEMANDED["sender_header_value"]
    return {
        "Authorization": f"Basic {login}",
        "X-Callbox-Sender": value.encode().decode("latin-1"),
        "X-Signed": signature,
    }


class Run:
    """One run: what was sent and asked, and all that must not be found in what was written."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.thinksurance = service.add_source("thinksurance", "strict", Mode.ENFORCE)
        self.wegroup = service.add_source("wegroup", "leads")
        self.guarded = service.add_source("wegroup", "guarded")
        service.demand(
            "guarded", sender_header="X-Callbox-Sender", sender_user="wegroup", sender_hmac_header="X-Signed"
        )
        guarded = f"/callbacks/wegroup/{self.guarded}"
        until(lambda: service.ask("POST", guarded, b"{}").status == 401, "a check that the receiver knows of")
        self.reader = service.add_key("reader", Scope.READ, Scope.READ_PERSONAL, Scope.WRITE)
        self.modest = service.add_key("modest", Scope.READ)
        self.unknown = (new_callback_token(), new_api_key())
        made = json.loads((service.data_dir / "first-start.json").read_text())
        demo = [made["api_key"], made["sources"][0]["secret"]]
        demo += [source["callback_url"].rpartition("/")[2] for source in made["sources"]]
        key = (service.data_dir / "encryption.key").read_text().strip()
        self.secrets = (SECRET, BROKER_TOKEN, DOCUMENT_TOKEN, self.thinksurance, self.wegroup, self.reader)
        self.secrets += (self.modest, key, *self.unknown, *demo, *DEMANDED.values(), self.guarded)
        self.refusals: list[Answer] = []

    def send(self) -> None:
        """Send what platforms send, and what strangers do."""
        ours, leads = f"/callbacks/thinksurance/{self.thinksurance}", f"/callbacks/wegroup/{self.wegroup}"
        json_type = {"Content-Type": "application/json"}
        for target, body, headers, status in (
            (ours, signed(1), json_type, 200),
            (ours, signed(1, premiumYearly=4711), json_type, 200),
            (ours, signed(2, secret="another"), json_type, {202, 401}),  # 401 once the recipe is known to be proven
            (ours, signed(3)[:-40], json_type, 202),
            (ours, signed(4), {"Content-Type": "text/plain; charset=Quastenflosser"}, 200),
            (ours, gzip.compress(signed(5)), {"Content-Encoding": "gzip"}, 200),
            (ours, b"\xff\xfe Quastenflosser \x00", {}, 202),
            (ours + "/?person=Quastenflosser&token=" + self.thinksurance, signed(6), json_type, 200),
            (leads, lead(1, self.wegroup), json_type, 200),
            (leads, lead(2, self.wegroup), {"X-Request-Id": self.wegroup, "Referer": leads}, 200),
            (f"/callbacks/wegroup/{self.guarded}", lead(5, self.guarded), demanded(lead(5, self.guarded)), 200),
            (f"/callbacks/wegroup/{self.guarded}", lead(6, self.guarded), demanded(b"another"), 401),
            (leads, b"x" * (6 << 20), {}, 413),
            (leads.replace("wegroup", "thinksurance"), lead(3, self.wegroup), {}, 404),
            (f"/callbacks/wegroup/{self.unknown[0]}", lead(4, self.unknown[0]), {}, 404),
            (f"//callbacks//wegroup/{self.wegroup}/Quastenflosser", b"", {}, 404),
        ):
            answer = self.service.ask("POST", target, body, headers)
            assert answer.status in (status if isinstance(status, set) else {status}), (target[:24], body[:40], answer)
            self.refusals.append(answer)
        self.refusals.append(self.service.ask("DELETE", leads))

    def inquire(self) -> None:
        """Ask everything there is to ask, in right and wrong ways."""
        service = self.service
        paths = service.ask("GET", "/openapi.json").json["paths"]
        listing = [path for path, kinds in paths.items() if "get" in kinds and "stream" not in path]
        assert len(listing) > 15
        found = service.get("/v1/deliveries?limit=1", self.reader).json["data"][0]["id"]
        strangers = cycle((self.unknown[1], self.wegroup))
        wrong = cycle(("last_name=Quastenflosser", "Quastenflosser=1", "limit=Quastenflosser", "cursor=Zephyrine"))
        for path in listing:
            target = path.partition("{")[0] + (found if "{" in path else "")
            for key in (self.reader, self.modest, next(strangers)):
                answer = self.answered(target, key)
                assert answer.status < 500, (target, answer)
                if answer.status >= 400:
                    self.refusals.append(answer)
            self.refuse(service.get(f"{target}?{next(wrong)}", self.reader))
        for target in (
            "/v1/customers?last_name=Quastenflosser&email=zephyrine@quastenflosser.example",
            "/v1/search?q=Quastenflosser",
            "/v1/leads?last_name[prefix]=Wolk",
            f"/v1/deliveries/{found}/body",
        ):
            assert service.get(target, self.reader).status == 200, target
            self.refuse(service.get(target, self.modest))
        self.refuse(service.ask("GET", f"/v1/leads?access_token={self.reader}"))
        self.refuse(service.ask("GET", f"/nowhere/{self.wegroup}/Wolkenkratz"))
        self.refuse(service.ask("POST", "/v1/submissions/wegroup/lead", signed(7), _bearer(self.reader)))
        assert service.ask("POST", f"/v1/deliveries/{found}/replay", b"", _bearer(self.reader)).status < 300

    def answered(self, target: str, key: str) -> Answer:
        """Ask until there is an answer: while a disk stalls for two seconds the service rightly asks for patience."""
        until = time.monotonic() + 60
        while (answer := self.service.get(target, key)).status == HTTPStatus.SERVICE_UNAVAILABLE:
            assert time.monotonic() < until, (target, answer)
            self.refusals.append(answer)
            time.sleep(1)
        return answer

    def refuse(self, answer: Answer) -> None:
        """Keep an answer that says no, if it does: what stands in it may echo what was asked, but nothing secret."""
        assert answer.status < 500, answer
        if answer.status >= 400:
            self.refusals.append(answer)

    def break_things(self) -> None:
        """Have the database refuse a row with a person in it, and a question about one; then kill it."""
        with self.service.database() as connection:
            connection.execute(
                "ALTER TABLE customers ADD CONSTRAINT odd CHECK (last_name <> 'Quastenflosser') NOT VALID"
            )
            connection.execute("ALTER TABLE leads RENAME TO leads_gone")
        for target in ("/v1/leads?last_name=Wolkenkratz", "/v1/leads?last_name[prefix]=Wolken&limit=3"):
            answer = self.service.get(target, self.reader)
            assert answer.status in {500, 503}
            self.refusals.append(answer)
        ours = f"/callbacks/thinksurance/{self.thinksurance}"
        assert self.service.ask("POST", ours, signed(8, premiumYearly=1)).status == 200
        self.service.await_processed()
        with self.service.database() as connection:
            broken = connection.execute("SELECT count(*) FROM outcomes WHERE reason = 'processing-failed'").fetchone()
            assert broken is not None
            assert broken[0] >= 1
            connection.execute("ALTER TABLE customers DROP CONSTRAINT odd")
            connection.execute("ALTER TABLE leads_gone RENAME TO leads")
        postmaster = find_postmaster(self.service.data_dir)
        assert postmaster is not None
        os.kill(postmaster, signal.SIGKILL)
        assert self.service.ask("POST", ours, signed(9)).status == 200  # from the spool
        until(lambda: find_postmaster(self.service.data_dir) not in {None, postmaster}, "a new database server")
        until(lambda: not list((self.service.data_dir / "spool").glob("*.sqlite")), "an empty spool")
        self.service.await_processed()

    def written(self) -> Iterator[tuple[str, bytes]]:
        """Give all that was written, but for the database itself and the two files that are made to hold secrets."""
        yield from self.service.said().items()
        for place, folders, names in os.walk(self.service.data_dir):
            inside = Path(place).relative_to(self.service.data_dir)
            if inside == Path("postgres"):
                folders.remove("data")
            for name in set(names) - {"encryption.key", "first-start.json"}:
                path = Path(place) / name
                with suppress(FileNotFoundError):  # put in the place of another meanwhile, or drained
                    if path.is_file():
                        yield str(inside / name), path.read_bytes()


def test_nothing_secret_and_no_person_is_written_anywhere() -> None:
    with running(log_level="debug") as service:
        run = Run(service)
        run.send()
        service.await_processed()
        run.inquire()
        run.break_things()
        written = [("metrics", service.ask("GET", "/metrics").body)]
        pids = [service.process.pid, *service.descendants()]
        written += [(f"command line of {pid}", Path(f"/proc/{pid}/cmdline").read_bytes()) for pid in pids]
        written += run.written()
        service.restart()
        run.send()
        service.await_processed()
        service.end()
        written += run.written()

    names = {name for name, _ in written}
    assert {"stdout", "stderr", "postgres.log", "spool/accounts.snapshot"} <= names
    kept = next(answer for answer in run.refusals if "callbox-delivery" in answer.headers)
    assert kept.headers["callbox-delivery"].encode() in dict(written)["stderr"], "what is written is found"
    log = service_log(dict(written)["stderr"])
    assert {"delivery.accepted", "delivery.quarantined", "request.failed"} <= log, "the run was worth reading"
    for name, content in written:
        for word in (*PERSONS, *run.secrets):
            assert word.encode().lower() not in content.lower(), f"{word[:6]}... stands in {name}"
    for answer in run.refusals:
        for secret in run.secrets:
            assert secret.encode() not in answer.body, f"{secret[:6]}... stands in an answer {answer.status}"
            assert secret not in str(answer.headers), f"{secret[:6]}... stands in a header of an answer {answer.status}"


def service_log(text: bytes) -> set[str]:
    """Return the kinds of events that were logged."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]
    return {str(line.get("event")) for line in lines}


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
