"""What is said of a real standby: by `doctor` what a failover to it loses, by the feeds whether it is behind."""

import json
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from typer.testing import CliRunner

from app.accounts.keys import add_key
from app.accounts.model import Scope
from app.cli.program import app
from app.storage.database import connect
from tests.drills.cluster import Cluster
from tests.drills.ledger import LONG, ONLY_LONG
from tests.drills.service import await_processed, service
from tests.drills.test_failover import cluster
from tests.server.test_supervisor import LEAD, add_source, until

__all__ = ["cluster"]

pytestmark = [pytest.mark.process, pytest.mark.skipif(not LONG, reason=ONLY_LONG)]


def examine(name: str) -> dict[str, Any]:
    """Run `doctor` and return one of its checks."""
    ran = CliRunner().invoke(app, ["doctor", "--json"], prog_name="callbox")
    (found,) = [one for one in json.loads(ran.stdout)["checks"] if one["name"] == name]
    return dict(found)


def test_doctor_says_what_a_failover_loses(
    cluster: Cluster, encryption_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBOX_DATABASE_URL", cluster.primary.url)
    monkeypatch.setenv("CALLBOX_DATABASE_READ_URL", cluster.standby.url)
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY", encryption_key)
    monkeypatch.setenv("CALLBOX_DATA_DIR", str(tmp_path))
    synchronous = examine("durability")
    assert (synchronous["failover_without_loss"], synchronous["synchronous_standbys"]) == (True, 1)
    assert "a failover to it loses nothing" in synchronous["detail"]
    until(lambda: examine("replica")["lag_bytes"] == 0, "the replica at the end")

    cluster.primary.execute("CREATE ROLE plain LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain")
    monkeypatch.setenv("CALLBOX_DATABASE_URL", cluster.primary.url.replace("//callbox@", "//plain@"))
    hidden = examine("durability")
    assert hidden["failover_without_loss"] is None
    assert "pg_monitor" in hidden["detail"]
    monkeypatch.setenv("CALLBOX_DATABASE_URL", cluster.primary.url)

    cluster.standby.execute("SELECT pg_wal_replay_pause()")
    with psycopg.connect(cluster.primary.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE later AS SELECT generate_series(1, 1000) AS number")
    assert examine("replica")["lag_bytes"] > 0
    cluster.standby.kill()
    until(lambda: examine("durability")["standbys"] == 0, "the end of the standby")
    gone = examine("durability")
    assert (gone["ok"], gone["failover_without_loss"]) == (False, False)
    assert "commits wait" in gone["detail"]
    assert not examine("replica")["ok"]
    monkeypatch.setenv("CALLBOX_DATABASE_URL", cluster.standby.url)
    assert not examine("database")["ok"]


def test_a_feed_says_whether_the_standby_is_behind(cluster: Cluster, encryption_key: str, tmp_path: Path) -> None:
    path = add_source(cluster.primary.url, encryption_key)
    with connect(cluster.primary.url) as connection:
        asked = {"Authorization": f"Bearer {add_key(connection, 'test', [Scope.READ]).key}"}

    with service(cluster.primary.url, encryption_key, tmp_path, database_read_url=cluster.standby.url) as running:

        def told() -> list[tuple[int, bool]]:
            urls = [f"http://127.0.0.1:{running.port}/v1/{name}?order=asc" for name in ("events", "deliveries")]
            pages = [httpx2.get(url, headers=asked, timeout=60).raise_for_status().json() for url in urls]
            return [(len(page["data"]), page["caught_up"]) for page in pages]

        until(lambda: told() == [(0, True)] * 2, "an empty feed")
        cluster.standby.execute("SELECT pg_wal_replay_pause()")
        until(lambda: running.answers("POST", path, LEAD), "a callback to be taken")
        await_processed(cluster.primary.url, tmp_path / "spool")
        assert told() == [(0, False)] * 2
        cluster.standby.execute("SELECT pg_wal_replay_resume()")
        until(lambda: told() == [(1, True)] * 2, "what was behind")
