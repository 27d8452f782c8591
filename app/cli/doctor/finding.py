"""Says what a look at an installation gives, and what the looks over a connection are given."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.accounts.writing import Connection
from app.config import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; not `well` is what needs a person. `values` are for programs, at any time all."""

    name: str
    well: bool
    detail: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """An installation whose database answers."""

    settings: Settings
    url: str
    connection: Connection

    def row(self, question: str, *arguments: object) -> tuple[Any, ...]:
        """Return the first row of an answer that has one."""
        row = self.connection.execute(question.encode(), arguments or None).fetchone()
        if row is None:
            raise LookupError("a question has no answer")
        return tuple(row)


Look = Callable[[Subject], Iterator[Finding]]
"""One section: looks at something over the connection, named `look_at_...`; the first finding has that name."""


def several(count: int, one: str, more: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{count} {one if count == 1 else more or one + 's'}"
