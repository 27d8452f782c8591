"""Makes calls: written down before they are made, made once, and what came of them written down after.

What a call consists of is told by its kind, see `kinds`; the rows are written in `rows`.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.accounts.model import Access, Source
from app.crypto import Vault
from app.ids import IdSource
from app.ingest.contract import Warned
from app.problems import NotFound
from app.processing.call_keys import token_key
from app.providers.calling import ANSWER_SECONDS, CallError
from app.providers.checking import FieldProblem, InvalidRequestError
from app.query.access import Forbidden
from app.query.details import get_row
from app.query.leads import LEADS
from app.query.reading import DatabaseAway, TooSlow, translated_errors
from app.query.resource import Row
from app.storage.engine import in_transactions
from app.submissions import rows
from app.submissions.bodies import unusable
from app.submissions.calls import Given, Kind, Outcome, Prepared, masked, outcome_of, without_secrets
from app.submissions.catalogs import Catalogs
from app.submissions.clients import Clients
from app.submissions.listing import SUBMISSIONS
from app.submissions.own_tokens import OwnToken, find_own_token, insert_own_token, new_own_token
from app.submissions.problems import AnswerNotKept, IdempotencyKeyReused, SourceNotReady
from app.submissions.settings import find_test_source, has_own_tokens, overdue_after
from app.submissions.turns import Turns
from app.times import now

_STORE_WAITS_S = (0.2, 1.0, 3.0)
_LAST_WAIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Order:
    """A call that somebody wants: to which account, of which kind, with which body, and who asks.

    `access_token` is the caller's own at the platform; it is used for this call and not kept.
    """

    source: Source
    kind: Kind
    body: Mapping[str, Any] = field(repr=False)
    access: Access
    actor: str
    idempotency_key: str | None = None
    access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made: its row, what is told once, what to warn of; `is_repeat` if it had been made before."""

    row: Row
    once: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: Sequence[Warned] = ()
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class _Ready:
    """A call, checked, the ids of the tokens whose URLs are in it, and that which is for it alone."""

    prepared: Prepared
    token_ids: Sequence[str]
    own: OwnToken | None = None


