"""Jobs over HTTP: listed for admins without walls only, and the dead taken up again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.accounts.keys import add_key
from app.accounts.model import Scope
from app.accounts.store import add_source
from app.accounts.writing import Connection, Platform
from app.config import load_settings
from app.crypto import Vault, new_encryption_key
from app.jobs.schemas import Job, JobPage
from app.main import create_app
from app.storage.database import connect

ABOUT = "019a9c3e-1f00-7abc-8def-0123456789ab"


@dataclass
class Asking:
    """Asks the whole application."""

    client: TestClient
    connection: Connection

    def key(self, *scopes: Scope, **walls: Any) -> str:
        return add_key(self.connection, "tester", scopes, **walls).key

    def ask(self, method: str, path: str, key: str) -> Any:
        return self.client.request(method, f"/v1{path}", headers={"Authorization": f"Bearer {key}"})

    def job(self, status: str, error: str | None = None) -> str:
        """Put a job into the queue as it is after a while."""
        row = self.connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status)"
            " VALUES ('callbox', 'inquiries.search', jsonb_build_object('id', %s::text), 'doing') RETURNING id",
            (ABOUT,),
        ).fetchone()
        assert row is not None
        self.connection.execute("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", (status, row[0]))
        if error is not None:
            self.connection.execute("INSERT INTO job_errors (job_id, error) VALUES (%s, %s)", (row[0], error))
        return str(row[0])


@pytest.fixture(scope="module")
def asking(shared_database_url: str, encryption_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    folder: Path = tmp_path_factory.mktemp("asking")
    settings = load_settings(database_url=shared_database_url, encryption_key=encryption_key, data_dir=folder)
    with TestClient(create_app(settings)) as client, connect(shared_database_url) as connection:
        yield Asking(client, connection)


def test_admins_see_them_with_the_reason_of_their_failure(asking: Asking) -> None:
    key = asking.key(Scope.ADMIN)
    dead = asking.job("failed", "thinksurance.inquiries: answered 503")
    done = asking.job("succeeded")
    page = asking.ask("GET", "/jobs", key).json()
    JobPage.model_validate(page)
    shown = {one["id"]: one for one in page["data"]}
    assert (shown[dead]["state"], shown[dead]["error"]) == ("dead", "thinksurance.inquiries: answered 503")
    assert (shown[done]["state"], shown[done]["about"], shown[done]["error"]) == ("done", ABOUT, None)
    assert [one["id"] for one in asking.ask("GET", "/jobs?state=dead", key).json()["data"]] == [dead]
    assert list(asking.ask("GET", f"/jobs/{dead}", key).json()) == list(Job.model_fields)


def test_they_come_page_by_page(asking: Asking) -> None:
    key = asking.key(Scope.ADMIN)
    made = [asking.job("succeeded") for _ in range(3)]
    first = asking.ask("GET", "/jobs?kind=inquiries.search&limit=2&state=done", key).json()
    some = asking.ask("GET", "/jobs?kind[prefix]=INQUIRIES.&state=done&fields=state&count=exact&limit=1", key).json()
    assert some["data"] == [{"id": first["data"][0]["id"], "state": "done"}]
    assert some["count"] >= len(made)
    again = asking.ask("GET", f"/jobs?kind=inquiries.search&limit=2&state=done&cursor={first['next_cursor']}", key)
    assert [one["id"] for one in (*first["data"], *again.json()["data"])][:3] == made[::-1]
    oldest_first: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = asking.ask("GET", f"/jobs?order=asc&limit=2{cursor and '&cursor=' + cursor}", key).json()
        oldest_first += [int(one["id"]) for one in page["data"]]
        cursor = page["next_cursor"]
    assert oldest_first == sorted(oldest_first)
    assert oldest_first[-3:] == [int(one) for one in made]


def test_they_are_asked_for_by_a_body_as_well(asking: Asking) -> None:
    headers = {"Authorization": f"Bearer {asking.key(Scope.ADMIN)}"}
    dead, _ = asking.job("failed"), asking.job("succeeded")
    page = asking.client.post("/v1/jobs/query", json={"state": "dead", "limit": 1}, headers=headers).json()
    assert [one["id"] for one in page["data"]] == [dead]


def test_a_dead_one_is_taken_up_again_and_no_other(asking: Asking) -> None:
    key = asking.key(Scope.ADMIN)
    dead, done = asking.job("failed"), asking.job("succeeded")
    answer = asking.ask("POST", f"/jobs/{dead}/retry", key)
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    for one in (dead, done):
        refused = asking.ask("POST", f"/jobs/{one}/retry", key)
        assert (refused.status_code, refused.json()["code"]) == (409, "job-not-dead")
    noted = asking.connection.execute("SELECT detail->>'job_id' FROM audit WHERE action = 'job.retry'").fetchall()
    assert noted == [(dead,)]


def test_metrics_count_jobs_and_gaps(asking: Asking) -> None:
    asking.job("failed")
    shown = asking.client.get("/metrics").text
    dead = asking.connection.execute("SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'").fetchone()
    assert dead is not None
    assert f'callbox_jobs_queued{{state="dead"}} {dead[0]}.0' in shown
    assert 'callbox_gaps{state="open"} 0.0' in shown


@pytest.mark.parametrize("path", ["/jobs/0", "/jobs/x", "/jobs/99999999999999999999", "/jobs/%00", "/jobs/²"])
def test_what_is_not_there_is_not_found(asking: Asking, path: str) -> None:
    assert asking.ask("GET", path, asking.key(Scope.ADMIN)).status_code == 404


def test_nobody_else_sees_them(asking: Asking) -> None:
    job = asking.job("failed")
    add_source(asking.connection, Vault(new_encryption_key()), Platform("wegroup"), "leads")
    walled = [asking.key(Scope.ADMIN, brokers=["B-1"]), asking.key(Scope.ADMIN, sources=["leads"])]
    for key in (asking.key(Scope.READ, Scope.READ_PERSONAL, Scope.WRITE), *walled):
        for method, path in (("GET", "/jobs"), ("GET", f"/jobs/{job}"), ("POST", f"/jobs/{job}/retry")):
            assert asking.ask(method, path, key).status_code == 403
