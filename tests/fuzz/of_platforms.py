"""What must hold for every body that a platform's reader is given, and for the recipes of signatures.

What becomes of what was read is `of_records`' business.
"""

import json
import re
from typing import Any

import orjson

from app.crypto import API_KEY, CALLBACK_TOKEN
from app.ingest.answers import ACCEPTED, NOTIFIED, QUARANTINED, UNAUTHENTIC, answer_for
from app.ingest.contract import MOST_ITEMS, Mode, Provider, Source, Verdict
from app.ingest.judged import unpack
from app.ingest.lenient_json import NotJsonError, parse
from app.providers import PROVIDERS
from app.providers.masking import mask_item
from app.providers.thinksurance.fields import CREDENTIALS, HOLDERS
from app.providers.thinksurance.recipes import Recipe, check_recipe
from app.providers.thinksurance.signature import sign_for
from tests.fuzz.cutting import Cut
from tests.fuzz.of_bodies import CONTENT_TYPES, storable, strings
from tests.providers.conftest import Bench
from tests.providers.test_contract import check

BENCH = Bench()
_MODES = tuple(Mode)
_STATUSES = frozenset({ACCEPTED, QUARANTINED, NOTIFIED, UNAUTHENTIC})
_CREDENTIALS = {"secret": ("apigeheim-1",), "hash": ("abc", "def"), "a_token": ("atok-1",)}


def thinksurance(data: bytes) -> None:
    """Input: a byte that chooses mode and content type, then the body."""
    _find_and_read(PROVIDERS["thinksurance"], data)


def wegroup(data: bytes) -> None:
    """Input: as for `thinksurance`."""
    _find_and_read(PROVIDERS["wegroup"], data)


def _find_and_read(platform: Provider, data: bytes) -> None:
    cut = Cut(data)
    choice = cut.byte()
    mode, content_type = _MODES[choice % len(_MODES)], CONTENT_TYPES[(choice >> 4) % len(CONTENT_TYPES)]
    body = cut.rest()
    check(platform, body, content_type, BENCH, mode)
    source = BENCH.source(platform.name, mode, recipe_proven=bool(choice & 8))
    findings = platform.find(body, content_type, source, BENCH.now)
    assert len(findings.items) <= MOST_ITEMS
    answer = answer_for(findings, source)
    assert answer.status in _STATUSES
    assert answer.status != UNAUTHENTIC or source.recipe_proven, "no 401 before a recipe was proven"
    orjson.loads(answer.body("x"))
    assert unpack(answer.judged) == [(item.verdict, item.reason is not None) for item in findings.items]
    for item in findings.items:
        assert storable(item.value)
        if item.reason is None:
            assert item.verdict is Verdict.VERIFIED or mode is not Mode.ENFORCE or _is_unsigned_by_design(item.value)
            statement = platform.read(item, source, BENCH.receipt)
            for text in strings([[part.keys, dict(part.fields)] for part in statement.parts]):
                assert len(text) <= 2100, "text is cut"


def _is_unsigned_by_design(value: Any) -> bool:
    """Tell whether an item is one of those that carry no signature: a notification, or a lead."""
    return isinstance(value, dict | list) and not (isinstance(value, dict) and "sHash" in value)


def recipe(data: bytes) -> None:
    """Input: a line with a recipe, then an item. What is signed by a recipe is verified by it, and nothing else is."""
    cut = Cut(data)
    described, body = _json(cut.line()), cut.rest()
    try:
        found = check_recipe(described)
    except ValueError as error:
        assert 0 < len(str(error)) < 400  # noqa: PT017 - what is said is what is looked at
        return
    assert isinstance(found, Recipe)
    assert check_recipe(found.as_data()) == found
    item = _json(body)
    if not isinstance(item, dict) or not isinstance(item.get("data"), dict):
        return
    source = BENCH.source("thinksurance", Mode.ENFORCE, recipe=found.as_data(), credentials=_CREDENTIALS)
    signed = {**item, "sHash": sign_for(source, item, BENCH.now)}
    assert _verdict(source, signed) is Verdict.VERIFIED
    digest = signed["sHash"]
    assert _verdict(source, {**signed, "sHash": digest[:-1]}) is Verdict.INVALID
    assert _verdict(source, {**signed, "sHash": ("1" if digest[0] == "0" else "0") + digest[1:]}) is Verdict.INVALID


def _verdict(source: Source, item: dict[str, Any]) -> Verdict:
    found = PROVIDERS["thinksurance"].find(orjson.dumps(item), "application/json", source, BENCH.now)
    return found.items[0].verdict


def _json(text: bytes) -> Any:
    try:
        return parse(text).value
    except NotJsonError:
        return None


def masked_items(data: bytes) -> None:
    """Input: an item. No token of ours and no credential of the platform is left, and nothing else is changed."""
    value = _json(data)
    masked = mask_item(value, CREDENTIALS, HOLDERS)
    assert mask_item(masked, CREDENTIALS, HOLDERS) == masked
    texts = strings(masked)
    assert not any(CALLBACK_TOKEN.search(text) or API_KEY.search(text) for text in texts), "no token survives"
    _check_members(value, masked)


def _check_members(value: Any, masked: Any) -> None:
    """See that an object's credentials are gone and all else is as it was."""
    if isinstance(value, list):
        assert len(value) == len(masked)
        for one, other in zip(value, masked, strict=True):
            _check_members(one, other)
    elif isinstance(value, dict):
        assert isinstance(masked, dict)
        for name, child in value.items():
            if re.search("cb[tx]_", name):
                continue
            if name.lower() in CREDENTIALS and child not in (None, "", [], {}):
                assert masked[name] == "***"
            elif not (name.lower() in HOLDERS and not isinstance(child, dict)):
                _check_members(child, masked[name])
    elif not (isinstance(value, str) and re.search("cb[tx]_", value)):
        assert masked == value
        assert json.dumps(masked) == json.dumps(value)