class Sender:
    """Makes the calls of one process; for one event loop. `aclose` ends its connections to platforms.

    `primary` takes the rows, `vault` opens the tokens of our callback URLs, which begin with `base_url`.
    """

    def __init__(
        self,
        primary: AsyncEngine,
        vault: Vault,
        base_url: str,
        ids: IdSource | None = None,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.clients = Clients(answer_seconds)
        self._primary = in_transactions(primary)
        self.catalogs = Catalogs(self.clients, self._primary)
        self._vault = vault
        self._base_url = base_url
        self._ids = ids or IdSource()
        self._under_way: set[asyncio.Task[Made]] = set()
        self._turns = Turns(primary)

    async def aclose(self) -> None:
        """Wait a little for the calls under way, so that they are written down, and close the connections."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_LAST_WAIT_S)
        await self.clients.aclose()

    async def submit(self, order: Order, sources: Mapping[UUID, Source]) -> Made:
        """Make a call, or say what came of it if it was made before under the same key.

        Raises:
            Invalid: the body is wrong; every field is named.
            Forbidden: the broker that the call is for is not within the key's wall.
            IdempotencyKeyReused, AnswerNotKept, SourceNotReady, CallUnderWay: as they say.
            DatabaseAway, TooSlow: nothing was sent, or (DatabaseAway after sending) the call is `sending` until swept.
        """
        digest = _digest(order)
        if (made := await self._made_before(order, digest)) is not None:
            return made
        submission_id = self._ids.next()
        ready = await self._prepare(order, submission_id, sources)
        async with AsyncExitStack() as turn:
            if ready.prepared.turn is not None:
                await turn.enter_async_context(self._turns.taken(order.source.id, ready.prepared.turn))
                submission_id = self._ids.next()  # later than those of the calls before it
                ready = await self._prepare(order, submission_id, sources)  # tokens may have changed meanwhile
            entry = _entry(order, submission_id, ready.prepared, digest)
            if not await self._write(order, entry, ready) and (made := await self._made_before(order, digest)):
                return made
            # A task of its own: it goes on to its end, whatever becomes of the caller.
            finishing = asyncio.create_task(self._finish(order, entry, ready.prepared, turn.pop_all()))
            self._under_way.add(finishing)
            finishing.add_done_callback(self._under_way.discard)
        return await asyncio.shield(finishing)

    async def _write(self, order: Order, entry: rows.Entry, ready: _Ready) -> bool:
        """Write down a call that is about to be made; False if its idempotency key is taken."""
        note = {"submission_id": str(entry.id), "source": order.source.name, "kind": order.kind.path}
        with translated_errors():
            async with self._primary.begin() as connection:
                is_new = await rows.insert_entry(connection, entry, order.actor, note | {"token_ids": ready.token_ids})
                if is_new and ready.own is not None and ready.own.is_new:
                    await insert_own_token(connection, self._vault, ready.own, order.source, order.actor)
        return is_new

    async def _finish(self, order: Order, entry: rows.Entry, prepared: Prepared, turn: AsyncExitStack) -> Made:
        async with turn:
            try:
                outcome = await prepared.call()
            except CallError as error:
                outcome = outcome_of(error)
            outcome = without_secrets(outcome, order.source)
            for wait in (*_STORE_WAITS_S, None):
                try:
                    with translated_errors():
                        async with self._primary.begin() as connection:
                            await rows.store_outcome(connection, entry, outcome)
                    return Made(await self._row(entry.id), outcome.once, prepared.warnings)
                except (DatabaseAway, TooSlow):
                    if wait is None:
                        raise _not_stored(entry, outcome) from None
                    await asyncio.sleep(wait)
            raise AssertionError  # pragma: no cover - the last turn returns or raises

    async def _made_before(self, order: Order, digest: bytes) -> Made | None:
        if order.idempotency_key is None:
            return None
        with translated_errors():
            async with self._primary.connect() as connection:
                found = await rows.find_by_key(connection, order.source.id, order.idempotency_key, order.access)
        if found is None:
            return None
        submission_id, known_digest = found
        if known_digest != digest:
            raise IdempotencyKeyReused
        row = await self._row(submission_id, order.access)
        if rows.was_told_once(row):
            links = {"self": f"/v1/submissions/{submission_id}"}
            raise AnswerNotKept(submission_id=str(submission_id), links=links)
        return Made(row, is_repeat=True)

    async def _row(self, submission_id: UUID, access: Access | None = None) -> Row:
        with translated_errors():
            async with self._primary.connect() as connection:
                row = await rows.find_row(connection, submission_id, access)
        if row is None:
            raise NotFound("There is no such submission.")
        return row

    async def _prepare(self, order: Order, submission_id: UUID, sources: Mapping[UUID, Source]) -> _Ready:
        """Return the call, checked; nothing is written yet."""
        urls: list[tuple[str, str] | None] = [None, None]
        own_token = order.kind.awaits_callback and has_own_tokens(order.source)
        with translated_errors():
            async with self._primary.connect() as connection:
                body, lead = await self._with_lead(order, connection)
                await rows.check_enabled(connection, order.source)
                if order.kind.awaits_callback and not own_token:
                    for place, source in enumerate((order.source, find_test_source(order.source, sources))):
                        if source is not None:
                            urls[place] = await self._callback_url(source, connection)
        url, test_url = ((None if found is None else found[1]) for found in urls)
        given = Given(submission_id, order.source, body, url, test_url, order.access_token, lead)
        try:
            if own_token:
                ready = await self._prepare_with_own_token(order, given)
            else:
                token_ids = [found[0] for found in urls if found is not None]
                ready = _Ready(order.kind.prepare(given, self.clients), token_ids)
        except InvalidRequestError as error:
            raise unusable(error.problems) from None
        _check_wall(order.access, ready.prepared)
        return ready

    async def _prepare_with_own_token(self, order: Order, given: Given) -> _Ready:
        """Return a call with a callback URL of its own, or with that of an earlier push of the same."""
        own = new_own_token(given.submission_id)
        prepared = order.kind.prepare(replace(given, callback_url=self._url(order.source, own.token)), self.clients)
        with translated_errors():
            async with self._primary.connect() as connection:
                earlier = await find_own_token(connection, self._vault, order.source.id, prepared.keys)
        if earlier is not None:
            own = earlier
            prepared = order.kind.prepare(replace(given, callback_url=self._url(order.source, own.token)), self.clients)
        keys = [*prepared.keys, token_key(own.id)]
        return _Ready(replace(prepared, keys=keys), [str(own.id)], own)

    async def _callback_url(self, source: Source, connection: AsyncConnection) -> tuple[str, str]:
        """Return id and URL of the source's newest live token. The URL is a credential."""
        await rows.check_enabled(connection, source)
        found = await rows.newest_token(connection, source.id)
        if found is None:
            raise SourceNotReady(f"The source {source.name} has no live token to be called back by.")
        token_id, sealed = found
        return str(token_id), self._url(source, self._vault.decrypt(sealed, "token"))

    def _url(self, source: Source, token: str) -> str:
        return f"{self._base_url}/callbacks/{source.provider}/{token}"

    async def _with_lead(
        self, order: Order, connection: AsyncConnection
    ) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        """Return the body without the stored lead that it names, and what the key may see of that."""
        if not order.kind.takes_lead or order.body.get("lead") is None:
            return {name: value for name, value in order.body.items() if name != "lead" or value is not None}, None
        body = {name: value for name, value in order.body.items() if name != "lead"}
        try:
            lead = await get_row(connection, LEADS, UUID(str(order.body["lead"])), order.access)
        except (ValueError, NotFound):
            raise unusable(
                [FieldProblem(("lead",), "not-found", "is the id of no lead that the key may see")]
            ) from None
        return body, dict(lead)


def shown(made: Made, access: Access) -> dict[str, Any]:
    """Return a submission right after its call, as the key may see it, with what is told once."""
    warnings = [{"field": one.field, "reason": one.reason} for one in made.warnings]
    once = {"redirect_url": None, "broker_token": None} | dict(made.once)
    return SUBMISSIONS.shape(made.row, access, None) | once | {"warnings": warnings}


def _not_stored(entry: rows.Entry, outcome: Outcome) -> DatabaseAway:
    """Return the problem that a call was made and cannot be written down: whoever asked is the last to know of it."""
    detail = "The call was made, but what came of it could not be written down; it stays `sending` and is then unknown."
    told: dict[str, Any] = {"submission_id": str(entry.id), "state": outcome.state, **outcome.once}
    return DatabaseAway(detail, **told, platform_ids=dict(outcome.platform_ids))


def _check_wall(access: Access, prepared: Prepared) -> None:
    if access.brokers is not None and prepared.broker not in access.brokers:
        raise Forbidden("The key is for certain brokers, and this call is for none of them.")


def _entry(order: Order, submission_id: UUID, prepared: Prepared, digest: bytes) -> rows.Entry:
    """Return what is written of a call that is about to be made."""
    sent_at = now()
    due_after = overdue_after(order.source) if order.kind.awaits_callback else None
    return rows.Entry(
        id=submission_id,
        source_id=order.source.id,
        kind=order.kind.name,
        request=masked(dict(prepared.request)),
        request_sha256=digest,
        idempotency_key=order.idempotency_key,
        external_reference=prepared.external_reference,
        broker=prepared.broker,
        sent_at=sent_at,
        due_at=None if due_after is None else sent_at + due_after,
        keys=tuple(prepared.keys),
    )


def _digest(order: Order) -> bytes:
    """Return by what a repeat is told from another request under the same key."""
    return hashlib.sha256(orjson.dumps([order.kind.path, order.body], option=orjson.OPT_SORT_KEYS)).digest()
