"""Says what a source at each platform may have: its settings, its credentials, whether it signs and calls back.

What it is used for stands in the platform's own folder.
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.accounts.settings import parse_api, parse_days, parse_every, parse_period, parse_switch
from app.accounts.writing import AccountError, Platform
from app.ingest import sender_checks
from app.providers import PROVIDERS
from app.providers.allianz.settings import CREDENTIALS as ALLIANZ_CREDENTIALS
from app.providers.allianz.settings import SETTINGS as ALLIANZ_SETTINGS


def _check_thinksurance_recipe(recipe: Mapping[str, Any]) -> object:
    from app.providers.thinksurance.recipes import check_recipe  # noqa: PLC0415 - only where a recipe is given

    return check_recipe(recipe)


def _keyed_by(recipe: Mapping[str, Any]) -> str:
    """Tell whether a recipe needs no secret of the source, but the credential `hash`."""
    from app.providers.thinksurance.recipes import check_recipe  # noqa: PLC0415 - only where signatures are enforced

    found = check_recipe(recipe)
    return "hash" if found.needs("hash") and not found.needs("secret") else "secret"


def _check_hosts(text: str) -> object:
    from app.providers.links import parse_origins  # noqa: PLC0415 - only where hosts are given

    return parse_origins(text)


_CHECKS = {"overdue_after": parse_period, "own_tokens": parse_switch, **sender_checks.SETTING_CHECKS}
_PULLING: Mapping[str, Callable[[str], object]] = {
    "api": parse_api,
    "pull_every": parse_every,
    "pull_days": parse_days,
}

_RULES = {
    "thinksurance": Platform(
        "thinksurance",
        single=frozenset({"hash", "secret"}),
        several=frozenset({"b_token", "a_token"}) | sender_checks.CREDENTIALS,
        settings=frozenset({"base_url", "document_hosts", "overdue_after", "test_source", "v1_base_url"})
        | _PULLING.keys()
        | {"v2_base_url"}
        | sender_checks.SETTINGS,
        check_recipe=_check_thinksurance_recipe,
        keyed_by=_keyed_by,
        checks={**_CHECKS, **_PULLING, "document_hosts": _check_hosts},
        needs=sender_checks.NEEDS,
    ),
    "wegroup": Platform(
        "wegroup",
        single=frozenset({"api_token"}),
        several=sender_checks.CREDENTIALS,
        settings=frozenset({"base_url", "distribution_id", "external_ref_company", "overdue_after", "own_tokens"})
        | sender_checks.SETTINGS,
        checks=_CHECKS,
        needs=sender_checks.NEEDS,
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
