"""Reads settings of sources that rooms above the platforms act by: periods such as `48h`, switches, numbers of days.

Which platform has which setting stands in `app.administration.platforms`; the others are read by their platform.
"""

import re
from datetime import timedelta

_PERIOD = re.compile(r"([1-9][0-9]{0,4})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_APIS = ("v1.1", "v1")
_MOST_DAYS = 365
_SWITCH = {"on": True, "off": False}


def parse_period(text: str) -> timedelta:
    """Return the period that a text such as `48h` stands for.

    Raises:
        ValueError: says what a period is.
    """
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise ValueError("is no period such as 30m, 48h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def parse_switch(text: str) -> bool:
    """Return whether a text says `on`.

    Raises:
        ValueError: it is neither `on` nor `off`.
    """
    if text not in _SWITCH:
        raise ValueError("is neither `on` nor `off`")
    return _SWITCH[text]


def parse_every(text: str) -> timedelta | None:
    """Return how often something is done, None for `off`.

    Raises:
        ValueError: it is neither a period nor `off`.
    """
    return None if text == "off" else parse_period(text)


def parse_days(text: str) -> int:
    """Return a number of days, up to a year.

    Raises:
        ValueError: it is none.
    """
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_DAYS):
        raise ValueError(f"is no number of days from 1 to {_MOST_DAYS}")
    return int(text)


def parse_api(text: str) -> str:
    """Return which of its versions a platform is asked by.

    Raises:
        ValueError: there is no such version.
    """
    if text not in _APIS:
        raise ValueError(f"is none of {', '.join(_APIS)}")
    return text
