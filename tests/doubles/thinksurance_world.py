"""Holds what the double of Thinksurance remembers: sessions, brokers, customers' inquiries, and how it writes them.

Its paths and what they answer are `thinksurance`'s. All people and firms are invented.
"""

import hashlib
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2

from tests.doubles.thinksurance_documents import BERLIN, Files
from tests.doubles.thinksurance_rules import Settings

Item = dict[str, Any]

PRODUCTS = ({"id": 81, "name": "Betriebshaftpflicht"}, {"id": 88, "name": "Firmenrechtsschutz"})
PROFESSIONS = ({"id": 311, "name": "Tischlerei"}, {"id": 455, "name": "Gasthof"})
LEAD, TENDERING, CALCULATED, ORDERED, PROPOSAL = 2, 3, 4, 6, 15

_WITHOUT_CONTRACT = (LEAD, TENDERING, CALCULATED)  # IP Notification Response, footnote 1
_WITH_FILES = (ORDERED, PROPOSAL)
# Forward's parameters that the notification's table does not have.
_NOT_TOLD = ("cLegalForm", "cAccountType", "cBankIban", "cBankBic", "cBankName", "cBankAccountHolder")

USER_HASH, USER_SECRET = "double-hash", "double-secret"
BROKER_TOKEN, ACCOUNT_TOKEN = "7c21be90a4f35d6812ee04b9a", "double-account"


@dataclass
class Broker:
    """A broker: its token, the partner's id for it, where to call back, its agency numbers."""

    token: str
    external_id: str
    master: Item = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    agency_numbers: list[Item] = field(default_factory=list)

    def callback_urls(self) -> list[str]:
        """Return where to call back: the address of each pair whose switch is 0."""
        pairs = (("fullCallback", "callbackUrl"), ("mvpFullCallback", "mvpCallbackUrl"))
        return [self.callbacks[url] for switch, url in pairs if self.callbacks.get(switch) == 0]


@dataclass
class Customer:
    """A customer of a broker, known by the partner's id."""

    id: int
    fields: Item = field(default_factory=dict)
    references: list[Item] = field(default_factory=list)


@dataclass
class Inquiry:
    """An inquiry and where it stands."""

    id: int
    hash: str
    broker: Broker
    customer: Customer | None
    product_id: int
    profession_id: int
    references: list[Item] = field(default_factory=list)
    answers: Item | None = None
    status: int = LEAD
    created_on: date = field(default_factory=lambda: datetime.now(BERLIN).date())
    updated_on: date = field(default_factory=lambda: datetime.now(BERLIN).date())


@dataclass(frozen=True)
class CalledBack:
    """A callback that went out and what it was answered; 0 if nobody was there."""

    url: str
    inquiry_id: int
    answered: int


