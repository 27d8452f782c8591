"""Signs items and judges their `sHash` by a source's recipe, secrets and mode.

What a recipe is stands in `recipes`; what becomes of a wrong signature, in the receiver and the processor.
"""

import hmac
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from app.ingest.contract import Mode, Reason, Secret, Source, Verdict
from app.providers.thinksurance.recipes import DATA_PARTS, Recipe, check_recipe, encode_digest
from app.providers.values import is_unknown

REVOCATION_GRACE = timedelta(seconds=5)
"""How long a revoked secret is still good: other processes hear of it by then."""

RawPart = Callable[[str], bytes | None]
"""Gives the bytes of a member of `data` as sent, or of `data` itself for the empty name; None if there are none."""

_MAX_CACHED = 10_000
_MAX_TRIED = 1_000
_SENT = (str, int)  # a union would be made anew for each value


class Known(NamedTuple):
    """One set of what both sides know and no item shows."""

    secret: str = ""
    hash: str = ""
    a_token: str = ""


Judgement = tuple[Verdict, Reason | None]


def sign(recipe: Recipe, item: Mapping[str, Any], known: Known, raw: RawPart | None = None) -> str:
    """Return the `sHash` of an item.

    Without `raw` the item is one that is still to be sent: numbers and `data` are taken as orjson writes them.
    """
    data = item.get("data")
    members = data if isinstance(data, dict) else {}
    return _sign(recipe, _data_parts(recipe, members, raw or _as_written(members)) or (), known)


def sign_for(source: Source, item: Mapping[str, Any], at: datetime) -> str:
    """Return the `sHash` that `source` expects on an item sent at `at`, by its newest secret.

    Raises:
        ValueError: the source's recipe is wrong, or it lacks a secret or credential that the recipe needs.
    """
    recipe = check_recipe(source.recipe)
    for known in _live(_knowns(source, recipe), at):
        return sign(recipe, item, known)
    raise ValueError("the source lacks a secret or credential that its recipe needs")


def judge(source: Source, item: Mapping[str, Any], at: datetime, raw: RawPart, key: str | None = None) -> Judgement:
    """Return verdict and reason of an inquiry item; `key` stands for an `iId` that is not in it.

    `at` is the receipt. Secrets that were revoked by then are not tried; those added later are, or a delivery that
    came before its secret could never be judged again.
    """
    if source.mode is Mode.OFF:
        return Verdict.UNCHECKED, None
    if is_unknown(item.get("sHash")):
        return _unproven(source, Verdict.UNSIGNED, Reason.SIGNATURE_MISSING)
    if _fits(source, item, at, raw, key):
        return Verdict.VERIFIED, None
    return _unproven(source, Verdict.INVALID, Reason.INVALID_SIGNATURE)


def judge_notification(source: Source) -> Judgement:
    """Return verdict and reason of a V2 notification, which carries no signature by design (V2 Notification)."""
    return (Verdict.UNCHECKED if source.mode is Mode.OFF else Verdict.UNSIGNED), None


def is_live(secret: Secret, at: datetime) -> bool:
    """Say whether a secret is good for what was received at `at`."""
    return secret.revoked_at is None or secret.revoked_at + REVOCATION_GRACE > at


def _unproven(source: Source, verdict: Verdict, reason: Reason) -> Judgement:
    """Return the verdict with its reason where the mode refuses; a recipe not yet proven may itself be wrong."""
    if source.mode is not Mode.ENFORCE:
        return verdict, None
    return verdict, reason if source.recipe_proven else Reason.SIGNATURE_UNPROVEN


def _fits(source: Source, item: Mapping[str, Any], at: datetime, raw: RawPart, key: str | None) -> bool:
    """Say whether any live secret makes the hash that came; the time taken does not tell how near a guess was."""
    recipe, knowns = _prepared(source)
    given = item["sHash"]
    if recipe is None or not isinstance(given, _SENT):
        return False
    data = item.get("data")
    members = data if isinstance(data, dict) else {}
    if key is not None and is_unknown(members.get("iId")):
        members = {**members, "iId": key}
    parts = _data_parts(recipe, members, raw)
    if parts is None:
        return False
    received = str(given).encode("utf-8", "replace")
    fits = False
    for known in _live(knowns, at):
        fits |= hmac.compare_digest(_sign(recipe, parts, known).encode(), received)
    return fits


