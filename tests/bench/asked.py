"""Says what a question of the measurements is: how it is asked over HTTP, and beside it in plain SQL."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Asked:
    """One time that a question is asked: the path, and the parameters of the plain SQL."""

    path: str
    values: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A question, told by `name`; `kind` says which aim it has, `ask` gives it with other values each time.

    `first_bytes` means that only the beginning of the answer is waited for.
    """

    name: str
    kind: str
    ask: Callable[[], Asked]
    sql: str
    first_bytes: bool = False


def to_path(name: str, **parameters: Any) -> str:
    """Return a path with its parameters."""
    return f"/v1/{name}?{urlencode(parameters)}" if parameters else f"/v1/{name}"


def always(path: str, *values: Any) -> Callable[[], Asked]:
    """Return what asks the same each time."""
    return lambda: Asked(path, values)
