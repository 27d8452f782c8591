"""Lets the real processor work off each story once, and keeps the rows that it wrote as patterns to be filled in.

So the copies have the shape that the processor writes, whatever that is by now. What is filled in stands in `values`.
"""

# ruff: noqa: S608 - the names in the statements are our own

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from urllib.parse import quote_plus
from uuid import UUID

import orjson

from app.accounts.model import Source
from app.crypto import sha256
from app.ids import derived_id, first_id_at
from app.ingest.answers import answer_for
from app.ingest.contract import Findings, Reason
from app.processing.batch import Circumstances
from app.processing.processor import Processor
from app.processing.record_rows import Database
from app.storage.models import RECORDS
from app.times import from_epoch_ms
from tests.bench.stories import BROKER, BROKER_TOKEN, RECEIVED, Sent, Story

FIRST_SEQ = 7_300_000_000_001
"""So high that no number in a row can be taken for a place in the feed."""

_SIZES = 1_234_560
_KEY_LENGTH = 13  # of the time in an order key
_BEFORE_1970 = 1 << 48
BESIDE = (*(table.name for table in RECORDS.values()), "aliases", "seen")
"""The tables that a story is written into besides deliveries, outcomes and events."""

Fill = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a pattern: the names of its values, its number in its delivery, and what it is ordered by."""

    name: str
    delivery: int
    index: int
    effective: str


@dataclass(frozen=True, slots=True)
class RecordPattern:
    """A record: the name of its id, the delivery that it is first named in, its kind and how its identity is made."""

    name: str
    delivery: int
    kind: str
    identity: Fill


@dataclass(slots=True)
class Pattern:
    """A story as rows: the lines of COPY for each of its deliveries, and for its records."""

    story: Story
    names: dict[str, int]
    bodies: list[Fill]
    deliveries: list[Fill]
    outcomes: list[Fill]
    events: list[list[Fill]]
    beside: list[tuple[str, Fill]]
    made: list[Event]
    records: list[RecordPattern]


def template_id(number: int) -> UUID:
    """Return the id of a story's delivery while the story is learned."""
    return UUID(int=first_id_at(received_at(number)).int | 0x7 << 76 | 0b10 << 62 | (0x5A5A + number))


def received_at(number: int) -> datetime:
    """Return when that delivery was received."""
    return RECEIVED + timedelta(days=number)


def learn(database: Database, story: Story, source: Source, token_id: UUID, given: Circumstances) -> Pattern:
    """Process a story and return it as a pattern; nothing of it stays."""
    with database.transaction(force_rollback=True):
        for key in (f"id:{BROKER}", f"token:{sha256(BROKER_TOKEN).hex()}"):
            database.execute("INSERT INTO brokers VALUES (%s, %s, %s)", (source.id, key, UUID(int=0)))
        database.execute("SELECT setval('feed_seq', %s, false)", (FIRST_SEQ,))
        for number, sent in enumerate(story.sent):
            _lay(database, number, sent, source, token_id, given)
        processor = Processor(database, lambda: given)
        while processor.step():
            pass
        return _Learned(database, story, source, token_id).pattern


def _lay(database: Database, number: int, sent: Sent, source: Source, token_id: UUID, given: Circumstances) -> None:
    """Lay a delivery into the inbox, judged as the receiver judges it."""
    provider = given.providers[source.provider]
    try:
        findings = provider.find(sent.body, sent.content_type, source, received_at(number))
    except ValueError:
        findings = Findings(reason=Reason.UNKNOWN_SHAPE)
    answer = answer_for(findings, source)
    database.execute(
        "INSERT INTO deliveries (id, source_id, token_id, received_at, via, method, answered, verdict, size, judged,"
        " body_sha256, remote_addr, query, headers, body) VALUES (%s, %s, %s, %s, 0, 0, %s, %s, %s, %s, %s, %s, '',"
        " %s, %s)",
        (
            *(template_id(number), source.id, token_id, received_at(number), answer.status, answer.verdict.rank),
            *(_SIZES + number, answer.judged, hashlib.sha256(sent.body).digest(), b"203.0.113.17"),
            *(orjson.dumps([["host", "callbox.example.test"], ["content-type", sent.content_type]]), sent.body),
        ),
    )
    database.execute("INSERT INTO inbox (delivery_id, source_id) VALUES (%s, %s)", (template_id(number), source.id))


