"""Cuts the bytes of one fuzzed input into choices and a rest; the same here and under atheris.

What the pieces mean is each property's business.
"""

from collections.abc import Sequence
from typing import TypeVar

_T = TypeVar("_T")


class Cut:
    """The bytes of one input, taken from the front; where none are left, zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Take one byte."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def one_of(self, choices: Sequence[_T]) -> _T:
        """Take a byte that chooses."""
        return choices[self.byte() % len(choices)]

    def line(self) -> bytes:
        """Take all up to the next line feed, which is left out."""
        found, _, _ = self._data[self._at :].partition(b"\n")
        self._at += len(found) + 1
        return found

    def rest(self) -> bytes:
        """Take all that is left."""
        found = self._data[self._at :]
        self._at = len(self._data)
        return found

    def __bool__(self) -> bool:
        return self._at < len(self._data)
