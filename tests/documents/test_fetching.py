"""Documents are fetched on each way, kept once, tried again, and given up only when nothing more can be done."""

import base64
import hashlib
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from starlette.responses import Response

from app.documents import fetching, keeping
from app.documents.keeping import MOST_RENEWALS, RENEW_EVERY
from app.ids import IdSource
from tests.documents.conftest import NOON, Desk
from tests.doubles.thinksurance_documents import PDF

LARGE = b"%PDF-1.7\n" + bytes(range(256)) * 2000


@pytest.mark.parametrize("form", ["base64", "lines", "json", "quoted", "bytes"])
def test_a_document_is_archived_with_its_own_bytes_however_it_is_wrapped(desk: Desk, form: str) -> None:
    desk.double.settings.document_form = form
    document = desk.announce(desk.source(), LARGE)
    assert desk.sweep() == 1
    row = desk.row(document)
    digest = hashlib.sha256(LARGE).hexdigest()
    assert (row["state"], row["sha256"], row["size"]) == ("archived", digest, len(LARGE))
    assert (row["content_type"], row["fetched_by"], row["attempts"]) == ("application/pdf", "v1.1", 1)
    assert (row["archived_at"], row["attempted_at"], row["next_attempt_at"]) == (NOON, NOON, None)
    assert desk.files() == {digest: LARGE}
    assert desk.sweep() == 0


@pytest.mark.parametrize(
    ("ways", "by", "asked"),
    [
        ("v1.1,v1,link", "v1.1", ["v1.1"]),
        ("v1,link", "v1", ["v1.1", "v1"]),
        ("link", "link", ["v1.1", "v1", "link"]),
    ],
)
def test_the_ways_are_tried_in_their_order(desk: Desk, ways: str, by: str, asked: list[str]) -> None:
    desk.double.settings.document_ways = ways
    document = desk.announce(desk.source())
    desk.sweep()
    assert (desk.row(document)["state"], desk.row(document)["fetched_by"]) == ("archived", by)
    assert [way for way, _ in desk.world.files.asked] == asked


@pytest.mark.parametrize("name", ["in-link", "token", "docToken", "none"])
def test_a_source_that_only_receives_follows_links_where_it_names_hosts(desk: Desk, name: str) -> None:
    desk.double.settings.link_token = name
    document = desk.announce(desk.source(login=False))
    silent = desk.announce(desk.source("silent", login=False, document_hosts=""))
    assert desk.sweep() == 1
    assert (desk.row(document)["state"], desk.row(document)["fetched_by"]) == ("archived", "link")
    assert (desk.row(silent)["state"], desk.row(silent)["attempts"]) == ("announced", 0)
    assert not [one for one in desk.double.heard if one.path.startswith("/api/")]


def test_a_source_without_an_api_user_follows_links_to_the_hosts_that_it_names_alone(desk: Desk) -> None:
    source = desk.source(login=False, document_hosts="https://files.example.test")
    platform, own_host = desk.announce(source), desk.announce(source, link="https://rest.thinksurance.de/files/a")
    assert desk.sweep() == 2
    assert [desk.row(one)["last_error"] for one in (platform, own_host)] == ["link-refused"] * 2
    assert (len(desk.double.heard), len(desk.world.files.asked)) == (0, 0)


def test_what_one_way_brought_is_not_mixed_with_what_the_next_one_does(desk: Desk) -> None:
    answers = desk.double.quirks

    async def words_first(scope: Any, receive: Any, send: Any) -> None:
        words = Response(base64.b64encode(b"Access is denied. " * 9), media_type="text/pdf")
        await (words if scope["path"].startswith("/api/ipn/documents") else answers)(scope, receive, send)

    desk.double.quirks = words_first  # type: ignore[assignment]
    document = desk.announce(desk.source())
    desk.sweep()
    assert desk.row(document)["fetched_by"] == "v1"
    assert desk.files() == {hashlib.sha256(PDF).hexdigest(): PDF}