class _Cutter:
    """Cuts text at the marks in it."""

    def __init__(self, marks: Mapping[str, str]) -> None:
        self._marks = marks
        self.names = {name: number for number, name in enumerate(dict.fromkeys(marks.values()))}
        self._any = re.compile("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)))

    def fill(self, text: str, *, quoted: bool = False) -> Fill:
        """Return what gives the text with values in place of its marks, `quoted` as in a form."""
        places = [self.names[self._marks[mark]] for mark in self._any.findall(text)]
        form = "%s".join(part.replace("%", "%%") for part in self._any.split(text))
        if quoted:
            return lambda values: form % tuple(quote_plus(values[place]) for place in places)
        if len(places) > 1:
            get = itemgetter(*places)
            return lambda values: form % get(values)
        return lambda values: form % tuple(values[place] for place in places)


class _Learned:
    """Turns what was written of a story into its pattern."""

    def __init__(self, database: Database, story: Story, source: Source, token_id: UUID) -> None:
        self._database, self._story = database, story
        self._marks = {text: name for name, text in story.marks.items()}
        self._marks |= {str(source.id): "source", str(token_id): "token"}
        self._made: list[Event] = []
        for number, sent in enumerate(story.sent):
            self._mark_delivery(number, sent)
        self._mark_events()
        identities = self._mark_records()
        cutter = _Cutter(self._marks)
        self.pattern = Pattern(
            story,
            cutter.names,
            bodies=[cutter.fill(sent.body.decode(), quoted=sent.is_form) for sent in story.sent],
            deliveries=[cutter.fill(row) for row in self._copied("deliveries", "id")],
            outcomes=[cutter.fill(row) for row in self._copied("outcomes", "delivery_id")],
            events=[[] for _ in story.sent],
            beside=[(name, cutter.fill(row)) for name in BESIDE for row in self._copied(name)],
            made=self._made,
            records=[RecordPattern(name, at, kind, cutter.fill(text)) for name, at, kind, text in identities],
        )
        for event, row in zip(self._made, self._copied("events", "delivery_id, item_index"), strict=True):
            self.pattern.events[event.delivery].append(cutter.fill(row))

    def _copied(self, table: str, order: str | None = None) -> list[str]:
        """Return the rows of a table as COPY writes them."""
        rows = f"(SELECT * FROM {table} ORDER BY {order})" if order else table
        with self._database.cursor().copy(f"COPY {rows} TO STDOUT") as copy:
            return b"".join(copy).decode().splitlines()

    def _mark_delivery(self, number: int, sent: Sent) -> None:
        delivery_id = template_id(number)
        stored_at, processed_at, seq = self._database.execute(
            "SELECT d.stored_at::text, o.processed_at::text, o.seq FROM deliveries d JOIN outcomes o"
            " ON o.delivery_id = d.id WHERE d.id = %s",
            (delivery_id,),
        ).fetchone() or ("", "", 0)
        self._marks |= {
            str(delivery_id): f"delivery{number}",
            delivery_id.hex: f"delivery_hex{number}",
            sent.body.hex(): f"body{number}",
            hashlib.sha256(sent.body).hexdigest(): f"digest{number}",
            str(_SIZES + number): f"size{number}",
            f"{received_at(number):%Y-%m-%d %H:%M:%S}.345+00": f"received{number}",
            stored_at: f"stored{number}",
            processed_at: f"processed{number}",
            str(seq): f"seq{number}",
        }

    def _mark_events(self) -> None:
        numbers = {template_id(number): number for number in range(len(self._story.sent))}
        rows = self._database.execute(
            "SELECT id, delivery_id, item_index, seq, order_key, repeat_key FROM events"
            " ORDER BY delivery_id, item_index"
        ).fetchall()
        for event_id, delivery_id, index, seq, key, repeat_key in rows:
            number = numbers[delivery_id]
            event = Event(f"{number}.{index}", number, index, self._effective(number, key))
            self._made.append(event)
            self._marks |= {
                str(event_id): f"event{event.name}",
                str(seq): f"event_seq{event.name}",
                key: f"key{event.name}",
            }
            if repeat_key:
                self._marks[repeat_key.rpartition(":")[2]] = f"repeat{number}"

    def _effective(self, number: int, key: str) -> str:
        """Return what an event is ordered by: a day or a moment that the story names, else its receipt."""
        moment = from_epoch_ms(int(key[:_KEY_LENGTH], 16) - _BEFORE_1970)
        sent = self._story.sent[number]
        for name, form in (
            (f"day{sent.at}.{sent.step}", f"{moment:%Y-%m-%d}"),
            (f"moment{sent.step}", f"{moment:%Y-%m-%dT%H:%M:%S}"),
        ):
            if self._story.marks.get(name) == form:
                return name
        if moment != received_at(number):
            raise LookupError(f"{moment} is nothing that the story names")
        return f"received{number}"

    def _mark_records(self) -> list[tuple[str, int, str, str]]:
        """Mark the ids of records; return their names, first deliveries, kinds and identities."""
        found: list[tuple[str, int, str, str]] = []
        for kind, table in RECORDS.items():
            for row_id, source_id, identity in self._database.execute(
                f"SELECT id, source_id, identity FROM {table.name} ORDER BY id"
            ).fetchall():
                number = next(
                    at
                    for at in range(len(self._story.sent))
                    if derived_id(template_id(at), str(source_id), kind, identity) == row_id
                )
                name = f"{kind}_id{len(found)}"
                self._marks[str(row_id)] = name
                found.append((name, number, kind, identity))
        return found
