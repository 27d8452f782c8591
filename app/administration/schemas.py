"""The shapes of what administrators send and are shown; no answer but that which makes a key holds a secret."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.accounts.model import Mode, Scope
from app.query.schemas.parts import AN_ID, REDACTED, Links, Page, Shown, Walked, a_time, an_id, links, shown

_MOST_VALUES = 100
_MOST_WALLS = 1000
_URL_COMMAND = "callbox sources url thinksurance-demo"

Values = Annotated[list[str], Field(max_length=_MOST_VALUES)]
Walls = Annotated[list[str], Field(min_length=1, max_length=_MOST_WALLS)]


class Asked(BaseModel):
    """What is sent: unknown fields are refused, so that no slip goes unnoticed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, defer_build=True)


class NewSource(Asked):
    """A source to be made."""

    provider: str = shown("thinksurance")
    name: str = shown("pool-nord", "unique, lower-case letters, digits and hyphens; it cannot be changed")
    mode: Mode | None = shown("enforce", "by default `enforce` if a secret is given, else `observe`", default=None)
    recipe: dict[str, Any] | None = shown({"algorithm": "sha1"}, "how `sHash` is made, if not as usual", default=None)
    secrets: Values = shown(["a shared secret"], "what signatures are checked by", default_factory=list, repr=False)
    credentials: dict[str, str | Values] = shown(
        {"b_token": ["a broker's token"]}, "what Callbox logs in with", default_factory=dict, repr=False
    )
    settings: dict[str, str] = shown({"overdue_after": "48h"}, default_factory=dict)


class SourceChange(Asked):
    """What is to be changed of a source; what is not given stays."""

    mode: Mode | None = shown("observe", default=None)
    recipe: dict[str, Any] | None = shown({}, "`{}` is the platform's usual one again", default=None)
    credentials: dict[str, str | Values | None] = shown(
        {"hash": None}, "replaced by name; null removes", default_factory=dict, repr=False
    )
    settings: dict[str, str | None] = shown({"overdue_after": None}, "null removes", default_factory=dict)
    enabled: bool | None = shown(example=False, about="false: its URLs answer 404", default=None)


class NewToken(Asked):
    """A token to be made."""

    label: str | None = shown("since-2026", "what to call it; deliveries are shown with it", default=None)


class NewSecret(Asked):
    """A shared secret to be added."""

    secret: str = shown("a shared secret", repr=False)
    label: str | None = shown("since-2026", "what to call it", default=None)


class NewKey(Asked):
    """An API key to be made: at most what the key that asks may do itself."""

    name: str = shown("dashboard", "who will use it")
    scopes: list[Scope] = shown(["read"], min_length=1, max_length=len(Scope))
    sources: Walls | None = shown(
        ["thinksurance-demo"], "show only these; null: all that the asking key sees", default=None
    )
    brokers: Walls | None = shown(["B-1001"], "show only these `bExternalId`; null: no such wall", default=None)
    expires: str | None = shown("90d", "a time span, a date or an instant; null: never", default=None)


class TokenShown(Shown):
    """A token of a source, without its secret."""

    id: str = an_id()
    label: str = shown("token-1")
    created_at: str = a_time()
    revoked_at: str | None = a_time("null: it is good")
    last_used_at: str | None = a_time("null: never")


class TokenMade(TokenShown):
    """A token that was just made; the URL with it is a credential, which no answer holds."""

    url_command: str = shown(_URL_COMMAND, "the command that shows the callback URLs")


class SecretShown(Shown):
    """A shared secret of a source, without its value."""

    id: str = an_id()
    label: str = shown("secret-1")
    created_at: str = a_time()
    revoked_at: str | None = a_time("null: signatures are checked by it")


class CredentialShown(Shown):
    """A credential of a source, without its values."""

    name: str = shown("b_token")
    values: int = shown(2, "how many values it has")
    changed_at: str = a_time()


class Accepted(Shown):
    """What the platform's sources may have."""

    credentials: list[str] = shown(["a_token", "b_token", "hash", "secret"])
    settings: list[str] = shown(["base_url", "overdue_after", "test_source"])


class Configuration(Shown):
    """How a source is set up, without any secret."""

    id: str = an_id()
    name: str = shown("thinksurance-demo")
    provider: str = shown("thinksurance")
    mode: Literal["enforce", "observe", "off"] = shown("enforce")
    enabled: bool = shown(example=True)
    recipe: dict[str, Any] = shown({}, "empty: the platform's usual one")
    recipe_proven_at: str | None = a_time("null: no item has matched it yet")
    settings: dict[str, str] = shown({"overdue_after": "48h"})
    created_at: str = a_time()
    updated_at: str = a_time()
    disabled_at: str | None = a_time("null: it is enabled")
    tokens: list[TokenShown]
    secrets: list[SecretShown]
    credentials: list[CredentialShown]
    accepts: Accepted
    url_command: str | None = shown(
        _URL_COMMAND, "the command that shows its callback URLs; null: it is not called back"
    )
    links: Links = links(
        self="/v1/sources/thinksurance-demo/configuration",
        source="/v1/sources/thinksurance-demo",
        tokens="/v1/sources/thinksurance-demo/tokens",
        secrets="/v1/sources/thinksurance-demo/secrets",
    )


class TokenPage(Walked):
    """All tokens of a source."""

    data: list[TokenShown]


class SecretPage(Walked):
    """All shared secrets of a source."""

    data: list[SecretShown]


class KeyShown(Shown):
    """An API key, without the key itself."""

    id: str = an_id()
    name: str = shown("dashboard")
    scopes: list[str] = shown(["read"])
    sources: list[str] | None = shown(["thinksurance-demo"], "the wall by source; null: none")
    brokers: list[str] | None = shown(None, "the wall by `bExternalId`; null: none")
    created_at: str = a_time()
    expires_at: str | None = a_time("null: never")
    revoked_at: str | None = a_time("null: it is good")
    links: Links = links(self=f"/v1/keys/{AN_ID}", audit=f"/v1/audit?actor=key:{AN_ID}")
    redacted: list[str] = REDACTED


class KeyMade(KeyShown):
    """An API key that was just made."""

    key: str | None = shown(
        "cbx_EXAMPLE-of-an-API-key-shown-only-this-one-time", "shown this once; null where the request is a repeat"
    )


class KeyPage(Page):
    """A page of keys."""

    data: list[KeyShown]


class Entry(Shown):
    """Something that somebody did."""

    id: str = an_id()
    at: str = a_time("when it was written, before it was answered")
    actor: str = shown(f"key:{AN_ID}", "`key:<id>`, or `cli` for the command line")
    action: str = shown("personal.read", "a noun and a verb, such as `source.add`, `export.begin`, `delivery.replay`")
    source: str | None = shown(None, "the name of the source that it was done to")
    detail: dict[str, Any] = shown({"resource": "inquiries", "count": 1, "ids": [AN_ID]}, "names and ids, never values")
    links: Links = links(self=f"/v1/audit/{AN_ID}", key=f"/v1/keys/{AN_ID}")
    redacted: list[str] = REDACTED


class EntryPage(Page):
    """A page of the audit log, newest first."""

    data: list[Entry]
