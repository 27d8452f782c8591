"""Says what a source at each platform may have, in the words of the command line.

What it is used for stands in the platform's own folder.
"""

from collections.abc import Mapping
from typing import Any

from app.accounts.settings import parse_period, parse_switch
from app.accounts.writing import AccountError, Platform
from app.providers import PROVIDERS
from app.providers.allianz.settings import CREDENTIALS as ALLIANZ_CREDENTIALS
from app.providers.allianz.settings import SETTINGS as ALLIANZ_SETTINGS


def _check_thinksurance_recipe(recipe: Mapping[str, Any]) -> object:
    from app.providers.thinksurance.recipes import check_recipe  # noqa: PLC0415 - only where a recipe is given

    return check_recipe(recipe)


_CHECKS = {"overdue_after": parse_period, "own_tokens": parse_switch}

_RULES = {
    "thinksurance": Platform(
        "thinksurance",
        single=frozenset({"hash", "secret"}),
        several=frozenset({"b_token", "a_token"}),
        settings=frozenset({"base_url", "overdue_after", "test_source"}),
        check_recipe=_check_thinksurance_recipe,
        checks=_CHECKS,
    ),
    "wegroup": Platform(
        "wegroup",
        single=frozenset({"api_token"}),
        settings=frozenset({"base_url", "distribution_id", "external_ref_company", "overdue_after", "own_tokens"}),
        checks=_CHECKS,
    ),
    "allianz": Platform("allianz", single=ALLIANZ_CREDENTIALS, settings=ALLIANZ_SETTINGS, calls_back=False),
}


def get_platform(name: str) -> Platform:
    """Return the rules of a platform; one that has none here takes no credentials and signs nothing.

    Raises:
        AccountError: there is no such platform.
    """
    known = dict.fromkeys([*PROVIDERS, *_RULES])
    if name not in known:
        raise AccountError("provider", f"there is no {name!r}; known are: {', '.join(known)}")
    return _RULES.get(name) or Platform(name, settings=frozenset({"base_url"}))
