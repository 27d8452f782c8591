"""Writes sources: what they are called, how they check signatures, and what they log in with.

Their tokens and secrets stand in `parts`, API keys in `keys`; running processes read all of it through `snapshot`.
What a platform allows is given by the caller, so that this room knows no platform.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from app.accounts import audit
from app.accounts.model import Mode
from app.accounts.parts import OWN_LABEL, AddedToken, add_secret_row, add_token_row, live_secrets
from app.accounts.writing import NAME, AccountError, Connection, Platform, change, check_value
from app.config import Settings
from app.crypto import Vault
from app.ids import IdSource

_ids = IdSource()


@dataclass(frozen=True, slots=True)
class AddedSource:
    """A source that was just made, and the first token of its callback URL."""

    id: UUID
    name: str
    provider: str
    mode: Mode
    token: AddedToken


def callback_url(settings: Settings, provider: str, token: str) -> str:
    """Return the URL that a platform is told to call. It is a credential."""
    return f"{settings.base_url}/callbacks/{provider}/{token}"


def add_source(
    connection: Connection,
    vault: Vault,
    platform: Platform,
    name: str,
    *,
    secrets: Sequence[str] = (),
    mode: Mode | None = None,
    recipe: Mapping[str, Any] | None = None,
    credentials: Sequence[tuple[str, str]] = (),
    settings: Sequence[tuple[str, str]] = (),
    actor: str = audit.CLI,
) -> AddedSource:
    """Make a source with one token; `mode` is by default `enforce` if a secret is given, else `observe`.

    Raises:
        AccountError: the name is taken or malformed, or the platform does not allow one of the values.
    """
    if not NAME.fullmatch(name):
        raise AccountError(
            "name", "must be 1 to 63 lower-case letters, digits and hyphens, and not begin with a hyphen"
        )
    mode = mode or (Mode.ENFORCE if secrets else Mode.OBSERVE)
    _check_signing(platform, secrets=len(secrets), recipe=recipe)
    if len(set(secrets)) < len(secrets):
        raise AccountError("secret", "is given twice")
    source_id = _ids.next()
    try:
        with change(connection):
            connection.execute(
                "INSERT INTO sources (id, name, provider, mode, recipe) VALUES (%s, %s, %s, %s, %s)",
                (source_id, name, platform.name, mode.value, Jsonb(dict(recipe or {}))),
            )
            token = add_token_row(connection, vault, source_id)
            for secret in secrets:
                add_secret_row(connection, vault, source_id, secret)
            _put_credentials(connection, vault, platform, source_id, credentials)
            _put_settings(connection, platform, source_id, settings)
            _check_needs(connection, platform, source_id)
            _check_enforced(connection, platform, source_id)
            detail = {"source": name, "provider": platform.name, "mode": mode.value, "token_id": str(token.id)}
            audit.record(connection, actor, "source.add", detail)
    except UniqueViolation:
        raise AccountError("name", f"there is a source {name!r} already") from None
    return AddedSource(source_id, name, platform.name, mode, token)


def set_source(
    connection: Connection,
    vault: Vault,
    platform: Platform,
    name: str,
    *,
    mode: Mode | None = None,
    recipe: Mapping[str, Any] | None = None,
    credentials: Sequence[tuple[str, str]] = (),
    settings: Sequence[tuple[str, str]] = (),
    actor: str = audit.CLI,
) -> None:
    """Change what is given and leave the rest.

    The values given for a credential replace all earlier ones of that name; an empty value removes credential or
    setting. Another recipe must be proven anew; an empty one is the platform's default.

    Raises:
        AccountError: there is no such source, or the platform does not allow one of the values.
    """
    with change(connection):
        source = get_source_row(connection, name, lock=True)
        _check_signing(platform, secrets=len(live_secrets(connection, source["id"])), recipe=recipe)
        if mode is not None:
            connection.execute("UPDATE sources SET mode = %s WHERE id = %s", (mode.value, source["id"]))
        if recipe is not None and dict(recipe) != source["recipe"]:
            connection.execute(
                "UPDATE sources SET recipe = %s, recipe_proven_at = NULL WHERE id = %s",
                (Jsonb(dict(recipe)), source["id"]),
            )
        _put_credentials(connection, vault, platform, source["id"], credentials)
        _put_settings(connection, platform, source["id"], settings)
        _check_needs(connection, platform, source["id"])
        if mode is not None or recipe is not None or credentials:
            _check_enforced(connection, platform, source["id"])
        connection.execute("UPDATE sources SET updated_at = clock_timestamp() WHERE id = %s", (source["id"],))
        detail: dict[str, Any] = {"source": name, "credentials": sorted({key for key, _ in credentials})}
        detail |= {"mode": mode and mode.value, "recipe": recipe and dict(recipe), "settings": dict(settings)}
        audit.record(connection, actor, "source.set", {key: value for key, value in detail.items() if value})


def disable_source(connection: Connection, name: str, *, actor: str = audit.CLI) -> None:
    """Make the source's URLs answer 404 until it is enabled; what it has received stays readable.

    Raises:
        AccountError: there is no such source.
    """
    _switch(connection, name, "source.disable", "coalesce(disabled_at, clock_timestamp())", actor)


def enable_source(connection: Connection, name: str, *, actor: str = audit.CLI) -> None:
    """Undo `disable_source`.

    Raises:
        AccountError: there is no such source.
    """
    _switch(connection, name, "source.enable", "NULL", actor)


def _switch(connection: Connection, name: str, action: str, disabled_at: str, actor: str) -> None:
    with change(connection):
        source = get_source_row(connection, name, lock=True)
        connection.execute(
            f"UPDATE sources SET disabled_at = {disabled_at}, updated_at = clock_timestamp() WHERE id = %s",  # noqa: S608 - two literals of ours
            (source["id"],),
        )
        audit.record(connection, actor, action, {"source": name})


def get_source_row(connection: Connection, name: str, *, lock: bool = False) -> dict[str, Any]:
    """Return the row of a source, held until the end of the transaction if `lock`.

    Raises:
        AccountError: there is no such source.
    """
    question = "SELECT * FROM sources WHERE name = %s"
    if lock:
        question += " FOR UPDATE"
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(question, (name,)).fetchone()
    if row is None:
        raise AccountError("name", f"there is no source {name!r}")
    return row


def list_sources(connection: Connection) -> list[dict[str, Any]]:
    """Return all sources by name, with how many live tokens and secrets each has, and when it was last called."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            SELECT id, name, provider, mode, recipe_proven_at, created_at, disabled_at,
                   (SELECT count(*) FROM source_tokens t WHERE t.source_id = s.id AND revoked_at IS NULL) AS tokens,
                   (SELECT count(*) FROM source_secrets c WHERE c.source_id = s.id AND revoked_at IS NULL) AS secrets,
                   (SELECT max(last_used_at) FROM source_tokens t WHERE t.source_id = s.id) AS last_used_at
            FROM sources s ORDER BY name
            """
        ).fetchall()


def show_source(connection: Connection, name: str) -> dict[str, Any]:
    """Return all that may be shown of a source; credentials only by name and number, submissions' tokens by number.

    Raises:
        AccountError: there is no such source.
    """
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        source = get_source_row(connection, name)
        for part, question in _PARTS.items():
            source[part] = cursor.execute(question, {"id": source["id"], "own": OWN_LABEL}).fetchall()
        counted = cursor.execute(_OWN_TOKENS, (source["id"], OWN_LABEL)).fetchone()
        source["submission_tokens"] = counted["count"] if counted else 0
    return source


_PARTS = {
    "tokens": "SELECT id, label, created_at, revoked_at, last_used_at FROM source_tokens"
    " WHERE source_id = %(id)s AND NOT starts_with(label, %(own)s) ORDER BY id",
    "secrets": "SELECT id, label, created_at, revoked_at FROM source_secrets WHERE source_id = %(id)s ORDER BY id",
    "credentials": "SELECT name, count(*) AS values, max(created_at) AS changed_at FROM source_credentials"
    " WHERE source_id = %(id)s GROUP BY name ORDER BY name",
}
_OWN_TOKENS = (
    "SELECT count(*) FROM source_tokens WHERE source_id = %s AND revoked_at IS NULL AND starts_with(label, %s)"
)


def _check_signing(platform: Platform, *, secrets: int, recipe: Mapping[str, Any] | None) -> None:
    """Raise AccountError where secrets or recipe do not fit the platform."""
    if platform.check_recipe is None:
        if secrets:
            raise AccountError("secret", f"{platform.name} signs nothing, a secret has no use")
        if recipe:
            raise AccountError("recipe", f"{platform.name} signs nothing, a recipe has no use")
    elif recipe:
        try:
            platform.check_recipe(recipe)
        except ValueError as error:
            field, _, reason = str(error).partition(": ")
            raise AccountError(field, reason) from None


def _check_enforced(connection: Connection, platform: Platform, source_id: UUID) -> None:
    """Raise AccountError where signatures are enforced, but there is nothing to check them by."""
    names = "ARRAY(SELECT c.name FROM source_credentials c WHERE c.source_id = s.id)"
    row = connection.execute(f"SELECT mode, recipe, {names} FROM sources s WHERE s.id = %s", (source_id,)).fetchone()  # noqa: S608 - ours
    if row is None or row[0] != Mode.ENFORCE.value or live_secrets(connection, source_id):
        return
    needed = platform.keyed_by(row[1])
    if needed == "secret":
        raise AccountError("mode", "`enforce` needs a secret to check by; add one first, or use `observe`")
    if needed not in row[2]:
        raise AccountError("mode", f"`enforce` needs the credential {needed} for this recipe; add it, or use `observe`")


def _put_credentials(
    connection: Connection, vault: Vault, platform: Platform, source_id: UUID, pairs: Sequence[tuple[str, str]]
) -> None:
    """Replace the credentials of the names given."""
    for name in dict.fromkeys(name for name, _ in pairs):
        _check_known("credential", name, platform.credentials, platform)
        values = [value for key, value in pairs if key == name and value]
        if name in platform.single and len(values) > 1:
            raise AccountError("credential", f"{name} has one value only")
        connection.execute("DELETE FROM source_credentials WHERE source_id = %s AND name = %s", (source_id, name))
        for value in dict.fromkeys(values):
            sealed = vault.encrypt(check_value("credential", value), "credential")
            connection.execute(
                "INSERT INTO source_credentials (id, source_id, name, value_encrypted) VALUES (%s, %s, %s, %s)",
                (_ids.next(), source_id, name, sealed),
            )


def _put_settings(
    connection: Connection, platform: Platform, source_id: UUID, pairs: Sequence[tuple[str, str]]
) -> None:
    """Set the settings given; an empty value removes one."""
    for name, value in pairs:
        _check_known("setting", name, platform.settings, platform)
        if name.endswith("_url") and value and not value.startswith(("http://", "https://")):
            raise AccountError("setting", f"{name} begins with neither http:// nor https://")
        if value and (check := platform.checks.get(name)) is not None:
            try:
                check(value)
            except ValueError as error:
                raise AccountError("setting", f"{name} {error}") from None
        connection.execute("UPDATE sources SET settings = settings - %s WHERE id = %s", (name, source_id))
        if value:
            given = Jsonb({name: check_value("setting", value)})
            connection.execute("UPDATE sources SET settings = settings || %s WHERE id = %s", (given, source_id))


def _check_needs(connection: Connection, platform: Platform, source_id: UUID) -> None:
    """Raise AccountError where a setting or credential is there without the other that it needs."""
    row = connection.execute(
        "SELECT ARRAY(SELECT jsonb_object_keys(settings)) || ARRAY(SELECT c.name FROM source_credentials c"
        " WHERE c.source_id = s.id) FROM sources s WHERE s.id = %s",
        (source_id,),
    ).fetchone()
    present = set(row[0]) if row else set()
    for name, other in platform.needs.items():
        if name in present and other not in present:
            kind = "setting" if other in platform.settings else "credential"
            raise AccountError(name, f"is of no use without the {kind} {other}; give both or neither")


def _check_known(field: str, name: str, known: Iterable[str], platform: Platform) -> None:
    if name not in known:
        raise AccountError(field, f"{platform.name} has no {name!r}; known are: {', '.join(sorted(known))}")
