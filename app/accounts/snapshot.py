"""Holds the sources, tokens and keys of a running process, and keeps them as fresh as its promises say.

What a snapshot is made of stands in `reading`, who changes the tables is `store`'s and `keys`' business. The
copy on disk, for a start while the database is away, is written and read in `kept`.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from app.accounts.kept import FILE_NAME, find_answers, keep_answers
from app.accounts.model import Accounts
from app.accounts.reading import ONE_MOMENT, QUESTIONS, VAULT_QUESTION, Rows, check_vault, to_accounts
from app.accounts.version import VERSION_QUESTION
from app.crypto import Vault, WrongKeyError
from app.times import now

INTERVAL_S = 0.5
FULL_READ_S = 60.0
BOUND_S = 2.0
NOTE_INTERVAL_S = 10.0
STALE_S = 10.0
_PAUSE_AFTER_FAILURE_S = 0.25
_HANG_UP_S = 1.0

RECEIVER_NAME = "callbox receiver"
"""What the connection of a process that holds the accounts is called in `pg_stat_activity`; `rekeying` looks for it."""

# What is noted here is not worth waiting for the disk, and never in the way of someone else. The server asks whether
# the other end is still there: a machine that went away without a word is soon not taken for a receiver any more.
_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=1800ms -c lock_timeout=1s -c synchronous_commit=off -c jit=off"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=2"
)

_NOTE_USE = """
WITH used AS (SELECT * FROM unnest(%s::uuid[], %s::timestamptz[]) AS used (id, at)),
     held AS (SELECT id FROM source_tokens WHERE id IN (SELECT id FROM used) ORDER BY id FOR UPDATE)
