"""Finds out by which recipe a source's items are signed: tries all guesses against items that came.

Pure. Which items are tried, and setting the recipe, is the command line's business; the guesses stand in `guesses`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Any

from app.ingest.contract import Mode, Source, Verdict
from app.ingest.form_fields import parse_body
from app.ingest.lenient_json import NotJsonError
from app.providers.thinksurance.finding import SentBytes
from app.providers.thinksurance.guesses import DIGESTS, Guess, guesses
from app.providers.thinksurance.identity import find_inquiry_id
from app.providers.thinksurance.recipes import DATA_PARTS, DEFAULT_RECIPE, MIN_TRUNCATE, Recipe, check_recipe
from app.providers.thinksurance.shapes import Kind, recognise
from app.providers.thinksurance.signature import RawPart, judge, part_bytes
from app.providers.values import is_unknown

LEAST_INQUIRIES = 2
_PROBES = 3
_ENCODERS: Mapping[str, tuple[re.Pattern[str], Callable[[bytes], str]]] = {
    "hex": (re.compile(r"[0-9a-f]+"), bytes.hex),
    "HEX": (re.compile(r"[0-9A-F]+"), lambda digest: digest.hex().upper()),
    "base64": (re.compile(r"[0-9A-Za-z+/]+=*"), lambda digest: base64.b64encode(digest).decode()),
}
"""How a digest is written, and what it looks like then; what looks like an earlier one is taken for no later one."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed item as it came: of which inquiry, received when, and what gives its bytes as sent."""

    value: Mapping[str, Any]
    inquiry_id: int
    received_at: datetime
    raw: RawPart
    key: str | None = None

    @property
    def signature(self) -> str:
        """Return its `sHash`."""
        return str(self.value["sHash"])


@dataclass(frozen=True, slots=True)
class Calibration:
    """What trying gave: how many recipes were tried, those that fit every item, and those that fit some inquiries.

    `fits` are most likely first. `partly` are recipes with the number of items that they fit: at least two inquiries,
    so no chance, but other items are signed otherwise, by a secret that is not known here, or not by the platform.
    """

    tried: int
    items: int
    inquiries: int
    fits: tuple[Recipe, ...] = ()
    partly: tuple[tuple[Recipe, int], ...] = ()


def signed_items(body: bytes, content_type: str, received_at: datetime) -> list[Signed]:
    """Return the items of a decompressed body that carry an `sHash` and name their inquiry."""
    try:
        parsed = parse_body(body, content_type)
    except NotJsonError:
        return []
    members = recognise(parsed.value)
    sent = SentBytes(parsed)
    signed = []
    for found in members if isinstance(members, list) else ():
        if found.kind is Kind.INQUIRY and isinstance(found.value.get("sHash"), str | int):
            inquiry_id = find_inquiry_id(found.value.get("data"), found.key)
            if inquiry_id is not None and not is_unknown(found.value["sHash"]):
                signed.append(Signed(found.value, inquiry_id, received_at, sent.parts_of(found), found.key))
    return signed


def calibrate(source: Source, items: Sequence[Signed]) -> Calibration:
    """Try all guesses with the source's secrets against items and return what fits."""
    inquiries = len({item.inquiry_id for item in items})
    if inquiries < LEAST_INQUIRIES:
        return Calibration(0, len(items), inquiries)
    tried, candidates = _candidates(source, items)
    candidates = [_present(source), *candidates]
    fits = fitting(source, candidates, items)
    partly = [] if fits else list(_fitting_partly(source, candidates, items))
    return Calibration(tried, len(items), inquiries, tuple(fits), tuple(partly))


def fitting(source: Source, recipes: Iterable[Recipe], items: Sequence[Signed]) -> list[Recipe]:
    """Return the recipes by which each of the items is signed, of at least two different inquiries."""
    if len({item.inquiry_id for item in items}) < LEAST_INQUIRIES:
        return []
    return [recipe for recipe in dict.fromkeys(recipes) if all(_fits(source, recipe, items))]


def _fitting_partly(source: Source, recipes: Iterable[Recipe], items: Sequence[Signed]) -> Iterator[tuple[Recipe, int]]:
    for recipe in dict.fromkeys(recipes):
        fitted = [item for item, fits in zip(items, _fits(source, recipe, items), strict=True) if fits]
        if len({item.inquiry_id for item in fitted}) >= LEAST_INQUIRIES:
            yield recipe, len(fitted)


