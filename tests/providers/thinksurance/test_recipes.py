"""Recipes as data: which are refused and how, and what each setting does to the hash."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.thinksurance.recipes import (
    ALGORITHMS,
    DATA_PARTS,
    DEFAULT_RECIPE,
    ENCODINGS,
    KEYS,
    PARTS,
    SECRET_PARTS,
    Recipe,
    check_recipe,
)
from app.providers.thinksurance.signature import Known, sign

ITEM = {
    "data": {"bToken": "7c21", "bExternalId": "42", "iId": 2900418, "iCreated": "2025-03-02", "status": 6, "x": "ü/"},
    "customer": {"cId": 1},
}
KNOWN = Known(secret="geheim", hash="Zugang", a_token="konto")


def recipes() -> st.SearchStrategy[Recipe]:
    """Return recipes over all settings."""

    def build(algorithm: str, parts: list[str], secret: str, rest: tuple[str, str, int | None, str]) -> Recipe:
        separator, encoding, truncate, key = rest
        keyed = algorithm.startswith("hmac-")
        return check_recipe(
            {"algorithm": algorithm, "parts": [*parts, secret], "separator": separator, "encoding": encoding}
            | {"truncate": truncate, "key": key if keyed else None}
        )

    return st.builds(
        build,
        st.sampled_from(ALGORITHMS),
        st.lists(st.sampled_from([*DATA_PARTS, "data_raw", "=", "=Salz|ü"]), max_size=4),
        st.just("secret"),
        st.tuples(
            st.sampled_from(["", "|", "::", "ü"]),
            st.sampled_from(ENCODINGS),
            st.none() | st.integers(16, 24),
            st.sampled_from(KEYS),
        ),
    )


def test_the_default_is_md5_of_broker_token_inquiry_and_secret() -> None:
    assert check_recipe({}) == DEFAULT_RECIPE
    assert sign(DEFAULT_RECIPE, ITEM, KNOWN) == hashlib.md5(b"7c212900418geheim").hexdigest()  # noqa: S324 - theirs


DATA = b'{"bToken":"7c21","bExternalId":"42","iId":2900418,"iCreated":"2025-03-02","status":6,"x":"\xc3\xbc/"}'


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"algorithm": "sha1"}, hashlib.sha1(b"7c212900418geheim").hexdigest()),  # noqa: S324 - theirs
        ({"algorithm": "sha256"}, hashlib.sha256(b"7c212900418geheim").hexdigest()),
        ({"algorithm": "sha512"}, hashlib.sha512(b"7c212900418geheim").hexdigest()),
        ({"algorithm": "hmac-sha256"}, hmac.digest(b"geheim", b"7c212900418", "sha256").hex()),
        ({"algorithm": "hmac-md5", "key": "hash"}, hmac.digest(b"Zugang", b"7c212900418", "md5").hex()),
        ({"algorithm": "hmac-sha1", "parts": ["data_raw"]}, hmac.digest(b"geheim", DATA, "sha1").hex()),
        ({"algorithm": "hmac-sha512", "parts": ["status"]}, hmac.digest(b"geheim", b"6", "sha512").hex()),
        ({"algorithm": "sha256", "separator": "|"}, hashlib.sha256(b"7c21|2900418|geheim").hexdigest()),
        ({"algorithm": "sha256", "encoding": "HEX"}, hashlib.sha256(b"7c212900418geheim").hexdigest().upper()),
        (
            {"algorithm": "sha256", "encoding": "base64"},
            base64.b64encode(hashlib.sha256(b"7c212900418geheim").digest()).decode(),
        ),
        ({"algorithm": "sha256", "truncate": 20}, hashlib.sha256(b"7c212900418geheim").hexdigest()[:20]),
        ({"algorithm": "sha256", "parts": ["hash", "secret"]}, hashlib.sha256(b"Zuganggeheim").hexdigest()),
        ({"algorithm": "sha256", "parts": ["aToken", "bExternalId"]}, hashlib.sha256(b"konto42").hexdigest()),
        (
            {"algorithm": "sha256", "parts": ["iCreated", "=ü", "secret"]},
            hashlib.sha256("2025-03-02ügeheim".encode()).hexdigest(),
        ),
        ({"algorithm": "sha256", "parts": ["iUpdated", "secret"]}, hashlib.sha256(b"geheim").hexdigest()),
        ({"algorithm": "sha256", "parts": ["data_raw", "secret"]}, hashlib.sha256(DATA + b"geheim").hexdigest()),
        ({"algorithm": "sha256", "parts": ["=salt", "iId"]}, hashlib.sha256(b"salt2900418").hexdigest()),
    ],
)
def test_each_setting_does_what_it_says(settings: dict[str, Any], expected: str) -> None:
    assert sign(check_recipe(settings), ITEM, KNOWN) == expected


@pytest.mark.parametrize(
    ("value", "part"),
    [("a", b"a"), (7, b"7"), (1.5, b"1.5"), (None, b""), (True, b"1"), (False, b"")],
)
def test_parts_are_written_as_php_would(value: Any, part: bytes) -> None:
    item = {"data": {"status": value}}
    recipe = check_recipe({"algorithm": "sha256", "parts": ["status", "=|"]})
    assert sign(recipe, item, KNOWN) == hashlib.sha256(part + b"|").hexdigest()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "crc32"}, "recipe.algorithm: is one of md5, sha1, sha256, sha512, hmac-md5"),
        ({"algorithm": 5}, "recipe.algorithm: is one of"),
        ({"parts": "bToken"}, "recipe.parts: is a list of names, at least one"),
        ({"parts": []}, "recipe.parts: is a list of names, at least one"),
        ({"parts": ["bToken", "geheim"]}, "recipe.parts: 'geheim' is none of bToken"),
        ({"parts": [5]}, "recipe.parts: '5' is none of"),
        ({"parts": ["secret"] * 21}, "recipe.parts: has 21 entries"),
        ({"parts": ["bToken", "iId"]}, "recipe.parts: without secret, hash, aToken or a =literal anybody could sign"),
        ({"separator": 1}, "recipe.separator: is text"),
        ({"encoding": "base32"}, "recipe.encoding: is one of hex, HEX, base64"),
        ({"truncate": 15}, "recipe.truncate: is a whole number of characters from 16 on, or null"),
        ({"truncate": True}, "recipe.truncate: is a whole number"),
        ({"truncate": "20"}, "recipe.truncate: is a whole number"),
        ({"truncate": 33}, "recipe.truncate: 33 is more than the 32 characters there are"),
        ({"encoding": "base64", "truncate": 25}, "recipe.truncate: 25 is more than the 24 characters there are"),
        ({"key": "secret"}, "recipe.key: only for hmac-* algorithms"),
        ({"algorithm": "hmac-md5", "key": "aToken"}, "recipe.key: is one of secret, hash"),
        ({"algorithmus": "md5"}, "recipe: unknown field 'algorithmus'; there are algorithm, parts"),
        ([], "recipe: is an object with the fields"),
        ("md5", "recipe: is an object with the fields"),
        (None, "recipe: is an object with the fields"),
    ],
)
def test_a_wrong_recipe_is_refused_with_field_and_reason(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match="recipe") as caught:
        check_recipe(settings)
    assert str(caught.value).startswith(message)


@given(recipes())
def test_a_recipe_written_out_is_the_same_recipe(recipe: Recipe) -> None:
    assert check_recipe(recipe.as_data()) == recipe


@given(recipes(), st.text(min_size=1), st.text(min_size=1))
def test_another_secret_gives_another_hash(recipe: Recipe, secret: str, other: str) -> None:
    first = sign(recipe, ITEM, KNOWN._replace(secret=secret))
    assert (first == sign(recipe, ITEM, KNOWN._replace(secret=other))) == (secret == other)


def test_every_part_is_data_or_known_or_raw() -> None:
    assert set(PARTS) == {*DATA_PARTS, *SECRET_PARTS, "data_raw"}
