"""Says what stands in the place of a story's marks, copy by copy: people, numbers, days and ids, by a seed.

Which rows they go into stands in `patterns`. All people and firms are invented.
"""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from app.ids import derived_id
from app.processing.folding import fold
from app.processing.order import order_key
from tests.bench.patterns import Pattern

ZONE = ZoneInfo("Europe/Berlin")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION = 0x7 << 76 | 0b10 << 62
_RANDOM = (1 << 62) - 1

_BEGINNINGS = (
    *("Ahl", "Alt", "Bach", "Berg", "Birk", "Brand", "Buch", "Burg", "Dahl", "Dorn", "Eber", "Eich", "Erl", "Feld"),
    *("Fisch", "Fried", "Gold", "Grün", "Hage", "Hart", "Heid", "Hell", "Herz", "Hirsch", "Hohen", "Holz", "Kalt"),
    *("Kirch", "Klein", "König", "Korn", "Krä", "Küst", "Lang", "Linden", "Löwen", "Mai", "Mühl", "Nacht", "Neu"),
    *("Nord", "Ober", "Oster", "Probe", "Raben", "Reh", "Rosen", "Roth", "Salz", "Schön", "Schwarz", "See", "Sommer"),
    *("Stein", "Stern", "Süd", "Tann", "Vogel", "Wald", "Wasser", "Weiden", "Weiß", "Winter", "Wolf", "Zier"),
)
_ENDINGS = (
    *("", "acker", "au", "bauer", "baum", "beck", "brink", "dorf", "eck", "er", "feldt", "gräber", "hagen", "häuser"),
    *("heim", "hof", "horst", "inger", "kamp", "ke", "lein", "mann", "meyer", "mark", "müller", "reuter", "rich"),
    *("schmidt", "stein", "städt", "thal", "wald", "weg", "winkel"),
)
_FIRST = (
    *("Erika", "Jürgen", "Zoë", "Ayşe", "Max", "Nele", "Bärbel", "Björn", "Chloé", "Dörte", "Emil", "Frieda", "Götz"),
    *("Hannah", "Ida", "Jonas", "Käthe", "Lars", "Marieke", "Nils", "Oskar", "Paula", "Rüdiger", "Sören", "Thea"),
    *("Ulrike", "Viktor", "Wim", "Xenia", "Yvonne", "Élodie", "Benoît", "Joris", "Anke", "Lotte", "Karl-Heinz"),
)
_CITIES = (
    *("Berlin", "Hamburg", "Köln", "München", "Düsseldorf", "Lübeck", "Würzburg", "Gent", "Antwerpen", "Liège"),
    *("Leuven", "Brugge", "Saarbrücken", "Görlitz", "Weißenfels", "Ijsselstein", "Aachen", "Trier", "Münster"),
)
_STREETS = ("Musterstraße", "Beispielweg", "Am Probeplatz", "Vorlagenallee", "Voorbeeldstraat", "Rue du Modèle")
_TRADES = ("Tischlerei", "Bäckerei", "Steuerberatung", "Webdesign", "Gasthof", "Gärtnerei", "Optik", "Fahrrad")
BROKERS = tuple(str(10_400 + number) for number in range(24))
"""The brokers of each source."""