class World:
    """Everything the double remembers."""

    def __init__(
        self,
        *,
        user_hash: str = USER_HASH,
        user_secret: str = USER_SECRET,
        signing_secret: str | None = None,
        broker_token: str = BROKER_TOKEN,
        account_token: str = ACCOUNT_TOKEN,
        token_seconds: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.user_hash = user_hash
        self.user_secret = user_secret
        self.signing_secret = signing_secret or user_secret
        self.account_token = account_token
        self.token_seconds = token_seconds
        self.sessions: dict[str, float] = {}
        self.brokers = {broker_token: Broker(broker_token, "42")}
        self.customers: dict[tuple[str, str], Customer] = {}
        self.inquiries: dict[int, Inquiry] = {}
        self.switches: dict[str, Item] = {}
        self.called_back: list[CalledBack] = []
        self.files = Files(Settings())
        self.today: Callable[[], date] = lambda: datetime.now(BERLIN).date()
        self._clock = clock
        self._inquiry_ids = itertools.count(2_900_417)
        self._customer_ids = itertools.count(511_209)

    def log_in(self) -> tuple[str, str]:
        """Return a new session token and when it expires, in MySQL's form."""
        token = "t." + secrets.token_urlsafe(24)
        self.sessions[token] = self._clock() + self.token_seconds
        return token, f"{datetime.now(UTC) + timedelta(seconds=self.token_seconds):%Y-%m-%d %H:%M:%S}"

    def is_live(self, token: str) -> bool:
        """Say whether a session token is known and not yet expired."""
        return self.sessions.get(token, 0.0) > self._clock()

    def expire_sessions(self) -> None:
        """Let every session token be expired."""
        self.sessions = dict.fromkeys(self.sessions, float("-inf"))

    def find_broker(self, external_id: str) -> Broker | None:
        """Return the broker with the partner's id."""
        return next((broker for broker in self.brokers.values() if broker.external_id == external_id), None)

    def create_broker(self, master: Item) -> Broker:
        """Return a new broker; its token has 25 hexadecimal digits, as in the example of a notification."""
        broker = Broker(secrets.token_hex(13)[:25], master["bExternalId"], dict(master))
        self.brokers[broker.token] = broker
        return broker

    def save_customer(self, broker: Broker, sent: Item) -> Customer | None:
        """Update or create the customer that a forward names, its references with it."""
        names = (name for name in sent if name.startswith("c") and name[1].isupper() and name not in _NOT_TOLD)
        given = {name: sent[name] for name in names if name != "cExternalReferences"}
        if not given:
            return None
        key = (broker.token, sent.get("cExternalId") or f"unnamed-{len(self.customers)}")
        customer = self.customers.setdefault(key, Customer(next(self._customer_ids)))
        customer.fields |= given
        merge_references(customer.references, sent.get("cExternalReferences", ()))
        return customer

    def create_inquiry(self, broker: Broker, customer: Customer | None, sent: Item) -> Inquiry:
        """Return a new inquiry of what a forward says."""
        number = next(self._inquiry_ids)
        inquiry = Inquiry(
            number,
            hashlib.sha256(str(number).encode()).hexdigest()[:20],
            broker,
            customer,
            sent["productId"],
            sent["professionId"],
            answers=sent.get("qasCustProfile"),
        )
        merge_references(inquiry.references, sent.get("iExternalReferences", ()))
        self.inquiries[number] = inquiry
        return inquiry

    def item(self, inquiry: Inquiry) -> Item:
        """Return the inquiry as a signed IPNotification."""
        item: Item = {"sHash": self._sign(inquiry), "data": _data(inquiry)}
        if inquiry.customer is not None:
            references = {"cExternalReferences": inquiry.customer.references}
            item["customer"] = {"cId": inquiry.customer.id, **inquiry.customer.fields, **references}
        if inquiry.status in _WITH_FILES:
            item["docs"] = self.files.holder(inquiry.id, file_hash(inquiry), inquiry.updated_on)
        return item

    async def call_back(self, inquiry: Inquiry) -> list[CalledBack]:
        """Tell the inquiry's present state to each address that its broker has registered."""
        item = self.item(inquiry)
        called: list[CalledBack] = []
        if self.files.settings.drop_callbacks > 0:
            self.files.settings.drop_callbacks -= 1
            return called
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            for url in inquiry.broker.callback_urls():
                try:
                    answered = (await client.post(url, json=item)).status_code
                except httpx2.HTTPError:
                    answered = 0
                called.append(CalledBack(url, inquiry.id, answered))
        self.called_back += called
        return called

    def _sign(self, inquiry: Inquiry) -> str:
        """Return the hash by the default recipe, written out here so that it is not the code under test that signs."""
        text = f"{inquiry.broker.token}{inquiry.id}{self.signing_secret}"
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def merge_references(kept: list[Item], sent: Any) -> None:
    """Update `kept`: one with the same origin and key is replaced, and deleted by an empty value."""
    for reference in sent or ():
        key = (reference["origin"], reference["paramKey"])
        kept[:] = [one for one in kept if (one["origin"], one["paramKey"]) != key]
        if reference.get("paramValue"):
            kept.append(dict(reference))


def file_hash(inquiry: Inquiry) -> str:
    """Return the id of the inquiry's only file."""
    return f"{inquiry.id:x}a90c17ff"


def _data(inquiry: Inquiry) -> Item:
    data: Item = {
        "bToken": inquiry.broker.token,
        "bExternalId": inquiry.broker.external_id,
        "iId": inquiry.id,
        "iCreated": str(inquiry.created_on),
        "iUpdated": str(inquiry.updated_on),
        "status": inquiry.status,
        "productId": inquiry.product_id,
        "productName": _name(PRODUCTS, inquiry.product_id),
        "professionId": inquiry.profession_id,
        "professionName": _name(PROFESSIONS, inquiry.profession_id),
        "industryId": 107,
        "industryName": "Handwerk",
        "employees": {"full": "4", "part": ""},
        "revenue": "350000",
        # The examples' name; the table has externalReferences.
        "iExternalReferences": inquiry.references,
    }
    if inquiry.status not in (LEAD, TENDERING):
        data |= {"insuranceCompanyId": 1234, "insuranceCompanyName": "Beispiel Versicherung AG"}
        data |= {"coverage": 3_000_000, "deductible": 250, "digitalOrderAvailable": True}
        data |= _agency_number(inquiry.broker)
    if inquiry.status not in _WITHOUT_CONTRACT:
        start = str(inquiry.updated_on + timedelta(days=30))
        data |= {"taxPercent": 19, "contractStartDate": start, "contractPayDate": start, "premiumYearly": 48790}
        data |= {"contractDuration": 1, "paymentInterval": 12, "digitalOrderSuccess": inquiry.status == ORDERED}
    return data


def _agency_number(broker: Broker) -> Item:
    """Return the two ids that come back; of several defaults the last one wins."""
    defaults = [number for number in broker.agency_numbers if number["defaultForCalculations"] and number["active"]]
    names = ("externalInsurerId", "externalUniqueId")
    return {name: defaults[-1][name] for name in names if defaults and defaults[-1].get(name)}


def _name(catalog: tuple[Item, ...], number: int) -> str:
    return next((str(entry["name"]) for entry in catalog if entry["id"] == number), f"Nr. {number}")
