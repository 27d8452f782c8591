"""The whole application over one database for all tests of a module; each makes sources and keys of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from app.accounts.keys import add_key
from app.accounts.model import Scope, Source
from app.accounts.parts import reveal_tokens
from app.accounts.snapshot import read_accounts
from app.accounts.writing import Connection
from app.config import load_settings
from app.crypto import Vault
from app.main import create_app
from app.storage.database import connect

_numbers = count(1)


@dataclass
class Bureau:
    """Asks as administrators do, and looks at what is stored."""

    client: TestClient
    connection: Connection
    vault: Vault
    zone: ZoneInfo
    admin: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        self.admin = self.key(*Scope)

    def key(self, *scopes: Scope, sources: Sequence[str] = (), brokers: Sequence[str] = (), **more: Any) -> str:
        """Return a new key, made behind the API's back."""
        return add_key(self.connection, "tester", scopes, sources=sources, brokers=brokers, **more).key

    def name(self) -> str:
        """Return a name that no source has."""
        return f"source-{next(_numbers)}"

    def ask(self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
        """Return the answer to a request; headers are named with underscores."""
        sent = {"Authorization": f"Bearer {key or self.admin}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, f"/v1{path}", json=body, headers=sent)

    def made(self, path: str, body: Any, **more: Any) -> Any:
        """Return what was made."""
        answer = self.ask("POST", path, body, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def source(self, **more: Any) -> str:
        """Make a source over the API and return its name."""
        name: str = self.made("/sources", {"provider": "thinksurance", "name": self.name(), **more})["name"]
        return name

    def url(self, name: str) -> str:
        """Return the path of a source's newest callback URL."""
        (provider,) = self.rows("SELECT provider FROM sources WHERE name = %s", name)
        return f"/callbacks/{provider[0]}/{reveal_tokens(self.connection, self.vault, name)[-1].token}"

    def rows(self, question: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Return rows of the database."""
        return self.connection.execute(question, arguments).fetchall()

    def known_sources(self) -> Mapping[UUID, Source]:
        """Return the sources as a processor sees them."""
        return read_accounts(self.connection, self.vault).sources

    def audited(self, actor: str | None = None) -> list[tuple[str, Any]]:
        """Return action and detail of what keys did, the latest last."""
        return self.rows("SELECT action, detail FROM audit WHERE starts_with(actor, %s) ORDER BY id", actor or "key:")


@pytest.fixture(scope="module")
def bureau(shared_database_url: str, encryption_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bureau]:
    folder: Path = tmp_path_factory.mktemp("bureau")
    settings = load_settings(database_url=shared_database_url, encryption_key=encryption_key, data_dir=folder)
    with TestClient(create_app(settings)) as client, connect(shared_database_url) as connection:
        yield Bureau(client, connection, Vault(encryption_key), settings.zone)
