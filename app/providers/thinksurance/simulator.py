"""Invents what Thinksurance would send: the lives of inquiries, in all the forms and habits its documents show.

How fast, how often and in what order it is sent is the command line's business. All people and firms are invented.
"""

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson

from app.ingest.contract import Source
from app.providers.thinksurance.signature import sign_for

Item = dict[str, Any]

# Fixed, so that a seed gives the same bodies on every day; well in the past, so that no date is ever in the future.
_EPOCH = date(2025, 1, 6)
_EPOCH_DAYS = 200
_OPEN_LIVES = 20
_LEAD, _TENDERING, _CALCULATED, _ORDERED, _PROPOSAL, _UNDOCUMENTED = 2, 3, 4, 6, 15, 25
_WITHOUT_CONTRACT = (_LEAD, _TENDERING, _CALCULATED)  # IP Notification Response, footnote 1
_LIVES = (
    (_LEAD, _TENDERING, _CALCULATED, _PROPOSAL, _ORDERED),
    (_CALCULATED, _PROPOSAL, _ORDERED),
    (_TENDERING, _CALCULATED, _CALCULATED, _PROPOSAL, _ORDERED),
    (_CALCULATED, _ORDERED, _ORDERED),
    (_LEAD, _TENDERING, _CALCULATED),
    (_LEAD, _UNDOCUMENTED),
)
_EVENTS = {_LEAD: "InquiryCreated", _PROPOSAL: "InquiryProposalCreated", _ORDERED: "InquiryOrdered"}
_EVENT_TEXTS = {"InquiryCreated": "Beratung erstellt", "InquiryOrdered": "Deckungsauftrag erstellt"}

_TRADES = (
    ("Tischlerei", 311, "Handwerk", 107),
    ("Bäckerei", 318, "Handwerk", 107),
    ("Steuerberatung", 502, "Freie Berufe", 112),
    ("Webdesign", 640, "IT und Medien", 121),
    ("Gasthof", 455, "Gastgewerbe", 115),
)
_PRODUCTS = (
    (81, "Betriebshaftpflicht"),
    (88, "Firmenrechtsschutz"),
    (93, "Cyberversicherung"),
    (97, "Inhaltsversicherung"),
)
_INSURERS = (
    (1234, "Beispiel Versicherung AG"),
    (1240, "Muster Assekuranz VVaG"),
    (1251, "Probe & Söhne Versicherungen"),
)
_FIRST_NAMES = (("Erika", 2), ("Jürgen", 1), ("Zoë", 2), ("Karl-Heinz", 1), ("Ayşe", 2), ("Max", 1))
_LAST_NAMES = ("Beispiel", "Mustermann", "Probeweiß", "von der Vorlage", "Testhäuser", "Schablonski")
_STREETS = ("Musterstraße", "Beispielweg", "Am Probeplatz", "Vorlagenallee")
# The last part is of the ranges that the Bundesnetzagentur keeps free for films and books.
_CITIES = (("10115", "Berlin", "030 23125"), ("20095", "Hamburg", "040 66969"), ("50667", "Köln", "0221 4710"))
_LEGAL_FORMS = ("GmbH", "GmbH & Co. KG", "e. K.", "UG (haftungsbeschränkt)")


