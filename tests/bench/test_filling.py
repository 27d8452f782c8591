"""The generator of the measurements writes what the processor makes of the same deliveries, column by column."""

# ruff: noqa: S608 - the names in the statements are our own

import os
from contextlib import closing

import orjson
from starlette.testclient import TestClient

from app.accounts.keys import add_key
from app.accounts.model import Scope
from app.accounts.snapshot import read_accounts
from app.crypto import Vault
from app.processing.batch import Circumstances
from app.processing.processor import Processor
from app.processing.record_rows import Database
from app.providers import PROVIDERS
from app.query.cursor import cursor_key
from app.storage.database import connect
from tests.bench.filling import fill
from tests.bench.questions import questions
from tests.bench.values import ZONE
from tests.query.conftest import make_app

DELIVERIES = int(os.environ.get("BENCH_CHECKED", "150"))
_WRITTEN = ("outcomes", "events", "inquiries", "customers", "documents", "leads", "aliases", "seen")
_OTHERWISE = "{seq,processed_at,link_encrypted,token_encrypted,broker_token_encrypted}"
"""What is given by the clock, by the order of processing or by chance."""


def _rows(database: Database, table: str) -> set[bytes]:
    question = f"SELECT to_jsonb(t) - '{_OTHERWISE}'::text[] FROM {table} t"
    return {orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for (row,) in database.execute(question)}


def _check_questions(url: str, vault: Vault) -> None:
    with closing(connect(url)) as database:
        added = add_key(database, "bench", (Scope.READ, Scope.READ_PERSONAL))
        access = next(iter(read_accounts(database, vault).keys.values()))
        asked = questions(database, access, cursor_key("test"))
        with TestClient(make_app(url, vault)) as client:
            for question in asked:
                one = question.ask()
                response = client.get(one.path, headers={"Authorization": f"Bearer {added.key}"})
                assert response.status_code == 200, (question.name, response.text)
                found = database.execute(question.sql, one.values).fetchall()
                if question.kind == "list" and not question.name.startswith(("search", "one", "history", "a", "page")):
                    shown = response.json()["data"]
                    assert len(shown) == min(50, len(found)), question.name


def test_it_writes_what_the_processor_would_and_all_can_be_asked_for(database_url: str, vault: Vault) -> None:
    fill(database_url, vault, DELIVERIES, lambda _: None, stories=9)
    _check_questions(database_url, vault)
    with closing(connect(database_url, options="-c jit=off -c timezone=UTC")) as database:
        written = {table: _rows(database, table) for table in _WRITTEN}
        for table in _WRITTEN:
            database.execute(f"DELETE FROM {table}")
        database.execute("INSERT INTO inbox (delivery_id, source_id) SELECT id, source_id FROM deliveries")
        given = Circumstances(PROVIDERS, read_accounts(database, vault).sources, vault, ZONE)
        processor = Processor(database, lambda: given)
        while processor.step():
            pass
        for table in _WRITTEN:
            processed = _rows(database, table)
            assert written[table] - processed == set(), table
            assert processed - written[table] == set(), table
            assert len(processed) > 5 or table == "seen", table
