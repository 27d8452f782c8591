"""The command `backfill`: it fills what was missed, goes on where it was cut off, and says what did not work."""

from collections.abc import Iterator

import pytest

from app.accounts.writing import Connection
from tests.cli.conftest import Run
from tests.doubles.serving import serve
from tests.doubles.thinksurance import Thinksurance
from tests.doubles.thinksurance_world import BROKER_TOKEN, CALCULATED, USER_HASH, USER_SECRET


@pytest.fixture(scope="module")
def double() -> Iterator[tuple[Thinksurance, str]]:
    platform = Thinksurance()
    broker = platform.world.brokers[BROKER_TOKEN]
    for _ in range(3):
        inquiry = platform.world.create_inquiry(broker, None, {"productId": 81, "professionId": 311})
        inquiry.status = CALCULATED
    with serve(platform) as served:
        yield platform, served.url


def _add(run: Run, url: str, *tokens: str) -> None:
    words = [word for token in tokens for word in ("--credential", f"b_token={token}")]
    login = ("--credential", f"hash={USER_HASH}", "--credential", f"secret={USER_SECRET}")
    assert run("sources", "add", "thinksurance", "acme", *login, *words, "--setting", f"base_url={url}").code == 0


def test_it_pulls_once_for_each_token_and_stores_nothing_twice(
    run: Run, double: tuple[Thinksurance, str], connection: Connection
) -> None:
    _add(run, double[1], BROKER_TOKEN)
    run("sources", "add", "thinksurance", "other", "--credential", f"b_token={BROKER_TOKEN}")
    first = run("backfill", "--source", "acme", "--last-days", "30", "--json").json
    assert first == {"source": "acme", "tokens": 1, "resumed": 0, "items": 3, "new": 3, "gaps": 0, "failed": []}
    rows = connection.execute("SELECT via, count(*) FROM deliveries GROUP BY 1").fetchall()
    assert rows == [(1, 3)]
    assert connection.execute("SELECT detail FROM audit WHERE action = 'source.backfill'").fetchall() == [
        ({"source": "acme", "last_days": 30, "inquiry_id": None},)
    ]


def test_it_goes_on_with_the_tokens_that_are_left(run: Run, double: tuple[Thinksurance, str]) -> None:
    _add(run, double[1], BROKER_TOKEN, "unknown-broker")
    first = run("backfill", "--source", "acme", "--json")
    assert first.code == 1
    assert [one["token"] for one in first.json["failed"]] == [2]
    again = run("backfill", "--source", "acme", "--json").json
    assert (again["resumed"], again["items"]) == (1, 0)


def test_a_token_that_never_works_keeps_the_others_from_nothing(
    run: Run, double: tuple[Thinksurance, str], connection: Connection
) -> None:
    _add(run, double[1], BROKER_TOKEN, "unknown-broker")
    run("backfill", "--source", "acme", "--json")
    connection.execute("UPDATE searches SET done_at = done_at - interval '1 day'")
    again = run("backfill", "--source", "acme", "--json").json
    assert (again["resumed"], again["items"]) == (0, 3)


def test_one_inquiry_is_pulled_by_its_id(run: Run, double: tuple[Thinksurance, str]) -> None:
    _add(run, double[1], BROKER_TOKEN)
    known = next(iter(double[0].world.inquiries))
    assert run("backfill", "--source", "acme", "--inquiry", str(known), "--json").json["items"] == 1
    missing = run("backfill", "--source", "acme", "--inquiry", "1", "--json")
    assert (missing.code, missing.json["items"]) == (1, 0)


def test_calibrate_settles_the_recipe_by_what_was_pulled(run: Run, double: tuple[Thinksurance, str]) -> None:
    _add(run, double[1], BROKER_TOKEN)
    run("backfill", "--source", "acme", "--json")
    found = run("calibrate", "acme", "--json").json
    assert (found["items"], found["inquiries"]) == (3, 3)
    assert {"algorithm": "md5", "parts": ["bToken", "iId", "secret"]}.items() <= found["fits"][0].items()


def test_what_cannot_be_asked_is_refused(run: Run) -> None:
    run("sources", "add", "wegroup", "w")
    run("sources", "add", "thinksurance", "t")
    assert "cannot be asked" in run("backfill", "--source", "w", "--json").error
    done = run("backfill", "--source", "t", "--json")
    assert (done.code, done.json["tokens"]) == (0, 0)
    assert "no token to search by" in run("backfill", "--source", "t").out
    run("sources", "disable", "t")
    for words in ((), ("--inquiry", "1")):
        assert "t is disabled" in run("backfill", "--source", "t", *words, "--json").error
    assert "there is no source" in run("backfill", "--source", "nobody", "--json").error
