"""Reads what people give to commands: secrets from elsewhere, pairs, recipes.

What the values mean is checked where they are used.
"""

import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ELSEWHERE = "`-` reads standard input, `@FILE` a file, `@@...` is a value that begins with @."


class ValueGivenError(Exception):
    """A value cannot be read; the text says which, never what."""


class Reader:
    """Reads the values of one command, of which one may come from standard input."""

    def __init__(self) -> None:
        self._taken = False

    def secret(self, given: str, what: str) -> str:
        """Return the value that `given` stands for; of a file or standard input without the last line's end.

        Raises:
            ValueGivenError: the file cannot be read, or standard input was read for another value.
        """
        if given == "-":
            if self._taken:
                raise ValueGivenError(f"{what}: standard input gives one value only")
            self._taken = True
            if sys.stdin.isatty():
                return getpass.getpass(f"{what}: ")
            return self._whole(sys.stdin.buffer.read(), what)
        if given.startswith("@@"):
            return given[1:]
        if given.startswith("@"):
            try:
                return self._whole(Path(given[1:]).read_bytes(), what)
            except OSError as error:
                raise ValueGivenError(f"{what}: {given[1:]}: {error.strerror}") from None
        return given

    def _whole(self, raw: bytes, what: str) -> str:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ValueGivenError(f"{what}: is not in UTF-8") from None
        value = text.removesuffix("\n").removesuffix("\r")
        if not value:
            raise ValueGivenError(f"{what}: nothing was given")
        return value

    def pairs(self, given: Sequence[str], what: str, *, secret: bool) -> list[tuple[str, str]]:
        """Return KEY=VALUE pairs; the values may stand elsewhere if they are secret.

        Raises:
            ValueGivenError: one is no pair, or cannot be read.
        """
        pairs = []
        for number, pair in enumerate(given, 1):
            key, sign, value = pair.partition("=")
            if not sign or not key:
                raise ValueGivenError(f"{what} number {number}: must be KEY=VALUE")
            pairs.append((key, self.secret(value, f"{what} {key}") if secret else value))
        return pairs

    def recipe(self, given: str | None) -> dict[str, Any] | None:
        """Return a recipe given as JSON.

        Raises:
            ValueGivenError: it is no JSON object, or cannot be read.
        """
        if given is None:
            return None
        try:
            recipe = json.loads(self.secret(given, "recipe"))
        except ValueError as error:
            raise ValueGivenError(f"recipe: is not JSON: {error}") from None
        if not isinstance(recipe, dict):
            raise ValueGivenError('recipe: must be a JSON object such as {"algorithm": "sha1"}')
        return recipe