_Knowns = tuple[tuple[Secret | None, Known], ...]
_cache: dict[UUID, tuple[Source, Recipe | None, _Knowns]] = {}


def _prepared(source: Source) -> tuple[Recipe | None, _Knowns]:
    """Return recipe and combinations, worked out once for each reading of the source.

    There is no recipe if it is wrong, so that nothing ever fits.
    """
    cached = _cache.get(source.id)
    if cached is not None and cached[0] is source:
        return cached[1], cached[2]
    recipe: Recipe | None = None
    knowns: _Knowns = ()
    with suppress(ValueError):
        recipe = check_recipe(source.recipe)
        knowns = _knowns(source, recipe)
    if len(_cache) >= _MAX_CACHED:
        _cache.clear()
    _cache[source.id] = (source, recipe, knowns)
    return recipe, knowns


def _knowns(source: Source, recipe: Recipe) -> _Knowns:
    """Return each combination of what the recipe needs, newest secret first; nothing if something is lacking.

    The credential `secret` of the API user stands in where the source has no secret of its own.
    """
    secrets: list[Secret | None] = [None]
    values: list[str] = [""]
    if recipe.needs("secret"):
        newest_first = sorted(source.secrets, key=_age, reverse=True)
        secrets, values = [*newest_first], [secret.value for secret in newest_first]
        if not secrets:
            values = list(source.credentials.get("secret", ()))
            secrets = [None] * len(values)
    hashes = source.credentials.get("hash", ()) if recipe.needs("hash") else ("",)
    tokens = source.credentials.get("a_token", ()) if recipe.needs("aToken") else ("",)
    combinations = (
        (secret, Known(value, hash_, token))
        for secret, value in zip(secrets, values, strict=True)
        for hash_ in hashes
        for token in tokens
    )
    return tuple(islice(combinations, _MAX_TRIED))


def _live(knowns: _Knowns, at: datetime) -> list[Known]:
    return [known for secret, known in knowns if secret is None or is_live(secret, at)]


def _age(secret: Secret) -> datetime:
    return secret.created_at


def _sign(recipe: Recipe, parts: tuple[bytes | str, ...], known: Known) -> str:
    """Return the hash; `parts` hold bytes for what the item gave and the name for what `known` gives."""
    pieces = [part if isinstance(part, bytes) else _encoded(getattr(known, part)) for part in parts]
    key = b"" if recipe.key is None else _encoded(known.secret if recipe.key == "secret" else known.hash)
    return encode_digest(recipe, _encoded(recipe.separator).join(pieces), key)


_KNOWN_NAMES = {"secret": "secret", "hash": "hash", "aToken": "a_token"}


def _data_parts(recipe: Recipe, members: Mapping[str, Any], raw: RawPart) -> tuple[bytes | str, ...] | None:
    """Return the recipe's parts with all that the item gives filled in; None if it asks for bytes that nobody knows."""
    parts: list[bytes | str] = []
    for name in recipe.parts:
        if name in DATA_PARTS:
            if (part := part_bytes(name, members.get(name), raw)) is None:
                return None
            parts.append(part)
        elif name == "data_raw":
            if (whole := raw("")) is None:
                return None
            parts.append(whole)
        elif name.startswith("="):
            parts.append(_encoded(name[1:]))
        else:
            parts.append(_KNOWN_NAMES[name])
    return tuple(parts)


def part_bytes(name: str, value: Any, raw: RawPart) -> bytes | None:
    """Return a part as bytes: a string as it is, a number as it was written, true and false as PHP writes them.

    None if nobody knows how it was written.
    """
    if isinstance(value, str):
        return _encoded(value)
    if value is None or value is False:
        return b""
    if value is True:
        return b"1"
    if isinstance(value, int):
        return str(value).encode()
    return raw(name)


def _as_written(members: Mapping[str, Any]) -> RawPart:
    """Return how an item that is still to be sent will be written."""
    return lambda name: orjson.dumps(members[name] if name else members)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
