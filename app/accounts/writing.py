"""Holds what every change of sources and keys has in common: the refusal, the rules of a platform, the transaction.

The changes themselves stand in `store` (sources) and `keys`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psycopg

from app.accounts.version import bump_version

Connection: TypeAlias = psycopg.Connection[Any]

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LABEL_MAX = 100
_VALUE_MAX = 4096


class AccountError(Exception):
    """What was asked for cannot be done; the text names the field and the reason, never a secret."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Platform:
    """What a source at a platform may have.

    `single` are credentials of one value, `several` those of any number. `check_recipe` raises ValueError with
    `<field>: <reason>`; it is None where the platform signs nothing, so that secrets and recipes have no use.
    `keyed_by` names what a recipe needs to be judged by: `secret`, or else a credential.
    `checks` are those of single settings by name, which raise ValueError with the reason. `needs` says which setting or
    credential is of no use without which other. A platform that does not `call_back` is told no callback URL.
    """

    name: str
    single: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()
    check_recipe: Callable[[Mapping[str, Any]], object] | None = None
    keyed_by: Callable[[Mapping[str, Any]], str] = lambda _: "secret"
    checks: Mapping[str, Callable[[str], object]] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    calls_back: bool = True

    @property
    def credentials(self) -> frozenset[str]:
        """Return the names of all its credentials."""
        return self.single | self.several


@contextmanager
def change(connection: Connection) -> Iterator[None]:
    """Make what is written inside one transaction that running processes notice within two seconds."""
    with connection.transaction():
        yield
        bump_version(connection)


def check_label(label: str, field: str = "label") -> str:
    """Return a label or name for people without blanks around it.

    Raises:
        AccountError: it is empty, too long, or has characters that do not print.
    """
    label = label.strip()
    if not label or len(label) > _LABEL_MAX or not label.isprintable():
        raise AccountError(field, f"1 to {_LABEL_MAX} printable characters are needed")
    return label


def check_value(field: str, value: str) -> str:
    """Return a secret value as it is.

    Raises:
        AccountError: it is empty, too long, or no text that could be typed.
    """
    if not value:
        raise AccountError(field, "is empty")
    if len(value) > _VALUE_MAX:
        raise AccountError(field, f"has more than {_VALUE_MAX} characters")
    if "\x00" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise AccountError(field, "holds characters that no text has")
    return value