def test_a_file_may_be_as_large_as_is_set_and_no_larger(desk: Desk) -> None:
    largest = b"%PDF-1.7\n".ljust(desk.settings.max_document_bytes, b"\0")
    source = desk.source()
    documents = [desk.announce(source, content) for content in (largest, largest + b"\0")]
    desk.sweep()
    assert [desk.row(one)["last_error"] for one in documents] == [None, "too-large"]
    assert [*desk.files().values()] == [largest]


def test_links_elsewhere_are_not_followed(desk: Desk) -> None:
    source = desk.source(login=False)
    elsewhere = desk.announce(source, link="http://169.254.169.254/latest/meta-data/")
    other_port = desk.announce(source, link="http://127.0.0.1:9/files/a")
    none = desk.announce(source, link=None)
    desk.sweep()
    for document, trouble in ((elsewhere, "link-refused"), (other_port, "link-refused"), (none, "no-way")):
        assert (desk.row(document)["state"], desk.row(document)["last_error"]) == ("failed", trouble)


def test_the_same_file_is_kept_once(desk: Desk) -> None:
    source = desk.source()
    documents = [desk.announce(source, LARGE) for _ in range(5)] + [desk.announce(source)]
    assert desk.sweep() == 6
    assert {desk.row(one)["state"] for one in documents} == {"archived"}
    assert sorted(map(len, desk.files().values())) == sorted([len(LARGE), len(PDF)])


def test_a_file_left_by_a_crash_is_taken_and_a_torn_one_replaced(desk: Desk) -> None:
    digest = hashlib.sha256(LARGE).hexdigest()
    path = desk.folder / digest[:2] / digest
    path.parent.mkdir(parents=True)
    path.write_bytes(LARGE[:-1])
    document = desk.announce(desk.source(), LARGE)
    desk.sweep()
    assert desk.row(document)["state"] == "archived"
    assert desk.files() == {digest: LARGE}


@pytest.mark.parametrize("is_left", [False, True])
def test_files_are_for_their_owner_only(desk: Desk, is_left: bool) -> None:
    if is_left:  # by a process that was killed when it had written it
        digest = hashlib.sha256(PDF).hexdigest()
        (desk.folder / digest[:2]).mkdir(parents=True)
        desk.folder.chmod(0o700)
        (desk.folder / digest[:2] / digest).write_bytes(PDF)
        (desk.folder / digest[:2] / digest).chmod(0o644)
    desk.announce(desk.source())
    desk.sweep()
    (path,) = [one for one in desk.folder.rglob("*") if one.is_file()]
    assert [one.stat().st_mode & 0o777 for one in (path, path.parent, desk.folder)] == [0o600, 0o700, 0o700]


@pytest.mark.parametrize(
    ("settings", "trouble", "attempts"),
    [
        ({"document_ways": ""}, "not-found", 1),
        ({"document_form": "endless"}, "too-large", 1),
        ({"document_form": "page"}, "not-a-file", 3),
        ({"document_form": "words"}, "not-a-file", 3),
        ({"document_form": "truncated"}, "not-a-file", 3),
        ({"document_form": "part"}, "not-a-file", 3),
    ],
)
def test_what_cannot_be_had_is_given_up(desk: Desk, settings: dict[str, Any], trouble: str, attempts: int) -> None:
    for name, value in settings.items():
        setattr(desk.double.settings, name, value)
    document = desk.announce(desk.source())
    for _ in range(attempts + 1):
        desk.sweep()
        desk.moment += timedelta(hours=1)
    row = desk.row(document)
    assert (row["state"], row["last_error"], row["attempts"]) == ("failed", trouble, attempts)
    assert (row["sha256"], row["size"], row["archived_at"], row["next_attempt_at"]) == (None, None, None, None)
    assert desk.files() == {}


def test_a_refusal_is_asked_about_again(desk: Desk) -> None:
    document = desk.announce(desk.source(), broker_token="unknown", link=None)
    desk.sweep()
    row = desk.row(document)
    assert (row["state"], row["last_error"], row["attempts"]) == ("announced", "refused", 1)
    assert timedelta(seconds=20) < row["next_attempt_at"] - NOON < timedelta(seconds=40)
    assert desk.sweep() == 0
    for _ in range(2):
        desk.moment += timedelta(minutes=5)
        assert desk.sweep() == 1
    assert desk.row(document)["state"] == "failed"


