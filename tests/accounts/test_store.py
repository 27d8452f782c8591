"""Sources, their tokens and secrets, and API keys: what is written, what is refused, and with what words."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from app.accounts import keys, parts, store
from app.accounts.model import Mode, Scope
from app.accounts.snapshot import read_accounts
from app.accounts.version import mark_recipe_proven
from app.accounts.writing import AccountError, Connection, Platform
from app.administration.platforms import get_platform
from app.crypto import Vault, sha256


def _check_recipe(recipe: Any) -> None:
    if "wrong" in recipe:
        raise ValueError("recipe.wrong: is wrong")


SIGNED = Platform(
    "thinksurance",
    single=frozenset({"hash"}),
    several=frozenset({"b_token"}),
    settings=frozenset({"base_url"}),
    check_recipe=_check_recipe,
)
UNSIGNED = Platform("wegroup", single=frozenset({"api_token"}))
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def _version(connection: Connection) -> bytes:
    row = connection.execute("SELECT value FROM installation WHERE key = 'accounts-version'").fetchone()
    assert row
    return bytes(row[0])


def _audited(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT action FROM audit ORDER BY id")]


def test_a_source_is_read_back_whole(connection: Connection, vault: Vault) -> None:
    added = store.add_source(
        connection,
        vault,
        SIGNED,
        "pool-nord",
        secrets=["geheim-1", "geheim-2"],
        recipe={"algorithm": "sha1"},
        credentials=[("hash", "h"), ("b_token", "b1"), ("b_token", "b2")],
        settings=[("base_url", "https://ipn.example.test")],
    )
    accounts = read_accounts(connection, vault)
    source = accounts.sources[added.id]
    assert (source.name, source.provider, source.mode) == ("pool-nord", "thinksurance", Mode.ENFORCE)
    assert [secret.value for secret in source.secrets] == ["geheim-1", "geheim-2"]
    assert source.credentials == {"hash": ("h",), "b_token": ("b1", "b2")}
    assert source.settings == {"base_url": "https://ipn.example.test"}
    assert source.recipe == {"algorithm": "sha1"}
    assert not source.recipe_proven
    token = accounts.tokens[sha256(added.token.token)]
    assert (token.id, token.label, token.source) == (added.token.id, "token-1", source)
    assert _audited(connection) == ["source.add"]


def test_nothing_secret_lies_readable_in_the_database(connection: Connection, vault: Vault) -> None:
    added = store.add_source(
        connection, vault, SIGNED, "a", secrets=["sehr-geheim"], credentials=[("hash", "auch-geheim")]
    )
    parts.add_secret(connection, vault, "a", "noch-geheimer")
    store.set_source(connection, vault, SIGNED, "a", credentials=[("b_token", "ganz-geheim")])
    key = keys.add_key(connection, "dash", [Scope.READ])
    dumped = ""
    for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
        for row in connection.execute(f'SELECT t::text, t FROM "{table}" t').fetchall():  # noqa: S608
            dumped += str(row)
    hidden = ["sehr-geheim", "auch-geheim", "noch-geheimer", "ganz-geheim", added.token.token, key.key]
    for text in hidden:
        assert text not in dumped
        assert text.encode().hex() not in dumped
    assert {"source.add", "source.set"} <= set(_audited(connection))


@pytest.mark.parametrize("name", ["", "-a", "A", "ä", "a_b", "a" * 64, "a b", "a\n"])
def test_a_malformed_name_is_refused(connection: Connection, vault: Vault, name: str) -> None:
    with pytest.raises(AccountError, match=r"^name: "):
        store.add_source(connection, vault, SIGNED, name)


def test_a_name_is_unique_over_all_platforms(connection: Connection, vault: Vault) -> None:
    store.add_source(connection, vault, SIGNED, "a" * 63)
    with pytest.raises(AccountError, match=r"^name: there is a source"):
        store.add_source(connection, vault, UNSIGNED, "a" * 63)
    assert _audited(connection) == ["source.add"]


def test_the_mode_follows_from_the_secret(connection: Connection, vault: Vault) -> None:
    assert store.add_source(connection, vault, SIGNED, "with", secrets=["s"]).mode is Mode.ENFORCE
    assert store.add_source(connection, vault, SIGNED, "without").mode is Mode.OBSERVE
    assert store.add_source(connection, vault, SIGNED, "off", secrets=["s"], mode=Mode.OFF).mode is Mode.OFF


@pytest.mark.parametrize(
    ("platform", "given", "text"),
    [
        (SIGNED, {"mode": Mode.ENFORCE}, "mode: `enforce` needs a secret"),
        (SIGNED, {"recipe": {"wrong": 1}}, "recipe.wrong: is wrong"),
        (SIGNED, {"secrets": [""]}, "secret: is empty"),
        (SIGNED, {"secrets": ["a\x00b"]}, "secret: holds characters"),
        (SIGNED, {"secrets": ["s" * 4097]}, "secret: has more than 4096 characters"),
        (SIGNED, {"secrets": ["s", "s"]}, "secret: is given twice"),
        (SIGNED, {"credentials": [("hsah", "x")]}, "credential: thinksurance has no 'hsah'; known are: b_token, hash"),
        (SIGNED, {"credentials": [("hash", "x"), ("hash", "y")]}, "credential: hash has one value only"),
        (SIGNED, {"settings": [("base_url", "ftp://x")]}, "setting: base_url begins with neither"),
        (UNSIGNED, {"secrets": ["s"]}, "secret: wegroup signs nothing"),
        (UNSIGNED, {"recipe": {"algorithm": "md5"}}, "recipe: wegroup signs nothing"),
    ],
)
def test_what_does_not_fit_is_refused_whole(
    connection: Connection, vault: Vault, platform: Platform, given: dict[str, Any], text: str
) -> None:
    with pytest.raises(AccountError) as refused:
        store.add_source(connection, vault, platform, "a", **given)
    assert str(refused.value).startswith(text)
    assert store.list_sources(connection) == []
    assert _audited(connection) == []


def test_another_recipe_must_be_proven_anew(connection: Connection, vault: Vault) -> None:
    added = store.add_source(connection, vault, SIGNED, "a", secrets=["s"])
    version = _version(connection)
    assert not mark_recipe_proven(connection, added.id, {"algorithm": "another"})
    assert mark_recipe_proven(connection, added.id)
    assert not mark_recipe_proven(connection, added.id)
    assert _version(connection) != version
    assert read_accounts(connection, vault).sources[added.id].recipe_proven
    store.set_source(connection, vault, SIGNED, "a", recipe={}, mode=Mode.OBSERVE)
    assert read_accounts(connection, vault).sources[added.id].recipe_proven
    store.set_source(connection, vault, SIGNED, "a", recipe={"algorithm": "sha1"})
    assert not read_accounts(connection, vault).sources[added.id].recipe_proven


def test_set_replaces_what_is_given_and_leaves_the_rest(connection: Connection, vault: Vault) -> None:
    given = [("hash", "h"), ("b_token", "b1"), ("b_token", "b2")]
    added = store.add_source(connection, vault, SIGNED, "a", credentials=given, settings=[("base_url", "https://x")])
    store.set_source(connection, vault, SIGNED, "a", credentials=[("b_token", "b3")], settings=[("base_url", "")])
    source = read_accounts(connection, vault).sources[added.id]
    assert source.credentials == {"hash": ("h",), "b_token": ("b3",)}
    assert source.settings == {}
    store.set_source(connection, vault, SIGNED, "a", credentials=[("hash", "")])
    assert read_accounts(connection, vault).sources[added.id].credentials == {"b_token": ("b3",)}
    with pytest.raises(AccountError, match="enforce"):
        store.set_source(connection, vault, SIGNED, "a", mode=Mode.ENFORCE)
    with pytest.raises(AccountError, match="no source 'b'"):
        store.set_source(connection, vault, SIGNED, "b", mode=Mode.OFF)


def test_a_recipe_of_the_credential_hash_alone_needs_no_secret(connection: Connection, vault: Vault) -> None:
    platform = get_platform("thinksurance")
    recipe = {"parts": ["iId", "hash"]}
    with pytest.raises(AccountError, match="`enforce` needs the credential hash"):
        store.add_source(connection, vault, platform, "a", mode=Mode.ENFORCE, recipe=recipe)
    given = [("hash", "h")]
    added = store.add_source(connection, vault, platform, "a", mode=Mode.ENFORCE, recipe=recipe, credentials=given)
    assert read_accounts(connection, vault).sources[added.id].mode is Mode.ENFORCE
    changes: list[dict[str, Any]] = [
        {"credentials": [("hash", "")]},
        {"recipe": {"parts": ["iId", "hash", "secret"]}},
        {"recipe": {}},
    ]
    for change in changes:
        with pytest.raises(AccountError, match="`enforce` needs"):
            store.set_source(connection, vault, platform, "a", **change)
    store.set_source(connection, vault, platform, "a", settings=[("base_url", "https://x.example.test")])
    store.set_source(connection, vault, platform, "a", mode=Mode.OBSERVE, credentials=[("hash", "")])


def test_a_disabled_source_has_no_live_token_but_is_known(connection: Connection, vault: Vault) -> None:
    added = store.add_source(connection, vault, SIGNED, "a")
    store.disable_source(connection, "a")
    accounts = read_accounts(connection, vault)
    assert (list(accounts.sources), dict(accounts.tokens)) == ([added.id], {})
    since = store.show_source(connection, "a")["disabled_at"]
    store.disable_source(connection, "a")
    assert store.show_source(connection, "a")["disabled_at"] == since
    store.enable_source(connection, "a")
    assert list(read_accounts(connection, vault).tokens) == [sha256(added.token.token)]
    assert _audited(connection) == ["source.add", *["source.disable"] * 2, "source.enable"]


def test_tokens_live_side_by_side_until_revoked(connection: Connection, vault: Vault) -> None:
    first = store.add_source(connection, vault, SIGNED, "a").token
    second = parts.add_token(connection, vault, "a", "neu")
    third = parts.add_token(connection, vault, "a")
    assert third.label == "token-2"
    with pytest.raises(AccountError, match="label: the source has a token 'neu' already"):
        parts.add_token(connection, vault, "a", "neu")
    shown = parts.reveal_tokens(connection, vault, "a")
    assert [token.token for token in shown] == [first.token, second.token, third.token]
    assert parts.revoke_token(connection, "a", "neu") == second.id
    assert parts.revoke_token(connection, "a", str(first.id)) == first.id
    assert list(read_accounts(connection, vault).tokens) == [sha256(third.token)]
    with pytest.raises(AccountError, match="token: the source has no live token 'neu'"):
        parts.revoke_token(connection, "a", "neu")
    assert parts.add_token(connection, vault, "a", "neu").label == "neu"
    assert [row["revoked_at"] is None for row in parts.list_tokens(connection, "a")] == [False, False, True, True]
    assert parts.add_token(connection, vault, "a").label == "token-3", "the label of a revoked one is not given again"
    assert [token.label for token in parts.reveal_tokens(connection, vault, "a")] == ["token-2", "neu", "token-3"]


def test_tokens_of_single_submissions_are_not_shown(connection: Connection, vault: Vault) -> None:
    store.add_source(connection, vault, SIGNED, "a")
    with pytest.raises(AccountError, match="label: begins with 'submission-'"):
        parts.add_token(connection, vault, "a", " submission-1")
    connection.execute("UPDATE source_tokens SET label = 'submission-1'")
    assert parts.reveal_tokens(connection, vault, "a") == []


def test_a_token_of_another_source_is_not_revoked(connection: Connection, vault: Vault) -> None:
    token = store.add_source(connection, vault, SIGNED, "a").token
    store.add_source(connection, vault, SIGNED, "b")
    with pytest.raises(AccountError, match="no live token"):
        parts.revoke_token(connection, "b", str(token.id))


def test_the_last_secret_of_an_enforcing_source_stays(connection: Connection, vault: Vault) -> None:
    added = store.add_source(connection, vault, SIGNED, "a", secrets=["alt"])
    with pytest.raises(AccountError, match="it is the last one, and a is in mode `enforce`"):
        parts.revoke_secret(connection, "a", "secret-1")
    assert [row["revoked_at"] for row in parts.list_secrets(connection, "a")] == [None]
    with pytest.raises(AccountError, match="has it already"):
        parts.add_secret(connection, vault, "a", "alt")
    parts.add_secret(connection, vault, "a", "neu", "2026")
    parts.revoke_secret(connection, "a", "secret-1")
    known = read_accounts(connection, vault).sources[added.id].secrets
    assert [(secret.value, secret.revoked_at is None) for secret in known] == [("alt", False), ("neu", True)]
    store.set_source(connection, vault, SIGNED, "a", mode=Mode.OBSERVE)
    parts.revoke_secret(connection, "a", "2026")


def test_an_added_key_may_what_it_should(connection: Connection, vault: Vault) -> None:
    added = store.add_source(connection, vault, SIGNED, "a")
    end = datetime(2030, 1, 1, tzinfo=UTC)
    scopes = [Scope.READ_PERSONAL, Scope.READ]
    key = keys.add_key(connection, "dash", scopes, sources=["a"], brokers=["42", "42"], expires_at=end)
    open_key = keys.add_key(connection, "dash", [Scope.ADMIN])
    known = read_accounts(connection, vault).keys
    access = known[sha256(key.key)]
    assert (access.key_id, access.name, access.expires_at) == (key.id, "dash", end)
    assert access.scopes == {Scope.READ, Scope.READ_PERSONAL}
    assert (access.source_ids, access.brokers) == (frozenset({added.id}), frozenset({"42"}))
    assert (known[sha256(open_key.key)].source_ids, known[sha256(open_key.key)].brokers) == (None, None)
    assert [(row["sources"], row["brokers"]) for row in keys.list_keys(connection)] == [(["a"], ["42"]), (None, None)]


def test_a_wall_behind_which_nothing_is_stays_a_wall(connection: Connection, vault: Vault) -> None:
    key = keys.add_key(connection, "dash", [Scope.READ])
    connection.execute("UPDATE api_keys SET source_ids = '{}', brokers = '{}'")
    access = read_accounts(connection, vault).keys[sha256(key.key)]
    assert (access.source_ids, access.brokers) == (frozenset(), frozenset())


def test_a_scope_of_a_later_version_gives_nothing(connection: Connection, vault: Vault) -> None:
    key = keys.add_key(connection, "dash", [Scope.READ])
    connection.execute("UPDATE api_keys SET scopes = '{read,levitate}'")
    assert read_accounts(connection, vault).keys[sha256(key.key)].scopes == {Scope.READ}


def test_a_key_is_revoked_by_id_or_by_a_name_that_means_one(connection: Connection, vault: Vault) -> None:
    first, second = (keys.add_key(connection, "dash", [Scope.READ]) for _ in range(2))
    with pytest.raises(AccountError, match="several live keys are named 'dash'"):
        keys.revoke_key(connection, "dash")
    assert keys.revoke_key(connection, str(first.id).upper()) == first.id
    assert keys.revoke_key(connection, "dash") == second.id
    with pytest.raises(AccountError, match="no live key 'dash'"):
        keys.revoke_key(connection, "dash")
    assert read_accounts(connection, vault).keys == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"scopes": []}, "scope: at least one"),
        ({"scopes": [Scope.READ], "sources": ["nowhere"]}, "source: there is no source 'nowhere'"),
        ({"scopes": [Scope.READ], "sources": ["there", "nowhere"]}, "source: there is no source 'nowhere'"),
        ({"scopes": [Scope.READ], "brokers": [""]}, "broker: "),
        ({"scopes": [Scope.READ], "brokers": ["4\x00"]}, "broker: "),
        ({"name": " ", "scopes": [Scope.READ]}, "name: "),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    connection: Connection, vault: Vault, given: dict[str, Any], text: str
) -> None:
    store.add_source(connection, vault, SIGNED, "there")
    with pytest.raises(AccountError) as refused:
        keys.add_key(connection, **{"name": "dash", **given})
    assert str(refused.value).startswith(text)
    assert keys.list_keys(connection) == []


def test_ends_are_read_from_spans_dates_and_instants() -> None:
    moment = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert keys.parse_expiry("90d", moment, BERLIN) == moment + timedelta(days=90)
    assert keys.parse_expiry("12h", moment, BERLIN) == moment + timedelta(hours=12)
    assert keys.parse_expiry("2027-01-31", moment, BERLIN) == datetime(2027, 1, 30, 23, tzinfo=UTC)
    assert keys.parse_expiry("2026-06-01T15:00", moment, BERLIN) == datetime(2026, 6, 1, 13, tzinfo=UTC)
    assert keys.parse_expiry("2026-06-01T15:00:00Z", moment, BERLIN) == datetime(2026, 6, 1, 15, tzinfo=UTC)
    beyond = "9999-12-31T23:59:59-14:00"
    for text in ("", "90", "d", "-1d", "0d", "2026-05-31", "2026-13-01", "999999w9", "soon", beyond):
        with pytest.raises(AccountError, match=r"^expires: "):
            keys.parse_expiry(text, moment, BERLIN)
    with pytest.raises(AccountError, match=r"^expires: "):
        keys.parse_expiry("999999w", moment, BERLIN)


def test_each_change_is_noticed_and_each_refusal_is_not(connection: Connection, vault: Vault) -> None:
    store.add_source(connection, vault, SIGNED, "a", secrets=["s"])
    seen = {_version(connection)}
    for step in (
        lambda: store.set_source(connection, vault, SIGNED, "a", mode=Mode.OBSERVE),
        lambda: store.disable_source(connection, "a"),
        lambda: store.enable_source(connection, "a"),
        lambda: parts.add_token(connection, vault, "a"),
        lambda: parts.revoke_token(connection, "a", "token-2"),
        lambda: parts.add_secret(connection, vault, "a", "t"),
        lambda: parts.revoke_secret(connection, "a", "secret-2"),
        lambda: keys.add_key(connection, "k", [Scope.READ]),
        lambda: keys.revoke_key(connection, "k"),
    ):
        step()
        assert _version(connection) not in seen
        seen.add(_version(connection))
    with pytest.raises(AccountError):
        store.disable_source(connection, "b")
    assert _version(connection) in seen
