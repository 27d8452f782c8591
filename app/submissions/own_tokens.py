"""Makes the callback tokens that serve one submission each, so that what comes by them needs to name nothing.

Such a token has the id of its submission. Who matches by it is `app.processing.matching`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.audit import record_async
from app.accounts.model import Source
from app.accounts.parts import OWN_LABEL
from app.accounts.version import bump_version_async
from app.crypto import Vault, new_callback_token, sha256
from app.storage.models import source_tokens, submission_keys

_SHORT = 12


@dataclass(frozen=True, slots=True)
class OwnToken:
    """The token of a submission; `is_new` until its row is written."""

    id: UUID
    token: str = field(repr=False)
    is_new: bool = True


def new_own_token(submission_id: UUID) -> OwnToken:
    """Return a token for a submission that is about to be made."""
    return OwnToken(submission_id, new_callback_token())


async def find_own_token(
    connection: AsyncConnection, vault: Vault, source_id: UUID, keys: Sequence[str]
) -> OwnToken | None:
    """Return the newest live token of an earlier submission about the same, by the references that both have.

    The platform may keep the URL of every push beside the earlier ones, and would then call each of them.
    """
    token, known = source_tokens.c, submission_keys.c
    found = await connection.execute(
        select(token.id, token.token_encrypted)
        .join(submission_keys, known.submission_id == token.id)
        .where(known.source_id == source_id, known.key.in_(keys))
        .where(token.source_id == source_id, token.revoked_at.is_(None))
        .where(token.token_encrypted != b"")  # given up with a lost key, see `app.accounts.rekeying`
        .order_by(token.id.desc())
        .limit(1)
    )
    row = found.one_or_none()
    return None if row is None else OwnToken(row[0], vault.decrypt(bytes(row[1]), "token"), is_new=False)


async def insert_own_token(
    connection: AsyncConnection, vault: Vault, own: OwnToken, source: Source, actor: str
) -> None:
    """Write a new token in the caller's transaction, so that receivers know it before the platform does."""
    label = f"{OWN_LABEL}{own.id.hex[-_SHORT:]}"
    sealed = vault.encrypt(own.token, "token")
    await connection.execute(
        insert(source_tokens).values(
            id=own.id, source_id=source.id, label=label, token_sha256=sha256(own.token), token_encrypted=sealed
        )
    )
    note = {"source": source.name, "token_id": str(own.id), "label": label, "submission_id": str(own.id)}
    await record_async(connection, actor, "source.token.add", note)
    await bump_version_async(connection)
