"""Recipes are found by what they sign, and only by two different inquiries."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.accounts.model import Mode, Secret, Source
from app.providers.thinksurance.calibration import Signed, calibrate, fitting, signed_items
from app.providers.thinksurance.guesses import DIGESTS, guesses
from app.providers.thinksurance.recipes import Recipe, check_recipe
from app.providers.thinksurance.signature import Known, sign

AT = datetime(2026, 3, 9, tzinfo=UTC)
SECRET, HASH = "ein Geheimnis", "ein langer hash"


@pytest.fixture
def source() -> Source:
    """An account whose recipe nobody knows yet."""
    secrets = (Secret("ein älteres", AT - timedelta(days=9)), Secret(SECRET, AT - timedelta(days=1)))
    credentials = {"hash": (HASH,), "a_token": ("konto",)}
    return Source(UUID(int=1), "a", "thinksurance", Mode.ENFORCE, {}, False, secrets, credentials, {})  # noqa: FBT003


def _item(inquiry_id: int, recipe: Recipe | None, **data: Any) -> dict[str, Any]:
    item: dict[str, Any] = {
        "data": {
            "bToken": "7c21be90a4",
            "bExternalId": "42",
            "iId": inquiry_id,
            "iCreated": "2026-01-01",
            "iUpdated": "2026-01-02",
            "status": 4,
            **data,
        }
    }
    return item | {"sHash": sign(recipe, item, Known(SECRET, HASH, "konto")) if recipe else "0" * 32}


def _signed(*items: dict[str, Any]) -> list[Signed]:
    return [one for item in items for one in signed_items(orjson.dumps(item), "application/json", AT)]


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"algorithm": "sha1", "parts": ["aToken", "iId", "hash"]},
        {"algorithm": "sha256", "parts": ["iUpdated", "secret", "status", "iId"], "encoding": "HEX", "separator": ":"},
        {"algorithm": "hmac-sha256", "parts": ["data_raw"], "key": "hash", "encoding": "base64", "truncate": 24},
    ],
    ids=lambda recipe: "-".join(map(str, recipe.get("parts", ["default"]))),
)
def test_a_recipe_is_found_by_what_it_signs(source: Source, recipe: dict[str, Any]) -> None:
    wanted = check_recipe(recipe)
    found = calibrate(source, _signed(*(_item(number, wanted) for number in (7, 8))))
    assert found.fits == (wanted,)
    assert found.tried > 100_000
    assert (found.items, found.inquiries, found.partly) == (2, 2, ())


def test_one_inquiry_is_not_enough(source: Source) -> None:
    items = _signed(_item(7, check_recipe({})), _item(7, check_recipe({}), status=6))
    found = calibrate(source, items)
    assert (found.tried, found.inquiries, found.fits) == (0, 1, ())
    assert fitting(source, [check_recipe({})], items) == []


def test_a_recipe_must_fit_every_item(source: Source) -> None:
    recipe = check_recipe({"algorithm": "sha1"})
    items = _signed(_item(7, recipe), _item(8, recipe), _item(9, None))
    found = calibrate(source, items)
    assert found.fits == ()
    assert found.partly == ((recipe, 2),)
    assert fitting(source, [recipe], items) == []
    assert fitting(source, [recipe, recipe], items[:2]) == [recipe]


def test_recipes_that_items_cannot_tell_apart_are_all_named(source: Source) -> None:
    recipe = check_recipe({"parts": ["bToken", "iId", "iUpdated", "secret"]})
    items = _signed(*(_item(number, recipe, iCreated="2026-01-02") for number in (7, 8)))
    assert set(calibrate(source, items).fits) == {
        recipe,
        check_recipe({"parts": ["bToken", "iId", "iCreated", "secret"]}),
    }


def test_only_what_could_be_judged_is_tried() -> None:
    items: dict[str, Any] = {
        "7": _item(1, check_recipe({})),
        "8": {"data": {"iId": 8}},
        "9": {"data": {}, "sHash": "x"},
    }
    del items["7"]["data"]["iId"]
    body = orjson.dumps(items)
    assert [one.inquiry_id for one in signed_items(body, "application/json", AT)] == [7, 9]
    assert signed_items(b"not json", "application/json", AT) == []
    assert signed_items(b'{"error": "none"}', "application/json", AT) == []


def test_guesses_are_recipes_and_none_comes_twice() -> None:
    every = list(guesses(("secret", "hash", "aToken")))
    assert len(set(every)) == len(every)
    for parts, separator in (
        (("hash", "secret", "iId"), "|"),
        (("data_raw", "secret"), ""),
        (("iId", "bToken"), "-"),
        (("iUpdated", "secret", "status", "iId"), ":"),
    ):
        assert any((guess.parts, guess.separator) == (parts, separator) for guess in every), (parts, separator)
    assert {"md5", "sha1", "sha256", "sha512"} <= set(DIGESTS)
    assert every[0].parts == ("bToken", "iId", "secret")
    for guess in every[:2000]:
        for key in guess.keys:
            recipe = {"parts": list(guess.parts), "separator": guess.separator, "algorithm": DIGESTS[0]}
            if key:
                recipe |= {"key": key, "algorithm": "hmac-md5"}
            assert check_recipe(recipe).parts == guess.parts
    assert not any("hash" in guess.parts or "aToken" in guess.parts for guess in guesses(("secret",)))