@pytest.mark.parametrize(
    ("quirk", "trouble"),
    [
        ("server-error", "server-failed"),
        ("busy", "server-failed"),
        ("cut", "unreachable"),
        ("html-error", "server-failed"),
    ],
)
def test_a_platform_that_is_away_is_waited_for(desk: Desk, quirk: str, trouble: str) -> None:
    document = desk.announce(desk.source(), link=None)
    desk.double.quirks.add(quirk, "/api/", times=1000)
    desk.sweep()
    row = desk.row(document)
    assert (row["state"], row["last_error"], row["attempts"]) == ("announced", trouble, 1)
    desk.double.quirks.clear()
    desk.moment += timedelta(minutes=1)
    desk.sweep()
    row = desk.row(document)
    assert (row["state"], row["last_error"]) == ("archived", None)


@pytest.mark.parametrize(("asked_for", "wait"), [(900, 900), (86_400, 3600)])
def test_a_platform_that_wants_to_be_left_alone_is_so_for_an_hour_at_most(
    desk: Desk, asked_for: int, wait: int
) -> None:
    document = desk.announce(desk.source(), link=None)
    desk.double.quirks.add("busy", "/api/ipn/documents/", times=1000, wait=asked_for)
    desk.double.settings.document_ways = "v1.1"
    desk.sweep()
    row = desk.row(document)
    assert (row["last_error"], row["next_attempt_at"] - NOON) == ("server-failed", timedelta(seconds=wait))


def test_the_waits_grow_to_an_hour_and_last_for_more_than_a_week(desk: Desk) -> None:
    held = keeping.claim(desk.database, desk.vault, desk.announce(desk.source()), NOON)
    assert held is not None
    waits = []
    for attempt in range(1, 200):
        state, at = fetching.settle(replace(held, attempt=attempt), "unreachable", NOON, renewable=True)
        assert state == "announced"
        assert at is not None
        waits.append(at - NOON)
    assert timedelta(seconds=20) < waits[0] < timedelta(seconds=40)
    assert max(waits) < timedelta(minutes=80)
    assert sum(waits, timedelta()) > timedelta(days=7)
    assert fetching.settle(replace(held, attempt=200), "unreachable", NOON, renewable=True) == ("failed", None)


def test_a_login_that_is_refused_is_not_repeated_at_once(desk: Desk) -> None:
    document = desk.announce(desk.source(), link=None)
    desk.world.user_secret = "another"
    desk.sweep()
    row = desk.row(document)
    assert (row["state"], row["last_error"]) == ("announced", "login-refused")
    assert row["next_attempt_at"] - NOON > timedelta(minutes=10)


def test_a_login_that_is_refused_is_not_repeated_for_each_document(desk: Desk) -> None:
    source = desk.source()
    for _ in range(10):
        desk.announce(source, link=None)
    desk.world.user_secret = "another"
    assert desk.sweep() == 10
    assert [one.path for one in desk.double.heard] == ["/api/ipn/tokens", "/api/token"]


def test_a_folder_that_cannot_be_written_is_waited_for(desk: Desk) -> None:
    document = desk.announce(desk.source())
    desk.folder.write_text("in the way")
    desk.sweep()
    assert (desk.row(document)["state"], desk.row(document)["last_error"]) == ("announced", "store-failed")
    desk.folder.unlink()
    desk.moment += timedelta(minutes=1)
    desk.sweep()
    assert desk.row(document)["state"] == "archived"


