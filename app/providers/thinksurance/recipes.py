"""Holds how a source's `sHash` is made, as data: Thinksurance names the check but does not publish the recipe.

Comparing with what came in is `signature`'s; which recipe fits a source is for its operator, or calibration, to find.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_HASHES = {"md5": hashlib.md5, "sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
_DIGESTS = tuple(_HASHES)
ALGORITHMS = (*_DIGESTS, *(f"hmac-{name}" for name in _DIGESTS))
DATA_PARTS = ("bToken", "bExternalId", "iId", "iCreated", "iUpdated", "status")
SECRET_PARTS = ("secret", "hash", "aToken")
PARTS = (*DATA_PARTS, *SECRET_PARTS, "data_raw")
ENCODINGS = ("hex", "HEX", "base64")
KEYS = ("secret", "hash")
MIN_TRUNCATE = 16
_FIELDS = ("algorithm", "parts", "separator", "encoding", "truncate", "key")
_MAX_PARTS = 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an `sHash` is made of an item and what both sides know. Made by `check_recipe`."""

    algorithm: str = "md5"
    parts: tuple[str, ...] = ("bToken", "iId", "secret")
    separator: str = ""
    encoding: str = "hex"
    truncate: int | None = None
    key: str | None = None

    @property
    def digest(self) -> str:
        """Return the digest's name, without `hmac-`."""
        return self.algorithm.removeprefix("hmac-")

    def needs(self, name: str) -> bool:
        """Say whether `name` (such as `secret`, `hash`, `data_raw`) is a part or the key."""
        return name in self.parts or name == self.key

    def as_data(self) -> dict[str, Any]:
        """Return the recipe as it is stored and shown, every field written out."""
        return {
            "algorithm": self.algorithm,
            "parts": list(self.parts),
            "separator": self.separator,
            "encoding": self.encoding,
            "truncate": self.truncate,
            "key": self.key,
        }


DEFAULT_RECIPE: Final = Recipe()


def check_recipe(data: Mapping[str, Any]) -> Recipe:
    """Return the recipe that `data` describes; fields that are not given are the default recipe's.

    With an `hmac-*` algorithm the secret is the key, so its default parts are those without the secret.

    Raises:
        ValueError: names the field and what is wrong with it.
    """
    if not isinstance(data, Mapping):
        raise ValueError("recipe: is an object with the fields " + ", ".join(_FIELDS))  # noqa: TRY004 - one kind of error
    for name in data:
        if name not in _FIELDS:
            raise ValueError(f"recipe: unknown field {str(name)[:40]!r}; there are " + ", ".join(_FIELDS))
    algorithm = _one_of("algorithm", data.get("algorithm", DEFAULT_RECIPE.algorithm), ALGORITHMS)
    keyed = algorithm.startswith("hmac-")
    recipe = Recipe(
        algorithm,
        _check_parts(data.get("parts", ("bToken", "iId") if keyed else DEFAULT_RECIPE.parts)),
        _check_separator(data.get("separator", "")),
        _one_of("encoding", data.get("encoding", DEFAULT_RECIPE.encoding), ENCODINGS),
        _check_truncate(data.get("truncate")),
        _check_key(data.get("key"), keyed=keyed),
    )
    if not keyed and not any(part in SECRET_PARTS or part.startswith("=") for part in recipe.parts):
        raise ValueError("recipe.parts: without " + ", ".join(SECRET_PARTS) + " or a =literal anybody could sign")
    length = len(encode_digest(recipe, b""))
    if recipe.truncate is not None and recipe.truncate > length:
        raise ValueError(f"recipe.truncate: {recipe.truncate} is more than the {length} characters there are")
    return recipe


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise ValueError(f"recipe.{name}: is one of " + ", ".join(allowed))


def _check_parts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("recipe.parts: is a list of names, at least one")
    if len(value) > _MAX_PARTS:
        raise ValueError(f"recipe.parts: has {len(value)} entries, {_MAX_PARTS} at most")
    for part in value:
        if not isinstance(part, str) or (part not in PARTS and not part.startswith("=")):
            raise ValueError(f"recipe.parts: {str(part)[:40]!r} is none of " + ", ".join(PARTS) + " or =literal")
    return tuple(value)


def _check_separator(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("recipe.separator: is text, such as an empty one or |")  # noqa: TRY004 - one kind of error
    return value


def _check_truncate(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < MIN_TRUNCATE:
        raise ValueError(f"recipe.truncate: is a whole number of characters from {MIN_TRUNCATE} on, or null")
    return value


def _check_key(value: Any, *, keyed: bool) -> str | None:
    if not keyed:
        if value is not None:
            raise ValueError("recipe.key: only for hmac-* algorithms")
        return None
    return _one_of("key", "secret" if value is None else value, KEYS)


def encode_digest(recipe: Recipe, message: bytes, key: bytes = b"") -> str:
    """Return the hash of `message` by the recipe's algorithm, encoding and length."""
    if recipe.key is not None:
        digest = hmac.digest(key, message, recipe.digest)
    else:
        digest = _HASHES[recipe.digest](message, usedforsecurity=False).digest()
    if recipe.encoding == "base64":
        text = base64.b64encode(digest).decode()
    else:
        text = digest.hex() if recipe.encoding == "hex" else digest.hex().upper()
    return text[: recipe.truncate]
