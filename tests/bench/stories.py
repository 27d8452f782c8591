"""Invents the lives that are multiplied into millions: what a platform sends of a subject, with marks to be replaced.

A mark is a text that stands nowhere else. What stands in its place is told in `values`; how rows are made of it, in
`patterns`. The bodies are those of the platforms' simulators.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson

from app.ingest.contract import Source
from app.providers.thinksurance import simulator as thinksurance
from app.providers.thinksurance.signature import sign_for
from app.providers.wegroup import simulator as wegroup

BROKER, BROKER_TOKEN = "qzbroker", "qzbtoken0123456789abcdefqz"
RECEIVED = datetime(2012, 1, 1, 10, 11, 12, 345_000, tzinfo=UTC)
"""When the first delivery of each story comes; the others a day apart, in the order of their steps."""

_WORDS = ("first", "last", "street", "city", "company")


@dataclass(slots=True)
class Sent:
    """A request: its body, which of the subjects it tells of, and how many of its steps were before."""

    body: bytes
    content_type: str = "application/json"
    at: int = 0
    step: int = 0

    @property
    def is_form(self) -> bool:
        """Tell whether it is a form of a web page."""
        return "form" in self.content_type


@dataclass(slots=True)
class Story:
    """What a platform sends of a few subjects; `marks` are the texts to be replaced, by the names of values."""

    provider: str
    sent: list[Sent] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)
    weight: float = 1.0

    def mark(self, name: str, text: str, folded: str | None = None) -> str:
        """Note a mark and return it; `folded` is how the processor stores it besides."""
        self.marks[name] = text
        if folded is not None:
            self.marks[f"{name}~"] = folded
        return text

    def person(self, number: int) -> dict[str, str]:
        """Mark the words that tell a person."""
        words = {name: self.mark(f"{name}{number}", f"Qz{name}{number}x", f"qz{name}{number}x") for name in _WORDS}
        words["email"] = self.mark(f"email{number}", f"Qzmail{number}x", f"qzmail{number}x") + "@example.test"
        return words


class _Steady(random.Random):
    """Dice that let no time pass by themselves."""

    def randint(self, a: int, b: int) -> int:
        return a if a == 0 else super().randint(a, b)


def inquiry_story(number: int, source: Source) -> Story:
    """Return the life of one inquiry, or of two of the same customer, from first to last status."""
    dice = random.Random(f"inquiry {number}")  # noqa: S311 - a story, not a secret
    story = Story("thinksurance")
    story.mark("broker", BROKER)
    story.mark("broker_token", BROKER_TOKEN)
    story.mark("contract_on", "2011-03-01")
    lives = [_inquiry(story, number, at, dice) for at in range(2 if number % 6 == 5 else 1)]
    if len(lives) > 1:
        lives[1]._customer = lives[0]._customer
    written = dice.choice(("item", "item", "item", "form", "dictionary"))
    for step in range(dice.choice((1, 2, 3, 3, 4, 5))):
        for at, life in enumerate(lives):
            if life.is_over:
                continue
            items = [_item(story, life, at, step, source)]
            body, kind = _as_sent(items, written)
            story.sent.append(Sent(body, kind, at, step))
            if step and dice.random() < 0.15:
                story.sent.append(Sent(body, kind, at, step))
            if dice.random() < 0.05:
                story.sent.append(Sent(orjson.dumps(_notification(story, life, at, step)), at=at, step=step))
    return story


def _inquiry(story: Story, number: int, at: int, dice: random.Random) -> Any:
    life: Any = thinksurance._Life(4, number * 3 + at)
    life._dice = _Steady(number)
    life._id = 8_100_054_321 + at
    story.mark(f"inquiry{at}", str(life._id))
    story.mark(f"inquiry_hex{at}", f"{life._id:x}")
    story.mark(f"reference{at}", str(7_700_000 + life._id % 100_000))
    life._created = date(2011, 1, 3 + at)
    story.mark(f"created{at}", str(life._created))
    if at == 0:
        life._customer = _customer(story, life._customer, dice)
    return life


def _customer(story: Story, plain: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    words = story.person(0)
    customer = plain | {
        "cId": int(story.mark("customer", "8500077001")),
        "cExternalId": story.mark("customer_ref", "KQz-77", "kqz-77"),
        "cFirstName": words["first"],
        "cLastName": words["last"],
        "cEmail": words["email"],
        "cStreet": words["street"],
        "cCity": words["city"],
        "cZip": story.mark("zip0", "98765"),
    }
    if "cCompany" in customer:
        company = {"cCompanyStreet": words["street"], "cCompanyCity": words["city"], "cCompanyZip": "98765"}
        customer |= company | {"cCompany": f"{words['company']} {dice.choice(('GmbH', 'e. K.', 'AG'))}"}
        customer["cExternalReferences"][0]["paramValue"] = story.mark("crm", "9900112")
    if customer.get("cBirthDate", "0000-00-00") != "0000-00-00":
        customer["cBirthDate"] = story.mark("birth", "1911-02-03")
    return customer


def _item(story: Story, life: Any, at: int, step: int, source: Source) -> dict[str, Any]:
    """Return the next item, signed, its words and numbers marked."""
    life._updated = day = date(2011, 2, 1 + at * 14 + step)
    story.mark(f"day{at}.{step}", str(day))
    expires = day + timedelta(days=7)
    for name, form in (("on", str(expires)), ("sql", f"{expires} 11:00:00+00"), ("json", f"{expires}T11:00:00")):
        story.mark(f"expires_{name}{at}.{step}", form)
    item: dict[str, Any] = life.next_item()
    data = item["data"]
    data |= {"bExternalId": BROKER, "bToken": BROKER_TOKEN}
    if "premiumYearly" in data:
        premium = story.mark(f"premium{at}.{step}", f"77123{at}{step}")
        data["premiumYearly"] = type(data["premiumYearly"])(premium)
    signature = sign_for(source, item, RECEIVED)
    story.mark(f"signature{at}", signature)
    return {"sHash": signature, **item}


def _as_sent(items: list[dict[str, Any]], written: str) -> tuple[bytes, str]:
    if written == "form":
        return urlencode({"notification": orjson.dumps(items[0])}).encode(), "application/x-www-form-urlencoded"
    if written == "dictionary":
        return orjson.dumps({str(item["data"]["iId"]): item for item in items}), "application/json"
    return orjson.dumps(items[0]), "application/json"


def _notification(story: Story, life: Any, at: int, step: int) -> dict[str, Any]:
    notified: dict[str, Any] = life.notification()
    notified["notificationId"] = story.mark(f"notified{at}.{step}", f"0badcafe-0000-4000-8000-0000000{at}{step:04d}")
    return notified | {"brokerReference": BROKER}


def lead_story(number: int, source: Source) -> Story:
    """Return the life of one lead."""
    story = Story("wegroup")
    dice = random.Random(f"lead {number}")  # noqa: S311 - a story, not a secret
    life: Any = wegroup._Life(4, number, source, "https://callbox.example.test/callbacks/wegroup/none")
    words = story.person(0)
    life._id = story.mark("lead", "0badcaef-1111-4111-8111-0123456789ab", "0badcaf-1111-4111-8111-0123456789ab")
    story.mark("lead_upper", life._id.upper())
    life._reference = story.mark("reference0", "LQz-777-000001")
    story.marks["reference0~"] = "lqz-777-000001"
    life._car["vin"] = story.mark("vin", "ZZZXZNTHET1D77777")
    for name in ("street", "city"):
        if name in life._address:
            life._address[name] = words[name]
    life._address["zipcode"] = story.mark("zip0", "9876")
    life._names |= {"email": words["email"]}
    for name, key in (("first", "first_name"), ("last", "last_name"), ("company", "name")):
        if key in life._names:
            life._names[key] = words[name]
    if "birth" in life._names:
        life._names["birth"] = story.mark("birth", "1911-02-03")
    forms: tuple[Callable[[], Any], ...] = (life.lead, life.lead, life.lead, life.envelope, life.party, life.thin)
    for step in range(dice.choice((2, 3, 4))):
        if life.is_over:
            break
        life._event = life._path.pop(0)
        life._time = (RECEIVED + timedelta(days=step, seconds=-7)).replace(microsecond=0)
        story.mark(f"moment{step}", f"{life._time:%Y-%m-%dT%H:%M:%S}")
        story.mark(f"moment_sql{step}", f"{life._time:%Y-%m-%d %H:%M:%S}+00")
        form = life.lead if step == 0 else dice.choice(forms)
        story.sent.append(Sent(orjson.dumps(form()), step=step))
    return story


def odd_stories() -> list[Story]:
    """Return what ends in quarantine, each kind once."""
    life: Any = thinksurance._Life(4, 1)
    forged = {"sHash": "0" * 32, **life.next_item()}
    unusable = {"sHash": "0" * 32, "data": {"iId": "none", "status": 4}}
    bodies = (
        ("thinksurance", b"<html><body>Wartung</body></html>", 3),
        ("thinksurance", orjson.dumps(forged), 6),
        ("thinksurance", orjson.dumps(unusable), 1),
        ("wegroup", b'{"hello": "world", "number": 7}', 3),
    )
    return [Story(provider, [Sent(body)], weight=weight) for provider, body, weight in bodies]