def test_no_error_says_what_the_platform_said(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.double.quirks.add("error", "/api/ipn/documents", times=9)
    desk.double.settings.document_form = "words"
    document = desk.announce(desk.source())
    desk.sweep()
    shown = str({name: value for name, value in desk.row(document).items() if "name" not in name})
    printed = capsys.readouterr()
    for said in ("erika", "Erika", "denied", "d41fa07c", "7c21be90"):
        assert said not in shown
        assert said not in printed.out + printed.err


# --- tokens --------------------------------------------------------------------------------------------------------


def test_an_ended_token_is_renewed_by_a_pull_before_the_document_is_given_up(desk: Desk) -> None:
    desk.double.settings.document_ways = ""
    source = desk.source()
    document = desk.announce(source, token_expires_at=NOON - timedelta(minutes=1))
    desk.sweep()
    row = desk.row(document)
    assert (row["state"], row["last_error"], row["next_attempt_at"]) == ("announced", "token-ended", NOON + RENEW_EVERY)
    for _ in range(MOST_RENEWALS):
        assert desk.renew() == 1
        assert desk.renew() == 0
        desk.moment += RENEW_EVERY
        assert desk.sweep() == 1
    row = desk.row(document)
    assert (row["state"], row["last_error"], row["renewals"]) == ("expired", "token-ended", MOST_RENEWALS)
    wanted = desk.database.execute("SELECT source_id, subject, cause FROM wanted_pulls").fetchall()
    assert wanted == [(source, f"inquiry/{row['inquiry_id']}", "token")]


def test_a_token_that_ends_soon_is_renewed_beforehand(desk: Desk) -> None:
    desk.double.settings.document_ways = "v1"
    desk.double.quirks.add("server-error", "/api/", times=1000)
    source = desk.source()
    desk.announce(source, token_expires_at=NOON + timedelta(minutes=50), link=None)
    desk.announce(source, token_expires_at=NOON + timedelta(days=2), link=None)
    desk.sweep()
    assert desk.renew() == 1
    assert desk.database.execute("SELECT count(*) FROM wanted_pulls").fetchone() == (1,)


def test_each_source_is_asked_for_the_tokens_of_its_own_documents(desk: Desk) -> None:
    desk.double.settings.document_ways = ""
    ended = NOON - timedelta(minutes=1)
    documents = [desk.announce(desk.source(name), token_expires_at=ended) for name in ("one", "two")]
    desk.sweep()
    assert desk.renew() == 2
    wanted = desk.database.execute("SELECT source_id, subject FROM wanted_pulls").fetchall()
    rows = [desk.row(one) for one in documents]
    assert sorted(wanted) == sorted((row["source_id"], f"inquiry/{row['inquiry_id']}") for row in rows)


def test_a_renewal_that_was_cut_off_is_begun_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.double.settings.document_ways = ""
    source = desk.source()
    desk.announce(source, token_expires_at=NOON - timedelta(minutes=1))
    desk.sweep()
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "_WANT", "no statement")
        with pytest.raises(psycopg.Error):
            keeping.want_tokens(desk.database, IdSource(), source, NOON)
    assert keeping.want_tokens(desk.database, IdSource(), source, NOON) == 1


def test_without_an_api_user_an_ended_token_is_the_end(desk: Desk) -> None:
    document = desk.announce(desk.source(login=False), token_expires_at=NOON - timedelta(minutes=1))
    desk.world.files.end_tokens()
    desk.sweep()
    assert desk.row(document)["state"] == "expired"
    assert desk.renew() == 0


def test_by_its_hash_a_document_is_had_after_its_token_ended(desk: Desk) -> None:
    document = desk.announce(desk.source(), token_expires_at=NOON - timedelta(days=1))
    desk.sweep()
    assert desk.row(document)["state"] == "archived"


# --- who fetches ---------------------------------------------------------------------------------------------------


def test_two_fetchers_do_not_fetch_the_same(desk: Desk) -> None:
    document = desk.announce(desk.source())
    first = keeping.claim(desk.database, desk.vault, document, NOON)
    assert first is not None
    assert keeping.claim(desk.database, desk.vault, document, NOON) is None
    assert keeping.find_due(desk.database, NOON, 10) == []
    keeping.prolong(desk.database, first, NOON + timedelta(seconds=20))
    assert keeping.find_due(desk.database, NOON + timedelta(seconds=40), 10) == []
    assert keeping.find_due(desk.database, NOON + timedelta(seconds=50), 10) == [document]