def bodies(seed: int, count: int, source: Source, at: datetime, callback_url: str) -> Iterator[tuple[str, bytes]]:
    """Yield content type and body of `count` callbacks, each life's in order; equal for equal seed and source.

    They are signed as `source` wants it with a secret that is live `at` that moment, or, where it has none, with a
    made-up hash. `callback_url` is not echoed by this platform.
    """
    del callback_url
    dice = random.Random(seed)  # noqa: S311 - a story, not a secret
    lives: list[_Life] = []
    begun = 0
    for _ in range(count):
        while len(lives) < min(_OPEN_LIVES, count // 5 + 1):
            lives.append(_Life(seed, begun))
            begun += 1
        kind = dice.choices(("item", "dictionary", "list", "notification", "form"), (78, 8, 3, 9, 2))[0]
        chosen = dice.sample(lives, min(len(lives), dice.randint(2, 4) if kind in ("dictionary", "list") else 1))
        if kind == "notification":
            yield "application/json", orjson.dumps(chosen[0].notification())
            continue
        signed = [_signed(life.next_item(), source, at, dice) for life in chosen]
        yield _written(kind, signed, dice)
        lives = [life for life in lives if not life.is_over]


def _signed(item: Item, source: Source, at: datetime, dice: random.Random) -> Item:
    """Return the item with its `sHash`, which every item has, inside dictionaries too."""
    made_up = f"{dice.getrandbits(80):020x}"
    try:
        return {"sHash": sign_for(source, item, at), **item}
    except ValueError:
        return {"sHash": made_up, **item}


def _written(kind: str, items: list[Item], dice: random.Random) -> tuple[str, bytes]:
    """Return content type and body in one of the forms. In the documented example the keys are not the `iId`s."""
    if kind == "dictionary":
        off = dice.random() < 0.1  # noqa: PLR2004 - a share
        return "application/json", orjson.dumps({str(int(item["data"]["iId"]) + off): item for item in items})
    if kind == "list":
        return "application/json; charset=utf-8", orjson.dumps(items)
    body = orjson.dumps(items[0])
    if kind == "form":
        return "application/x-www-form-urlencoded", urlencode({"notification": body}).encode()
    return dice.choice(("application/json", "application/json", "text/plain")), body


class _Life:
    """One inquiry from its first status to its last, with the habits of whoever sends it."""

    def __init__(self, seed: int, number: int) -> None:
        base = seed % 500 * 1_000_000
        self._dice = dice = random.Random(f"{seed}:{number}")  # noqa: S311 - a story, not a secret
        self._id = 3_000_000 + base + number
        self._path = list(dice.choices(_LIVES, (5, 4, 2, 2, 2, 1))[0])
        self._status = 0
        self._created = self._updated = _EPOCH + timedelta(days=number % _EPOCH_DAYS)
        self._trade = dice.choice(_TRADES)
        self._product = dice.choice(_PRODUCTS)
        self._insurer = dice.choice(_INSURERS)
        self._broker = number % 3
        # Every fifth inquiry is of the customer before.
        self._customer = _customer(seed, base, number - (number % 5 == 4))  # noqa: PLR2004
        self._revenue = dice.randrange(80, 2500) * 1000
        self._texts = dice.random() < 0.25  # noqa: PLR2004 - numbers as strings
        self._german = dice.random() < 0.2  # noqa: PLR2004 - numbers as people write them
        self._reference_name = dice.choice(("externalReferences", "iExternalReferences"))
        self._docs_form = dice.choice(("object", "object", "list", "plain token", "numbered"))

    @property
    def is_over(self) -> bool:
        """Tell whether the last status was sent."""
        return not self._path

    def next_item(self) -> Item:
        """Return the inquiry at its next status, unsigned."""
        self._status = self._path.pop(0)
        self._updated += timedelta(days=self._dice.randint(0, 6))
        data = {**self._head(), **self._risk()}
        if self._status not in (_LEAD, _TENDERING, _UNDOCUMENTED):
            data |= self._offer()
        if self._status not in (*_WITHOUT_CONTRACT, _UNDOCUMENTED):
            data |= self._contract()
        item: Item = {"data": {key: self._spoken(key, value) for key, value in data.items()}}
        if self._status != _UNDOCUMENTED or self._dice.random() < 0.5:  # noqa: PLR2004 - a share
            item["customer"] = self._customer
        if (docs := self._docs()) is not None:
            item["docs"] = docs
        return item

    def notification(self) -> Item:
        """Return a notification of V2 about the present status: references only, never signed."""
        event = _EVENTS.get(self._status, "InquiryUpdated" if self._status else "InquiryCreated")
        link = {"contentType": "application/json", "href": f"https://ipn.thinksurance.de/api/ipn/inquiry/{self._id}"}
        inquiry = {"referenceType": "inquiry", "referenceId": str(self._id), "links": [link]}
        customer = {"referenceType": "customer", "referenceId": str(self._customer["cId"])}
        return {
            "eventType": event,
            "eventTime": f"{self._updated}T10:01:02.345Z",
            "eventId": self._dice.choice(("", str(UUID(int=self._dice.getrandbits(128), version=4)))),
            "notificationId": str(UUID(int=self._dice.getrandbits(128), version=4)),
            "translations": {"eventType": {"de_DE": _EVENT_TEXTS.get(event, "Beratung geändert")}},
            "accountReference": "musterpool",
            "brokerReference": str(42 + self._broker),
            "affected": [inquiry, customer],
        }

    def _head(self) -> Item:
        """Return what every status has."""
        product_id, product_name = self._product
        profession, profession_id, industry, industry_id = self._trade
        references = [
            {"origin": "crm", "paramKey": "oV-Angebots-Nr", "paramValue": str(7_700_000 + self._id % 100_000)}
        ]
        if self._status == _ORDERED:
            references.append({"origin": "broker_crm", "paramKey": "Vorgang", "paramValue": f"A-{self._id % 1000}"})
        return {
            "bToken": f"7c21be90a4f35d6812ee04b{self._broker:02d}",
            "bExternalId": str(42 + self._broker),
            "iId": self._id,
            "iCreated": str(self._created),
            "iUpdated": str(self._updated),
            "productName": product_name,
            "productId": product_id,
            "industryName": industry,
            "industryId": industry_id,
            "professionName": profession,
            "professionId": profession_id,
            "status": self._status,
            self._reference_name: references,
        }

    def _risk(self) -> Item:
        """Return what the questionnaire says; empty strings where nothing was answered."""
        if self._status == _UNDOCUMENTED:
            return {"employees": {"full": "", "part": ""}}
        full = self._revenue // 120_000
        employees = {"full": str(full), "part": "" if full % 2 else "2"}
        founded = "0000-00-00" if self._id % 7 == 0 else f"{1990 + self._id % 30}-05-01"
        return {"employees": employees, "revenue": str(self._revenue), "bFoundDate": founded}

    def _offer(self) -> Item:
        """Return what was calculated, a little different each time."""
        insurer_id, insurer = self._insurer
        unlimited = self._product[1] == "Firmenrechtsschutz"
        coverage: object = "unbegrenzt" if unlimited else self._dice.choice((1_000_000, 3_000_000, 5_000_000))
        deductible = self._dice.choice((0, 150, 250, 500))
        offer = {"insuranceCompanyName": insurer, "insuranceCompanyId": insurer_id}
        return {**offer, "coverage": coverage, "deductible": deductible, "digitalOrderAvailable": bool(insurer_id % 2)}

    def _contract(self) -> Item:
        """Return what stands in statuses other than 2, 3 and 4; the premium is the only amount in cents."""
        start = date(self._updated.year, self._updated.month, 1) + timedelta(days=32)
        return {
            "taxPercent": 19,
            "contractStartDate": str(start.replace(day=1)),
            "contractPayDate": str(start.replace(day=1)),
            "premiumYearly": self._dice.randrange(9_900, 480_000),
            "contractDuration": self._dice.choice((1, 3)),
            "paymentInterval": self._dice.choice((1, 3, 6, 12)),
            "digitalOrderSuccess": self._status == _ORDERED,
        }

    def _spoken(self, key: str, value: object) -> object:
        """Return a value in the sender's habit: PHP writes numbers as strings, people write 350.000,00."""
        if self._german and key in ("revenue", "coverage", "deductible") and str(value).isdecimal():
            return f"{int(str(value)):,}".replace(",", ".") + (",00" if key == "revenue" else "")
        if self._texts and isinstance(value, int):
            return str(int(value))
        return value

    def _docs(self) -> object:
        """Return the documents in one of the forms that its table, its scheme and PHP allow."""
        names = {_PROPOSAL: ("Angebot",), _ORDERED: ("Angebot", "Antrag", "Police")}.get(self._status)
        if names is None:
            return [] if self._docs_form == "list" else None
        files = []
        for number, name in enumerate(names):
            file_hash = f"{self._id:x}{number:02x}a90c17ff"
            link = f"https://app.dev.thinksurance.de/some/path/{file_hash}"
            described = {"name": name, "fullName": f"{name}.pdf", "hash": file_hash, "fullFilePath": link}
            files.append({**described, "documentPurpose": name.lower()})
        token = f"d41fa07c{self._id:x}{self._status:02d}"
        expired = f"{self._updated + timedelta(days=7)} 12:00:00"
        if self._docs_form == "plain token":
            return {"docToken": token, "files": files}
        holder: Item = {"docToken": {"token": token, "expired": expired}, "files": files}
        if self._docs_form == "numbered":
            holder["files"] = {str(number): file for number, file in enumerate(files)}
        return [holder] if self._docs_form == "list" else holder


def _customer(seed: int, base: int, number: int) -> Item:
    """Return a customer: of two, one is a firm."""
    dice = random.Random(f"{seed}:customer:{number}")  # noqa: S311 - a story, not a secret
    first, salutation = dice.choice(_FIRST_NAMES)
    last = dice.choice(_LAST_NAMES)
    zip_code, city, area = dice.choice(_CITIES)
    address = (dice.choice(_STREETS), str(dice.randint(1, 99)) + dice.choice(("", "", "a")), zip_code, city)
    customer: Item = {"cId": 500_000_000 + base + number, "cExternalId": f"K-{base // 1_000_000}-{number}"}
    customer |= {"cSalutation": salutation, "cFirstName": first, "cLastName": last}
    customer |= {
        "cEmail": f"kunde.{base // 1_000_000}.{number}@example.test",
        "cPhone": f"{area} {dice.randrange(1000):03d}",
    }
    customer |= dict(zip(("cStreet", "cStreetNumber", "cZip", "cCity"), address, strict=True))
    if dice.random() < 0.5:  # noqa: PLR2004 - a share
        customer["cBirthDate"] = f"{dice.randint(1950, 2000)}-{dice.randint(1, 12):02d}-{dice.randint(1, 28):02d}"
        return {**customer, "cPrivateIsCompanyAddress": 1, "cExternalReferences": []}
    company = f"{dice.choice(_TRADES)[0]} {last} {dice.choice(_LEGAL_FORMS)}"
    names = ("cCompanyStreet", "cCompanyStreetNumber", "cCompanyZip", "cCompanyCity")
    reference = {"origin": "crm", "paramKey": "oV-Kunden-Nr", "paramValue": str(900_000 + number)}
    customer |= {"cBirthDate": "0000-00-00", "cWebsite": "", "cCompany": company, "cPrivateIsCompanyAddress": 0}
    return {**customer, **dict(zip(names, address, strict=True)), "cExternalReferences": [reference]}