def broker_token(source_id: UUID, broker: str) -> str:
    """Return the token by which the platform names a broker."""
    return hashlib.sha256(f"{source_id}{broker}".encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Account:
    """A source that callbacks come to; `secret` signs them where the platform signs."""

    source_id: UUID
    token_id: UUID
    provider: str
    secret: str


def millis(moment: datetime) -> int:
    """Return milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


def id_at(moment: datetime, dice: random.Random) -> UUID:
    """Return a new id of a moment."""
    return UUID(int=millis(moment) << 80 | _VERSION | dice.getrandbits(12) << 64 | dice.getrandbits(62))


@dataclass(slots=True)
class Copy:
    """One copy of a story: its values, and when its deliveries come."""

    pattern: Pattern
    values: list[str]
    ids: list[UUID]
    times: list[datetime]

    def set(self, name: str, value: str) -> None:
        """Set a value; what the pattern does not name is left out."""
        place = self.pattern.names.get(name)
        if place is not None:
            self.values[place] = value


def copy_of(pattern: Pattern, account: Account, number: int, begins_at: datetime, dice: random.Random) -> Copy:
    """Return the copy of a number, unique among all; it begins at `begins_at`."""
    made = Copy(pattern, [""] * len(pattern.names), [], _times(pattern, begins_at, dice))
    made.ids = [id_at(moment, dice) for moment in made.times]
    made.set("source", str(account.source_id))
    made.set("token", str(account.token_id))
    days = _days(made)
    _set_person(made, number, dice)
    _set_numbers(made, account, number, dice)
    _set_deliveries(made)
    _set_events(made, days)
    for record in pattern.records:
        identity = record.identity(made.values)
        made.set(record.name, str(derived_id(made.ids[record.delivery], str(account.source_id), record.kind, identity)))
    return made


def _times(pattern: Pattern, begins_at: datetime, dice: random.Random) -> list[datetime]:
    """Return when each delivery comes: a step takes days, a repeat or a notification minutes."""
    times: list[datetime] = []
    moment, before = begins_at, None
    for sent in pattern.story.sent:
        step = (sent.at, sent.step)
        if before is not None:
            apart = timedelta(days=dice.randint(1, 9)) if before != step else timedelta()
            moment += apart + timedelta(seconds=dice.randint(61, 7000))
        before = step
        times.append(moment.replace(microsecond=dice.randrange(1000) * 1000))
    return times


def _days(made: Copy) -> dict[str, datetime]:
    """Set the days and moments that the story names; return what events are ordered by."""
    effective: dict[str, datetime] = {}
    for at, (sent, moment) in enumerate(zip(made.pattern.story.sent, made.times, strict=True)):
        effective[f"received{at}"] = moment
        if (name := f"day{sent.at}.{sent.step}") in effective or (said := f"moment{sent.step}") in effective:
            continue
        day = moment.astimezone(ZONE).date()
        made.set(name, day.isoformat())
        effective[name] = datetime.combine(day, time(), UTC)
        stated = (moment - timedelta(seconds=7)).replace(microsecond=0)
        made.set(said, f"{stated:%Y-%m-%dT%H:%M:%S}")
        made.set(f"moment_sql{sent.step}", f"{stated:%Y-%m-%d %H:%M:%S}+00")
        if made.pattern.story.provider == "wegroup":
            effective[said] = stated
        if sent.step == 0:
            made.set(f"created{sent.at}", str(day - timedelta(days=3 + sent.at)))
        _set_expiry(made, f"{sent.at}.{sent.step}", day + timedelta(days=7))
    first = made.times[0].astimezone(ZONE).date()
    made.set("contract_on", str((date(first.year, first.month, 1) + timedelta(days=32)).replace(day=1)))
    return effective


def _set_expiry(made: Copy, name: str, day: date) -> None:
    expires = datetime.combine(day, time(12), ZONE).astimezone(UTC)
    made.set(f"expires_on{name}", str(day))
    made.set(f"expires_sql{name}", f"{expires:%Y-%m-%d %H:%M:%S}+00")
    made.set(f"expires_json{name}", f"{expires:%Y-%m-%dT%H:%M:%S}")


def _set_person(made: Copy, number: int, dice: random.Random) -> None:
    last = dice.choice(_BEGINNINGS) + dice.choice(_ENDINGS)
    if dice.random() < 0.02:
        last = dice.choice(("Müller", "Mueller", "Schmidt", "Peeters"))
    words = {
        "first0": dice.choice(_FIRST),
        "last0": last,
        "city0": dice.choice(_CITIES),
        "street0": dice.choice(_STREETS),
        "company0": f"{dice.choice(_TRADES)} {last}",
        "email0": f"{fold(last)}.{number}",
    }
    for name, word in words.items():
        made.set(name, word)
        made.set(f"{name}~", fold(word))
    made.set("zip0", f"{dice.randrange(1000, 9999)}{'' if made.pattern.story.provider == 'wegroup' else number % 10}")
    born = date(1945, 1, 1) + timedelta(days=dice.randrange(20_000))
    made.set("birth", str(born))


def _set_numbers(made: Copy, account: Account, number: int, dice: random.Random) -> None:
    broker = BROKERS[min(dice.randrange(len(BROKERS)), dice.randrange(len(BROKERS)))]
    token = broker_token(account.source_id, broker)
    made.set("broker", broker)
    made.set("broker_token", token)
    for at in range(2):
        inquiry = str(10_000_000 + number * 2 + at)
        made.set(f"inquiry{at}", inquiry)
        made.set(f"inquiry_hex{at}", f"{int(inquiry):x}")
        made.set(f"signature{at}", hashlib.md5(f"{token}{inquiry}{account.secret}".encode()).hexdigest())  # noqa: S324
        reference = f"L-{number:09d}" if account.provider == "wegroup" else str(200_000_000 + number * 2 + at)
        made.set(f"reference{at}", reference)
        made.set(f"reference{at}~", fold(reference))
        for step in range(6):
            made.set(f"premium{at}.{step}", str(dice.randrange(9_900, 480_000)))
            made.set(f"notified{at}.{step}", str(UUID(int=dice.getrandbits(128), version=4)))
    lead = str(UUID(int=dice.getrandbits(128), version=4))
    singles = {
        "customer": str(500_000_000 + number),
        "customer_ref": f"K-{number}",
        "customer_ref~": f"k-{number}",
        "crm": str(900_000_000 + number),
        "lead": lead,
        "lead~": fold(lead),
        "lead_upper": lead.upper(),
        "vin": f"ZZZ{number:014d}",
    }
    for name, value in singles.items():
        made.set(name, value)


def _set_deliveries(made: Copy) -> None:
    for at, (delivery_id, moment) in enumerate(zip(made.ids, made.times, strict=True)):
        made.set(f"delivery{at}", str(delivery_id))
        made.set(f"delivery_hex{at}", delivery_id.hex)
        made.set(f"received{at}", to_sql(moment))
        body = made.pattern.bodies[at](made.values).encode()
        made.set(f"body{at}", body.hex())
        made.set(f"size{at}", str(len(body)))
        made.set(f"digest{at}", hashlib.sha256(body).hexdigest())
        if f"repeat{at}" in made.pattern.names:
            content = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
            made.set(f"repeat{at}", hashlib.sha256(content).hexdigest())


def _set_events(made: Copy, effective: Mapping[str, datetime]) -> None:
    for event in made.pattern.made:
        delivery_id = made.ids[event.delivery]
        made.set(f"event{event.name}", str(derived_id(delivery_id, event.index)))
        made.set(f"key{event.name}", order_key(effective[event.effective], delivery_id, event.index))


def to_sql(moment: datetime) -> str:
    """Return a moment as PostgreSQL writes it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond:06d}+00"