def test_one_that_was_thought_dead_changes_nothing_any_more(desk: Desk) -> None:
    document = desk.announce(desk.source())
    first = keeping.claim(desk.database, desk.vault, document, NOON)
    later = NOON + timedelta(minutes=1)
    second = keeping.claim(desk.database, desk.vault, document, later)
    assert first is not None
    assert second is not None
    assert not keeping.archive(desk.database, first, keeping.Archived("a" * 64, 1, "text/plain", "v1"), later)
    keeping.give_back(desk.database, first, "refused", "failed", None)
    keeping.prolong(desk.database, first, later + timedelta(hours=1))
    assert desk.row(document)["next_attempt_at"] == later + keeping.HOLD
    assert keeping.archive(desk.database, second, keeping.Archived("b" * 64, 2, "text/plain", "v1"), later)
    assert (desk.row(document)["state"], desk.row(document)["sha256"]) == ("archived", "b" * 64)


def test_a_slow_download_is_held_all_the_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PROLONG_SECONDS", 0.05)
    document = desk.announce(desk.source())
    is_seen = threading.Event()
    desk.world.files.is_open = is_seen.is_set
    thread = threading.Thread(target=desk.sweep)
    thread.start()
    end = time.monotonic() + 60
    try:
        while desk.row(document)["state"] != "fetching":
            assert time.monotonic() < end
            time.sleep(0.01)
        desk.moment += timedelta(minutes=1)
        while desk.row(document)["next_attempt_at"] != desk.moment + keeping.HOLD:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        is_seen.set()
        thread.join()
    assert desk.row(document)["state"] == "archived"


def test_disabled_sources_are_asked_nothing(desk: Desk) -> None:
    document = desk.announce(desk.source())
    desk.database.execute("UPDATE sources SET disabled_at = now()")
    assert desk.sweep() == 0
    assert desk.row(document)["attempts"] == 0


def test_what_a_clock_that_ran_ahead_put_off_is_due_again(desk: Desk) -> None:
    document = desk.announce(desk.source())
    desk.moment += timedelta(days=400)
    desk.double.quirks.add("server-error", times=99)
    desk.sweep()
    assert desk.row(document)["next_attempt_at"] > desk.moment
    assert desk.renew() == 1
    desk.moment = NOON
    desk.double.quirks.clear()
    desk.database.execute("UPDATE documents SET token_expires_at = %s", (NOON + timedelta(minutes=9),))
    assert desk.sweep() == 0
    assert desk.renew() == 1  # which looks once a minute for what was put off
    assert desk.sweep() == 1
    assert desk.row(document)["state"] == "archived"


def test_those_that_wait_longest_come_first(desk: Desk) -> None:
    one, other = desk.source(), desk.source("other")
    late = desk.announce(one, next_attempt_at=NOON - timedelta(minutes=1))
    early = desk.announce(other, next_attempt_at=NOON - timedelta(minutes=2))
    desk.announce(one, next_attempt_at=NOON + timedelta(seconds=1))
    at_once = desk.announce(one)
    assert keeping.find_due(desk.database, NOON, 10) == [at_once, early, late]
    assert keeping.find_due(desk.database, NOON, 1) == [at_once]


@pytest.mark.parametrize("said", ["token_expires_at = now()", "token_encrypted = 'x'", "link_encrypted = 'x'"])
def test_a_document_announced_with_another_token_meanwhile_is_due_again(desk: Desk, said: str) -> None:
    document = desk.announce(desk.source())
    held = keeping.claim(desk.database, desk.vault, document, NOON)
    assert held is not None
    desk.database.execute(f"UPDATE documents SET {said}")  # noqa: S608 - ours
    keeping.give_back(desk.database, held, "token-ended", "expired", None)
    row = desk.row(document)
    assert (row["state"], row["next_attempt_at"], row["attempts"]) == ("announced", None, 0)


def test_a_key_that_fits_no_more_leaves_the_ways_that_need_none(desk: Desk) -> None:
    document = desk.announce(desk.source())
    desk.database.execute("UPDATE documents SET link_encrypted = 'x', token_encrypted = 'x'")
    desk.sweep()
    assert desk.row(document)["state"] == "archived"
