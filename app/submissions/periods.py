"""Reads periods out of a source's settings, such as `48h`."""

import re
from datetime import timedelta

from app.accounts.model import Source
from app.submissions.problems import SourceNotReady

_PERIOD = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_period(source: Source, name: str) -> timedelta | None:
    """Return the period that a setting holds; None if it is unset.

    Raises:
        SourceNotReady: it holds something else.
    """
    text = source.settings.get(name)
    if not text:
        return None
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise SourceNotReady(f"The setting {name} of {source.name} is no period such as 30m, 48h or 7d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
