"""What sources, tokens and API keys are to the rest of the program: plain values, read from a snapshot.

How they are kept is `store`'s business, how they come into a process `snapshot`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class Mode(StrEnum):
    """What a source does with a signature."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Secret:
    """A shared secret of a source and the time in which it was good."""

    value: str = field(repr=False)
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One configured account at a provider, as receiver and processor need it."""

    id: UUID
    name: str
    provider: str
    mode: Mode
    recipe: Mapping[str, Any]
    recipe_proven: bool
    secrets: tuple[Secret, ...] = field(repr=False)
    credentials: Mapping[str, tuple[str, ...]] = field(repr=False)
    settings: Mapping[str, str]
    unreadable: bool = False
    """Whether a live secret or credential of it cannot be decrypted and is left out. What comes is then judged by the
    others only, and its recipe does not count as proven: what does not fit is kept and answered with 202."""


class Scope(StrEnum):
    """What an API key may do."""

    READ = "read"
    READ_PERSONAL = "read:personal"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A live token of a callback URL and the source it belongs to."""

    id: UUID
    label: str
    source: Source


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller with an API key may see and do. A wall of None is no wall."""

    key_id: UUID
    name: str
    scopes: frozenset[Scope]
    source_ids: frozenset[UUID] | None = None
    brokers: frozenset[str] | None = None
    expires_at: datetime | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether the key has a scope."""
        return scope in self.scopes


@dataclass(frozen=True, slots=True)
class Accounts:
    """All of it at one moment: sources by id (disabled ones too), live tokens and unrevoked keys by their SHA-256."""

    sources: Mapping[UUID, Source]
    tokens: Mapping[bytes, Token]
    keys: Mapping[bytes, Access]
