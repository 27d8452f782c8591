"""Reads what a source's settings say about its calls.

They were checked when they were set; what was set before there was a check is refused here, when it is needed.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from app.accounts.model import Source
from app.accounts.settings import parse_period, parse_switch
from app.submissions.problems import SourceNotReady

TEST_SOURCE = "test_source"
"""The setting that names the source of the partner's test system, whose URL a forward registers beside its own."""

Value = TypeVar("Value")


def overdue_after(source: Source) -> timedelta | None:
    """Return after which time without a callback a call is overdue; None if the source does not say.

    Raises:
        SourceNotReady: the setting is no period.
    """
    return read_setting(source, "overdue_after", parse_period)


def has_own_tokens(source: Source) -> bool:
    """Tell whether each call registers a callback URL of its own.

    Raises:
        SourceNotReady: the setting is neither `on` nor `off`.
    """
    return bool(read_setting(source, "own_tokens", parse_switch))


def find_test_source(source: Source, sources: Mapping[UUID, Source]) -> Source | None:
    """Return the source of the test system, if the setting names one.

    Raises:
        SourceNotReady: it names none of the same platform.
    """
    name = source.settings.get(TEST_SOURCE)
    if not name:
        return None
    found = next((one for one in sources.values() if one.name == name and one.provider == source.provider), None)
    if found is None:
        raise SourceNotReady(f"The setting {TEST_SOURCE} of {source.name} names no source of its platform.")
    return found


def read_setting(source: Source, name: str, parse: Callable[[str], Value]) -> Value | None:
    """Return a setting as `parse` reads it; None where it is not set.

    Raises:
        SourceNotReady: it is none.
    """
    text = source.settings.get(name)
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise SourceNotReady(f"The setting {name} of {source.name} {error}.") from None
