"""The settings and credentials of an Allianz source, with what stands where the page names nothing.

Names and defaults only; the calls are `client`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.ingest.contract import Source
from app.providers.allianz.checks import is_agent_id
from app.providers.allianz.schemas import CLOSED_BY_GAM

METHODS = ("POST", "PUT", "PATCH", "GET")
AUTHS = ("none", "basic", "header", "client-credentials")

DEFAULTS: Mapping[str, str] = {
    "client_data_path": "/client-data",
    "client_data_method": "POST",
    "alta_path": "/alta-lead",
    "alta_method": "POST",
    "update_path": "/update-lead",
    "update_method": "POST",
    "auth": "none",
    "auth_header": "Authorization",
    "token_credentials": "basic",
    "estados": str(CLOSED_BY_GAM),
    "alta_without_client_data": "off",
    "leadOrigin": "1",
}
"""Settings that have a value when unset. Paths, methods and ways to authorise are guesses: the page names none."""

FIELD_SETTINGS = (
    "motivoLlamada",
    "leadOrigin",
    "partner",
    "trafficSource",
    "campaign",
    "canal",
    "origen",
    "ramo",
    "refExt",
)
"""Settings that fill the request's field of the same name where it is not given: code lists Allianz hands out."""

SETTINGS = frozenset(
    {"base_url", "agent_id", "token_url", "token_scope", *DEFAULTS, *FIELD_SETTINGS},
)
CREDENTIALS = frozenset({"username", "password", "header_value", "client_id", "client_secret"})
"""By `auth`: basic takes user name and password, header the value, client-credentials id and secret."""


class SettingError(ValueError):
    """A setting or credential of the source is missing or wrong; the text names it, never its value."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Path and method of one of the three calls."""

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class AllianzSettings:
    """What a client needs to know of its source.

    `estados` are the states that may be reported, `field_defaults` what fills fields that are not given.
    """

    base_url: str
    client_data: Endpoint
    alta: Endpoint
    update: Endpoint
    auth: Literal["none", "basic", "header", "client-credentials"]
    auth_header: str
    token_url: str | None
    token_scope: str | None
    token_in_body: bool
    agent_id: str | None
    estados: frozenset[int]
    alta_without_client_data: bool
    field_defaults: Mapping[str, str]
    credentials: Mapping[str, str] = field(repr=False)


def read_settings(source: Source) -> AllianzSettings:
    """Return the settings of a source.

    Raises:
        SettingError: the host is missing (the page publishes none), or a value is none of those possible.
    """
    given = {**DEFAULTS, **source.settings}
    if "base_url" not in given:
        raise SettingError("base_url", "is needed; Allianz publishes no host")
    agent_id = given.get("agent_id")
    if agent_id is not None and not is_agent_id(agent_id):
        raise SettingError("agent_id", "has exactly 7 digits, leading zeros kept")
    auth = _one_of(given, "auth", AUTHS)
    if auth == "client-credentials" and "token_url" not in given:
        raise SettingError("token_url", "is needed for client-credentials")
    return AllianzSettings(
        base_url=given["base_url"],
        client_data=_endpoint(given, "client_data"),
        alta=_endpoint(given, "alta"),
        update=_endpoint(given, "update"),
        auth=auth,  # type: ignore[arg-type]  # one of AUTHS
        auth_header=given["auth_header"],
        token_url=given.get("token_url"),
        token_scope=given.get("token_scope"),
        token_in_body=_one_of(given, "token_credentials", ("basic", "body")) == "body",
        agent_id=agent_id,
        estados=_estados(given["estados"]),
        alta_without_client_data=_one_of(given, "alta_without_client_data", ("on", "off")) == "on",
        field_defaults={name: given[name] for name in FIELD_SETTINGS if given.get(name)},
        credentials={name: values[0] for name, values in source.credentials.items() if values},
    )


def _one_of(given: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    if given[name] not in values:
        raise SettingError(name, f"is one of {', '.join(values)}")
    return given[name]


def _endpoint(given: Mapping[str, str], call: str) -> Endpoint:
    path = given[f"{call}_path"]
    if not path.startswith("/"):
        raise SettingError(f"{call}_path", "begins with /")
    return Endpoint(_one_of(given, f"{call}_method", METHODS), path)


def _estados(text: str) -> frozenset[int]:
    """Return the states of a list by comma."""
    codes = [code.strip() for code in text.split(",")]
    if not all(code.isascii() and code.isdigit() for code in codes):
        raise SettingError("estados", "are whole numbers, separated by commas")
    return frozenset(map(int, codes))
