"""The invented streams: the same for a seed, readable by the platforms' own readers, and nobody real in them."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.ids import first_id_at
from app.ingest.contract import Mode, Reason, Receipt, Secret, Source, Statement, Verdict
from app.providers import PROVIDERS
from app.providers.thinksurance import simulator as thinksurance
from app.providers.wegroup import simulator as wegroup

AT = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://hooks.example.test/callbacks/x/cbt_" + "a" * 43
RECIPES: list[dict[str, Any]] = [
    {},
    {"algorithm": "hmac-sha256", "parts": ["data_raw"], "truncate": 40},
    {
        "algorithm": "sha1",
        "parts": ["status", "=x", "iUpdated", "hash", "secret"],
        "separator": "|",
        "encoding": "base64",
    },
]

Story = Callable[[int, int, Source, datetime, str], Iterator[tuple[str, bytes]]]
STORIES: dict[str, Story] = {"thinksurance": thinksurance.bodies, "wegroup": wegroup.bodies}


def _source(provider: str, recipe: dict[str, Any] | None = None, secrets: tuple[Secret, ...] | None = None) -> Source:
    return Source(
        id=UUID(int=1),
        name="play",
        provider=provider,
        mode=Mode.ENFORCE if provider == "thinksurance" else Mode.OBSERVE,
        recipe=recipe or {},
        recipe_proven=True,
        secrets=(Secret("geheim", AT),) if secrets is None else secrets,
        credentials={"hash": ("kennung",)},
        settings={},
    )


def _read(source: Source, bodies: list[tuple[str, bytes]]) -> list[Statement]:
    """Return what all accepted items say, in the order sent."""
    provider = PROVIDERS[source.provider]
    receipt = Receipt(first_id_at(AT), AT, ZoneInfo("Europe/Berlin"), b"")
    said = []
    for content_type, body in bodies:
        for item in provider.find(body, content_type, source, AT).items:
            assert item.reason is None
            said.append(provider.read(item, source, receipt))
    return said


@pytest.mark.parametrize("provider", STORIES)
def test_a_seed_says_what_is_sent(provider: str) -> None:
    story, source = STORIES[provider], _source(provider)
    first = list(story(7, 300, source, AT, URL))
    assert first == list(story(7, 300, source, AT + timedelta(days=100), URL))
    assert len(first) == 300
    other = list(story(8, 300, source, AT, URL))
    assert len(set(first) & set(other)) < 10


def test_there_is_a_story_for_each_platform() -> None:
    assert set(STORIES) == set(PROVIDERS)


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_item_is_signed_as_the_source_wants_it(recipe: dict[str, Any]) -> None:
    source = _source("thinksurance", recipe)
    found = Counter[Verdict]()
    for content_type, body in thinksurance.bodies(3, 400, source, AT, URL):
        found.update(item.verdict for item in PROVIDERS["thinksurance"].find(body, content_type, source, AT).items)
    assert set(found) == {Verdict.VERIFIED, Verdict.UNSIGNED}  # the unsigned are notifications
    assert found[Verdict.VERIFIED] > 300


def test_without_a_secret_the_hash_is_made_up() -> None:
    source = _source("thinksurance", secrets=())
    body = next(body for _, body in thinksurance.bodies(1, 1, source, AT, URL))
    assert re.search(rb'"sHash":"[0-9a-f]{20}"', body)


def test_an_inquiry_lives_through_its_statuses_in_order() -> None:
    source = _source("thinksurance")
    lives = defaultdict(list)
    for said in _read(source, list(thinksurance.bodies(5, 800, source, AT, URL))):
        for part in said.parts:
            if part.kind == "inquiry" and "status" in part.fields:
                lives[part.fields["inquiry_id"]].append((part.fields["updated_on"], part.fields["status"]))
    whole = [[status for _, status in life] for life in lives.values()]
    assert [2, 3, 4, 15, 6] in whole
    assert all(life == sorted(life, key=lambda step: step[0]) for life in lives.values())
    assert {status for life in whole for status in life} == {2, 3, 4, 6, 15, 25}


def test_the_habits_of_thinksurance_are_all_there() -> None:
    source = _source("thinksurance")
    bodies = list(thinksurance.bodies(5, 800, source, AT, URL))
    sent = b"\n".join(body for _, body in bodies).decode()
    for habit in (
        '"externalReferences"',
        '"iExternalReferences"',
        '"status":"',
        '"coverage":"unbegrenzt"',
        '"coverage":"3.000.000"',
        '"docs":[]',
        '"docs":[{"docToken"',
        '"files":{"0"',
        '"bFoundDate":"0000-00-00"',
        '"employees":{"full":"",',
        '"eventType":"InquiryOrdered"',
        '"eventId":""',
    ):
        assert habit in sent, habit
    assert re.search(r'"docToken":"\w', sent)
    assert {content_type for content_type, _ in bodies} >= {"application/x-www-form-urlencoded", "text/plain"}
    assert any(re.match(rb'\{"\d+":', body) for _, body in bodies)
    assert any(body.startswith(b"[{") for _, body in bodies)


def test_all_forms_of_wegroup_are_there_and_f_alone_is_not_understood() -> None:
    source = _source("wegroup")
    bodies = list(wegroup.bodies(5, 800, source, AT, URL))
    reasons = Counter(PROVIDERS["wegroup"].find(body, kind, source, AT).reason for kind, body in bodies)
    assert set(reasons) == {None, Reason.UNKNOWN_SHAPE}
    assert 0 < reasons[Reason.UNKNOWN_SHAPE] < 40
    sent = b"\n".join(body for _, body in bodies)
    assert URL.encode() in sent
    for start in (b'{"id":', b'{"event":', b'{"event_type":', b'{"lead_id":', b"[{", b'{"hello":'):
        assert any(body.startswith(start) for _, body in bodies), start
    kinds = {part.fields.get("kind") for said in _read_known(source, bodies) for part in said.parts}
    assert kinds >= {"customer", "company"}


def _read_known(source: Source, bodies: list[tuple[str, bytes]]) -> list[Statement]:
    return _read(source, [one for one in bodies if not one[1].startswith(b'{"hello"')])


@pytest.mark.parametrize("provider", STORIES)
def test_nobody_is_real_and_nothing_lies_in_the_future(provider: str) -> None:
    source = _source(provider)
    sent = b"\n".join(body for _, body in STORIES[provider](5, 800, source, AT, URL)).decode()
    assert set(re.findall(r"@([\w.]+)", sent)) == {"example.test"}
    numbers = re.findall(r'"cPhone":"([^"]*)"', sent)
    assert all(re.fullmatch(r"(030 23125|040 66969|0221 4710) \d{3}", number) for number in numbers)
    days = re.findall(r"\b20[2-9]\d-\d\d-\d\d", sent)
    assert max(days) < "2025-12-31"