def _fits(source: Source, recipe: Recipe, items: Iterable[Signed]) -> Iterator[bool]:
    """Yield for each item whether the recipe fits it, by the very judgement that is passed at receipt."""
    tried = replace(source, mode=Mode.OBSERVE, recipe=recipe.as_data())
    for item in items:
        verdict, _ = judge(tried, item.value, item.received_at, item.raw, item.key)
        yield verdict is Verdict.VERIFIED


def _present(source: Source) -> Recipe:
    try:
        return check_recipe(source.recipe)
    except ValueError:
        return DEFAULT_RECIPE


# --- trying, as fast as it goes in one process: every candidate is judged properly afterwards -------------------------


def _candidates(source: Source, items: Sequence[Signed]) -> tuple[int, list[Recipe]]:
    """Return how many recipes were tried, and those that fit at least one of a few items of different inquiries."""
    known = _known(source)
    probes = list({item.inquiry_id: item for item in reversed(items)}.values())[-_PROBES:]
    found: dict[Recipe, None] = {}
    tried = 0
    every = list(guesses(known))
    for probe in reversed(probes):
        tried = 0
        values = _values(probe)
        compared = _comparison(probe.signature)
        for guess in every:
            tried += len(DIGESTS) * len(guess.keys)
            for recipe in _try(guess, values, known, compared):
                found[recipe] = None
    return tried, list(found)


def _known(source: Source) -> dict[str, list[bytes]]:
    """Return the values of `secret`, `hash` and `aToken` that the source has; those it lacks are missing."""
    secrets = [secret.value for secret in source.secrets] or list(source.credentials.get("secret", ()))
    every = {
        "secret": secrets,
        "hash": source.credentials.get("hash", ()),
        "aToken": source.credentials.get("a_token", ()),
    }
    return {
        name: [value.encode("utf-8", "replace") for value in dict.fromkeys(values)]
        for name, values in every.items()
        if values
    }


def _values(item: Signed) -> dict[str, bytes]:
    """Return each part that the item itself gives."""
    data = item.value.get("data")
    members = dict(data) if isinstance(data, dict) else {}
    if item.key is not None and is_unknown(members.get("iId")):
        members["iId"] = item.key
    values = {name: part_bytes(name, members.get(name), item.raw) or b"" for name in DATA_PARTS}
    whole = item.raw("")
    return values if whole is None else {**values, "data_raw": whole}


_Compared = Callable[[bytes], tuple[str, int | None] | None]


def _comparison(signature: str) -> _Compared:
    """Return what tells whether a digest gives the signature: its encoding, and to what length it is cut."""
    encoding, encode = next(
        ((name, encode) for name, (shape, encode) in _ENCODERS.items() if shape.fullmatch(signature)), ("", None)
    )
    length = len(signature)
    if encode is None or length < MIN_TRUNCATE:
        return lambda _digest: None

    def compared(digest: bytes) -> tuple[str, int | None] | None:
        text = encode(digest)
        return (encoding, None if len(text) == length else length) if text.startswith(signature) else None

    return compared


def _try(
    guess: Guess, values: Mapping[str, bytes], known: Mapping[str, Sequence[bytes]], compared: _Compared
) -> Iterator[Recipe]:
    """Yield the recipes of a guess that give the signature of the item.

    A part that the item leaves empty and that no separator shows is no evidence: the guess without it says the same.
    """
    if not all(part in values or part in known for part in guess.parts):
        return
    if not guess.separator and not all(values.get(part, True) for part in guess.parts):
        return
    separator = guess.separator.encode()
    for pieces in product(*((values[part],) if part in values else known[part] for part in guess.parts)):
        message = separator.join(pieces)
        for name, key in product(DIGESTS, guess.keys):
            for digest in _digests(name, message, known[key] if key else None):
                fitted = compared(digest)
                if fitted is not None:
                    algorithm = f"hmac-{name}" if key else name
                    yield Recipe(algorithm, guess.parts, guess.separator, *fitted, key)


def _digests(name: str, message: bytes, keys: Sequence[bytes] | None) -> Iterator[bytes]:
    if keys is None:
        yield hashlib.new(name, message, usedforsecurity=False).digest()
    else:
        yield from (hmac.digest(key, message, name) for key in keys)
