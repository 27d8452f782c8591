"""Invents what WeGroup might send: the lives of leads, in the forms A to F that its silence leaves possible.

How fast, how often and in what order it is sent is the command line's business. All people and firms are invented.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from app.ingest.contract import Source

Lead = dict[str, Any]

# Fixed, so that a seed gives the same bodies on every day; well in the past, so that no time is ever in the future.
_EPOCH = datetime(2025, 1, 6, 8, tzinfo=UTC)
_EPOCH_HOURS = 24 * 200
_OPEN_LIVES = 20
_LIVES = (
    ("created", "updated", "offer_sent", "signed"),
    ("created", "updated", "updated"),
    ("created", "offer_sent", "rejected"),
    ("created", "signed"),
)
_STATES = {"created": "NEW", "updated": "IN_PROGRESS", "offer_sent": "SEND", "signed": "SIGNED", "rejected": "REJECTED"}

_FIRST_NAMES = (("Marieke", "nl"), ("Joris", "nl"), ("Élodie", "fr"), ("Benoît", "fr"), ("Anke", "nl"), ("Chloé", "fr"))
_LAST_NAMES = ("Vandevoorbeeld", "Peeters-Proef", "D'Exemple", "Van Den Model", "Lemodèle", "Testaert")
_FIRMS = (("Bakkerij", "BV"), ("Garage", "BV"), ("Boulangerie", "SRL"), ("Studio", "NV"), ("Atelier", "SA"))
_CITIES = (("9000", "Gent"), ("2000", "Antwerpen"), ("4000", "Liège"), ("1000", "Bruxelles"), ("3000", "Leuven"))
_STREETS = ("Voorbeeldstraat", "Rue du Modèle", "Proefplein", "Testlaan")
_INSURERS = ("Allianz", "Voorbeeld Verzekeringen", "Exemple Assurances")


def bodies(seed: int, count: int, source: Source, at: datetime, callback_url: str) -> Iterator[tuple[str, bytes]]:
    """Yield content type and body of `count` callbacks, each life's in order; equal for equal seed, source and URL.

    Nothing is signed, so that the moment `at` does not matter; `callback_url` is echoed as the platform may do it.
    """
    del at
    dice = random.Random(seed)  # noqa: S311 - a story, not a secret
    lives: list[_Life] = []
    begun = 0
    for _ in range(count):
        while len(lives) < min(_OPEN_LIVES, count // 5 + 1):
            lives.append(_Life(seed, begun, source, callback_url))
            begun += 1
        form = dice.choices("ABCDEF", (50, 20, 10, 12, 6, 2))[0]
        chosen = dice.sample(lives, min(len(lives), dice.randint(2, 3) if form == "E" else 1))
        for life in chosen:
            life.move()
        yield "application/json", orjson.dumps(_written(form, chosen, dice))
        lives = [life for life in lives if not life.is_over]


def _written(form: str, lives: list["_Life"], dice: random.Random) -> object:
    """Return the body in one of the forms; F is what nobody can read."""
    life = lives[0]
    if form == "A":
        return life.lead()
    if form == "B":
        return life.envelope()
    if form == "C":
        return life.party()
    if form == "D":
        return life.thin()
    if form == "E":
        return [dice.choice((one.lead, one.party, one.thin))() for one in lives]
    return {"hello": "world", "number": dice.randrange(1000)}


class _Life:
    """One lead from its creation to its end, with the habits of whoever sends it."""

    def __init__(self, seed: int, number: int, source: Source, callback_url: str) -> None:
        self._dice = dice = random.Random(f"{seed}:{number}")  # noqa: S311 - a story, not a secret
        self._id = self._uuid()
        self._reference = f"L-{seed % 500:03d}-{number:06d}"
        self._company = source.settings.get("external_ref_company", "leadhub")
        self._distribution = source.settings.get("distribution_id")
        self._callback_url = callback_url
        self._path = list(dice.choice(_LIVES))
        self._event = ""
        self._time = _EPOCH + timedelta(hours=number % _EPOCH_HOURS)
        self._is_firm = dice.random() < 0.4  # noqa: PLR2004 - a share
        self._names = self._name(f"{seed % 500}.{number}")
        zipcode, city = dice.choice(_CITIES)
        self._address = {"zipcode": zipcode, "housenr": str(dice.randint(1, 199)), "city": city}
        if dice.random() < 0.5:  # noqa: PLR2004 - the street's key is not documented
            self._address["street"] = dice.choice(_STREETS)
        self._car = {"id": self._uuid(), "vin": f"ZZZSYNTHET{dice.choice('123')}D{number % 100_000:05d}"}
        self._home_id = self._uuid()
        self._package_id = self._uuid()
        self._money_as_text = dice.random() < 0.7  # noqa: PLR2004 - the documented form, though not the only one

    @property
    def is_over(self) -> bool:
        """Tell whether its last change was sent."""
        return not self._path

    def move(self) -> None:
        """Let the next thing happen to the lead."""
        self._event = self._path.pop(0)
        self._time += timedelta(minutes=self._dice.randint(1, 3000))

    def lead(self) -> Lead:
        """Return form A: the shape of the request that made the lead, with what WeGroup may add."""
        prospect: Lead = {"id": self._id, **self._names, "address": self._address}
        prospect["external_ref"] = {"external_ref": self._reference, "external_ref_company": self._company}
        if self._dice.random() < 0.5:  # noqa: PLR2004 - the echo of our own URL
            prospect["callbacks"] = [self._callback_url]
        home = {"id": self._home_id, "address": self._address}
        prospect["risk_objects"] = {"cars": [self._car], "residences": [home]}
        if self._dice.random() < 0.1:  # noqa: PLR2004 - collections that no document names
            prospect["risk_objects"]["drones"] = [{"id": "d1", "weight_g": 249}]
        if self._event != "created":
            prospect |= self._policies()
        lead: Lead = {"id": self._id, "origin": "CRM", "backref": f"https://crm.example.test/leads/{self._reference}"}
        lead |= {
            "source": "broker-site",
            "status": _STATES[self._event],
            "updated_at": self._now(),
            "prospect": prospect,
        }
        if self._distribution:
            lead["distribution_id"] = self._distribution
        return lead

    def envelope(self) -> Lead:
        """Return form B: an event word around the lead; its own id is the event's."""
        word = self._dice.choice(("event", "event_type", "topic"))
        holder = self._dice.choice(("data", "payload", "lead"))
        return {word: f"lead.{self._event}", "id": f"evt-{self._uuid()}", "timestamp": self._now(), holder: self.lead()}

    def party(self) -> Lead:
        """Return form C: the party at the root."""
        references = [{"company": self._company, "ref": self._reference}]
        return {"id": self._id, **self._names, "external_refs": references, "origin": "CRM", "updated_at": self._now()}

    def thin(self) -> Lead:
        """Return form D: that something happened, and to whom."""
        return {"lead_id": self._id.upper(), "event_type": self._event}

    def _policies(self) -> Lead:
        interval = self._dice.choice(("ANNUAL", "MONTHLY", "QUARTERLY"))
        insurer = _INSURERS[int(self._package_id[:4], 16) % len(_INSURERS)]
        coverage: Lead = {
            "name": "WA",
            "external_label": {"label": "2010", "type": "AFD"},
            "risk_object_id": self._car["id"],
            "insured_value": float(self._dice.randrange(5, 60) * 1000),
            "premium": self._money(self._dice.randrange(20_000, 90_000)),
            "payment_interval": interval,
        }
        package: Lead = {"id": self._package_id, "name": "Mobiliteitspakket", "package_nr": f"PK-{self._reference}"}
        package |= {"insurance_company": insurer, "premium": self._money(64_000), "payment_interval": interval}
        policy: Lead = {"name": "Polis", "policy_nr": f"PN-{self._reference}", "policy_package_id": self._package_id}
        policy |= {"type": "ACTIVE" if self._event == "signed" else "PENDING", "insurance_company": insurer}
        policy |= {"external_refs": [{"company": insurer, "ref": f"AZ-{self._reference}"}], "coverages": [coverage]}
        return {"policy_packages": [package], "insurance_policies": [policy]}

    def _name(self, key: str) -> Lead:
        """Return who it is. No phone: Belgium keeps no numbers free for inventions, and none is documented."""
        first, language = self._dice.choice(_FIRST_NAMES)
        last = self._dice.choice(_LAST_NAMES)
        email = f"lead.{key}@example.test"
        if self._is_firm:
            trade, form = self._dice.choice(_FIRMS)
            return {"name": f"{trade} {last} {form}", "email": email}
        birth = f"{self._dice.randint(1950, 2000)}-{self._dice.randint(1, 12):02d}-{self._dice.randint(1, 28):02d}"
        return {"first_name": first, "last_name": last, "email": email, "birth": birth, "language": language}

    def _money(self, cents: int) -> str | float:
        """Return an amount in EUR; the documented example has text and numbers side by side."""
        return f"{cents / 100:.2f}" if self._money_as_text else cents / 100

    def _now(self) -> str:
        return self._time.isoformat().replace("+00:00", "Z")

    def _uuid(self) -> str:
        return str(UUID(int=self._dice.getrandbits(128), version=4))