UPDATE source_tokens SET last_used_at = greatest(last_used_at, used.at)
FROM used JOIN held USING (id) WHERE source_tokens.id = used.id
"""

_log = structlog.get_logger()


class AccountsUnavailableError(Exception):
    """The database could not be asked about sources and keys in time."""


def read_accounts(connection: psycopg.Connection[Any], vault: Vault) -> Accounts:
    """Return all sources, tokens and keys of this moment.

    Raises:
        WrongKeyError: the vault has not the key that encrypted the secrets.
    """
    outermost = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        if outermost:
            cursor.execute(ONE_MOMENT)
        answers = [cursor.execute(question).fetchall() for question in QUESTIONS]
        accounts = to_accounts(vault, answers)
        if any(one.unreadable for one in accounts.sources.values()):
            check_vault(vault, cursor.execute(VAULT_QUESTION).fetchone())
    return accounts


class AccountBook:
    """The present accounts of a process, asked for over one connection of its own, one question at a time.

    `present` is always there, never blocks and may be kept for the length of a request.
    """

    def __init__(self, url: str, vault: Vault, kept_in: Path | None = None) -> None:
        self.present = Accounts(sources={}, tokens={}, keys={})
        self._url = url
        self._vault = vault
        self._kept = kept_in / FILE_NAME if kept_in else None
        self._connection: psycopg.AsyncConnection[DictRow] | None = None
        self._asking = asyncio.Lock()
        self._coming: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._version: bytes | None = None
        self._read_at: float | None = None
        self._confirmed_at: float | None = None
        self._failed_at: float | None = None
        self._used: dict[UUID, datetime] = {}
        self._noted_at = time.monotonic()

    @property
    def age(self) -> float | None:
        """Return the seconds since the database last confirmed `present`, None before it ever did."""
        return None if self._confirmed_at is None else time.monotonic() - self._confirmed_at

    @property
    def healthy(self) -> bool:
        """Tell whether `present` is fresh: changes of the last seconds are in it."""
        return self.age is not None and self.age < STALE_S

    async def start(self) -> None:
        """Read for the first time and go on reading. If the database is away it goes on trying, with nothing known.

        Raises:
            WrongKeyError: the encryption key is not the one of this database.
        """
        try:
            await self._bounded(self._ask())
        except AccountsUnavailableError as error:
            _log.warning("accounts.read_failed", reason=str(error))
            self._recall()
        self._run(self._keep_fresh())

    async def stop(self) -> None:
        """Stop reading, write down what tokens were used, and close the connection."""
        for task in (running := set(self._tasks)):
            task.cancel()
        if running:
            await asyncio.wait(running)
        if self._used and self._connection is not None:
            with contextlib.suppress(AccountsUnavailableError):
                await self._bounded(self._write_used())
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def note_use(self, token_id: UUID) -> None:
        """Remember that a token was used now; written down for all every ten seconds."""
        self._used[token_id] = now()

    async def refresh(self) -> None:
        """Ask the database now and wait for the answer, which all who call meanwhile share; takes two seconds at most.

        What was committed before the call is in `present` after it: who calls while a question is under way waits for
        the next one.

        Raises:
            AccountsUnavailableError: the database could not be asked; `present` is as it was.
        """
        if self._failed_at is not None and time.monotonic() - self._failed_at < _PAUSE_AFTER_FAILURE_S:
            raise AccountsUnavailableError("the database could not be asked a moment ago")
        if self._coming is None:
            self._coming = self._run(self._shared_question())
        done, _ = await asyncio.wait({self._coming}, timeout=BOUND_S)
        if not done:
            raise AccountsUnavailableError(f"the database did not answer within {BOUND_S:g} s")
        try:
            done.pop().result()
        except WrongKeyError as error:
            raise AccountsUnavailableError(str(error)) from error
        except asyncio.CancelledError:
            raise AccountsUnavailableError("this process is stopping") from None

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside, to be cancelled by `stop`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.done() and not task.cancelled():
            task.exception()  # fetched, so that asyncio does not complain where nobody waits for it any more

    async def _shared_question(self) -> None:
        async with self._asking:
            self._coming = None  # who comes from here on wants a question that begins later
            await self._bounded(self._ask())

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            failed_before = self._failed_at is not None
            try:
                await self.refresh()
                if self._used and time.monotonic() - self._noted_at >= NOTE_INTERVAL_S:
                    async with self._asking:
                        await self._bounded(self._write_used())
            except AccountsUnavailableError as error:
                if not failed_before:
                    _log.warning("accounts.read_failed", reason=str(error))
            except Exception:  # noqa: BLE001 - without this task what is revoked would stay good; told, tried again
                _log.exception("accounts.read_failed")

    async def _ask(self) -> None:
        """Ask for the version, and for everything where it has changed or the last full answer is old."""
        connection = await self._connected()
        answer = await (await connection.execute(VERSION_QUESTION)).fetchone()
        version = answer["value"] if answer else b""
        due = self._read_at is None or time.monotonic() - self._read_at >= FULL_READ_S
        if due or version != self._version:
            # The version was read first: a change in between is read now or seen as a new version next time.
            async with connection.transaction():
                await connection.execute(ONE_MOMENT)
                answers = [await (await connection.execute(question)).fetchall() for question in QUESTIONS]
                accounts = to_accounts(self._vault, answers)
                if unreadable := [one.name for one in accounts.sources.values() if one.unreadable]:
                    check_vault(self._vault, await (await connection.execute(VAULT_QUESTION)).fetchone())
                    _log.error("accounts.unreadable", sources=unreadable)
            self.present = accounts
            self._version, self._read_at = version, time.monotonic()
            await self._keep(answers)
        self._confirmed_at = time.monotonic()

    async def _keep(self, answers: Sequence[Rows]) -> None:
        """Write what was read to the local disk, for a start while the database is away."""
        if self._kept is None:
            return
        try:
            await asyncio.to_thread(keep_answers, self._kept, self._vault, answers)
        except OSError as error:
            _log.warning("accounts.keep_failed", reason=error.strerror)

    def _recall(self) -> None:
        """Begin with what was kept on the local disk."""
        answers = find_answers(self._kept, self._vault) if self._kept else None
        if answers is not None:
            self.present = to_accounts(self._vault, answers)
            _log.warning("accounts.recalled", sources=len(self.present.sources))
        elif self._kept is not None and self._kept.exists():
            _log.error("accounts.not_recalled", hint="damaged, or of another encryption key: the database is needed")

    async def _write_used(self) -> None:
        used, self._used = self._used, {}
        self._noted_at = time.monotonic()
        try:
            connection = await self._connected()
            await connection.execute(_NOTE_USE, (list(used), list(used.values())))
        except BaseException:
            self._used = {**used, **self._used}
            raise

    async def _connected(self) -> psycopg.AsyncConnection[DictRow]:
        """Return the connection. Making one may take longer than a question, where the URL's first host is silent."""
        while self._connection is None or self._connection.closed:
            if self._connecting is None:
                self._connecting = self._run(self._connect())
            connecting = self._connecting
            try:
                await asyncio.shield(connecting)
            finally:
                if connecting.done():
                    self._connecting = None
        return self._connection

    async def _connect(self) -> None:
        self._connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=int(BOUND_S),
            options=_OPTIONS,
            application_name=RECEIVER_NAME,
        )

    async def _bounded(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what asks the database, within the bound; afterwards nothing of it is under way, whatever happened."""
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task}, timeout=BOUND_S - 0.1)
        finally:
            if hangs := not task.done():
                await self._hang_up(task)
        failed_at, self._failed_at = time.monotonic(), None
        problem = None if hangs else task.exception()
        if hangs or problem is not None:
            self._failed_at = failed_at
        if hangs:
            raise AccountsUnavailableError(f"the database did not answer within {BOUND_S:g} s")
        if isinstance(problem, psycopg.Error):
            raise AccountsUnavailableError(f"the database could not be asked: {type(problem).__name__}") from problem
        if problem is not None:
            raise problem

    async def _hang_up(self, task: asyncio.Task[None]) -> None:
        """End a question that hangs. To cancel it alone would wait for a server that does not speak."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
            await asyncio.wait({task}, timeout=_HANG_UP_S)
        task.cancel()
        await asyncio.wait({task}, timeout=_HANG_UP_S)
        if connection is not None:
            await connection.close()  # where the question was not at the database just then, it knows nothing of this
        self._forget(task)
