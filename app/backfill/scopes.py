"""Says by which tokens a source is asked: one search for each broker, or for the accounts where no broker is known.

How the answers are kept stands in `storing`.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from app.accounts.model import Source
from app.accounts.settings import parse_api
from app.crypto import Vault, WrongKeyError
from app.jobs.bench import Bench, Database
from app.providers.calling import RefusedError
from app.providers.thinksurance.calls import ThinksuranceClient, client_for
from app.providers.thinksurance.calls.answers import Pulled
from app.submissions.settings import read_setting

EVERY: Final = "1h"
V1: Final = "v1"

_SCOPES: Final = """
SELECT c.id, c.source_id, c.name, c.value_encrypted FROM source_credentials c
WHERE c.name = CASE WHEN EXISTS (
    SELECT FROM source_credentials b WHERE b.source_id = c.source_id AND b.name = 'b_token'
) THEN 'b_token' ELSE 'a_token' END
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """A token of a broker or an account; its id is that of the credential."""

    id: UUID
    source_id: UUID
    is_broker: bool
    token: str = field(repr=False)


class _Tokens(NamedTuple):
    broker: str | None
    account: str | None


def scopes_of(database: Database, vault: Vault, source_id: UUID) -> list[Scope]:
    """Return the tokens by which a source is searched."""
    rows = database.execute(_SCOPES + " AND c.source_id = %s ORDER BY c.created_at, c.id", (source_id,)).fetchall()
    return [_to_scope(vault, *row) for row in rows]


def find_scope(database: Database, vault: Vault, scope_id: UUID) -> Scope | None:
    """Return a token; None where it was replaced since, or the key does not open it."""
    row = database.execute(_SCOPES + " AND c.id = %s", (scope_id,)).fetchone()
    try:
        return None if row is None else _to_scope(vault, *row)
    except WrongKeyError:
        return None


def _to_scope(vault: Vault, scope_id: UUID, source_id: UUID, name: str, sealed: bytes) -> Scope:
    return Scope(scope_id, source_id, name == "b_token", vault.decrypt(sealed, "credential"))


async def search(bench: Bench, source: Source, scope: Scope, last_days: int) -> Pulled:
    """Return what the platform has of the last days for one token.

    Raises:
        SourceNotReady: a credential or a setting is missing or wrong.
        CallError: the platform did not answer, or not with this.
    """
    client = bench.clients.get(source, client_for)
    broker, account = _tokens(scope)
    call = client.v1.pull_inquiries if _uses_v1(source) else client.pull_inquiries
    async with bench.turns.take(source.id):
        return await call(last_days=last_days, broker_token=broker, account_token=account)


async def pull_one(bench: Bench, source: Source, inquiry_id: int, known_token: str | None = None) -> Pulled:
    """Return one inquiry, asked for by the broker that it is known to be of, else by each token until one has it.

    Raises:
        SourceNotReady: a credential or a setting is missing or wrong.
        CallError: the last answer that was none.
    """
    client = bench.clients.get(source, client_for)
    scopes = await bench.ask(scopes_of, bench.vault, source.id)
    ways = [_tokens(scope) for scope in scopes]
    if known_token is not None:
        ways = [_Tokens(known_token, None), *(one for one in ways if one.broker != known_token)]
    pulled, refused = None, None
    for tokens in ways:
        async with bench.turns.take(source.id):
            try:
                pulled = await _pull(client, source, inquiry_id, tokens)
            except RefusedError as error:
                refused = error
                continue
        if pulled.count:
            return pulled
    if pulled is None:
        raise refused or RefusedError("thinksurance.inquiry", "the source has no token to ask by")
    return pulled


async def _pull(client: ThinksuranceClient, source: Source, inquiry_id: int, tokens: _Tokens) -> Pulled:
    """Ask V1.1; what it refuses is asked of V1, at whose address the links of notifications point (V2 Notification)."""
    broker, account = tokens
    if _uses_v1(source):
        return await client.v1.pull_inquiry(inquiry_id, broker_token=broker, account_token=account)
    try:
        return await client.pull_inquiry(inquiry_id, broker_token=broker, account_token=account)
    except RefusedError as error:
        try:
            return await client.v1.pull_inquiry(inquiry_id, broker_token=broker, account_token=account)
        except RefusedError:
            raise error from None


def _tokens(scope: Scope) -> _Tokens:
    return _Tokens(scope.token, None) if scope.is_broker else _Tokens(None, scope.token)


def _uses_v1(source: Source) -> bool:
    return read_setting(source, "api", parse_api) == V1
