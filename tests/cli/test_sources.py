"""`sources ...` and `keys ...`: the shapes that outside programs rely on, and where secrets may come from."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.accounts.model import Mode, Scope
from app.accounts.snapshot import read_accounts
from app.accounts.writing import Connection
from app.crypto import Vault, sha256

if TYPE_CHECKING:
    from tests.cli.conftest import Run

URL = re.compile(r"https://hooks\.example\.test/callbacks/(thinksurance|wegroup)/(cbt_[A-Za-z0-9_-]{43})")


def test_a_source_is_added_as_the_contract_says(run: "Run", connection: Connection, vault: Vault) -> None:
    ran = run(
        *("sources", "add", "thinksurance", "pool-nord", "--secret", "eins", "--secret", "zwei", "--mode", "observe"),
        *("--recipe", '{"algorithm": "sha1"}', "--credential", "hash=a=b", "--credential", "b_token=1"),
        *("--credential", "b_token=2", "--setting", "base_url=https://ipn.example.test", "--json"),
    )
    assert (ran.code, ran.err) == (0, "")
    assert {"id", "name", "provider", "callback_url"} <= set(ran.json)
    found = URL.fullmatch(ran.json["callback_url"])
    assert found
    token = read_accounts(connection, vault).tokens[sha256(found[2])]
    source = token.source
    assert (str(source.id), source.name, source.provider) == (ran.json["id"], "pool-nord", "thinksurance")
    assert source.mode is Mode.OBSERVE
    assert source.recipe == {"algorithm": "sha1"}
    assert [secret.value for secret in source.secrets] == ["eins", "zwei"]
    assert source.credentials == {"hash": ("a=b",), "b_token": ("1", "2")}
    assert source.settings == {"base_url": "https://ipn.example.test"}


def test_secrets_come_from_elsewhere(run: "Run", connection: Connection, vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "geheim").write_text(" aus der Datei \n")
    given = ("--secret", "@geheim", "--secret", "-", "--secret", "@@at", "--credential", "hash=@geheim")
    assert run("sources", "add", "thinksurance", "a", *given, "--json", given="von der Eingabe\r\n").code == 0
    (source,) = read_accounts(connection, vault).sources.values()
    assert [secret.value for secret in source.secrets] == [" aus der Datei ", "von der Eingabe", "@at"]
    assert source.credentials == {"hash": (" aus der Datei ",)}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("thinksurance", "A"), "name: must be"),
        (("teksurance", "a"), "provider: there is no 'teksurance'; known are: thinksurance, wegroup"),
        (("thinksurance", "a", "--mode", "enforce"), "mode: `enforce` needs a secret"),
        (("thinksurance", "a", "--recipe", "{"), "recipe: is not JSON"),
        (("thinksurance", "a", "--recipe", "[]"), "recipe: must be a JSON object"),
        (("thinksurance", "a", "--recipe", '{"algorithm": "crc"}'), "recipe.algorithm: is one of md5"),
        (("thinksurance", "a", "--secret", "@nowhere"), "secret: nowhere: No such file or directory"),
        (
            ("thinksurance", "a", "--secret", "-", "--credential", "hash=-"),
            "secret: standard input gives one value only",
        ),
        (("thinksurance", "a", "--credential", "hash"), "credential number 1: must be KEY=VALUE"),
        (("thinksurance", "a", "--credential", "hash=@/dev/null"), "credential hash: nothing was given"),
        (("thinksurance", "a", "--credential", "geheim=1"), "credential: thinksurance has no 'geheim'"),
        (("wegroup", "a", "--secret", "s"), "secret: wegroup signs nothing"),
        (("wegroup", "a", "--setting", "own_tokens=yes"), "setting: own_tokens is neither `on` nor `off`"),
        (("wegroup", "a", "--setting", "overdue_after=48"), "setting: overdue_after is no period such as 30m, 48h or"),
        (("thinksurance", "a", "--setting", "overdue_after=0h"), "setting: overdue_after is no period"),
        (("thinksurance", "a", "--setting", "own_tokens=on"), "setting: thinksurance has no 'own_tokens'"),
        (("allianz", "a", "--setting", "overdue_after=48h"), "setting: allianz has no 'overdue_after'"),
    ],
)
def test_what_is_wrong_is_named(run: "Run", words: tuple[str, ...], reason: str) -> None:
    ran = run("sources", "add", *words, "--json", given="x\n")
    assert ran.code == 1
    assert ran.error.startswith(reason)
    assert run("sources", "list", "--json").json == {"data": []}


@pytest.mark.parametrize(
    "words",
    [
        ("sources", "add", "thinksurance"),
        ("sources", "add", "thinksurance", "a", "--mode", "strict"),
        ("sources", "set", "a"),
        ("sources", "secret", "add", "a"),
        ("keys", "add", "k"),
        ("keys", "add", "k", "--scope", "all"),
        ("nothing",),
        ("sources", "--nothing"),
        ("replay", "abc"),
    ],
)
def test_what_is_not_understood_ends_with_2(run: "Run", words: tuple[str, ...]) -> None:
    ran = run(*words, "--json")
    assert ran.code == 2
    assert ran.error
    assert run(*words).code == 2


def test_a_value_that_is_none_of_a_list_is_told_in_plain_words(run: "Run") -> None:
    words = ("keys", "add", "k", "--scope", "all")
    reason = "Invalid value for '--scope': 'all' is not one of 'read', 'read:personal', 'write', 'admin'."
    assert run(*words, "--json").error == reason
    assert f"Error: {reason}" in run(*words).err


def test_tokens_and_secrets_are_rotated(run: "Run") -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "alt")
    token = run("sources", "token", "add", "a", "--label", "neu", "--json").json
    assert URL.fullmatch(token["callback_url"])
    urls = run("sources", "url", "a", "--json").json
    assert [one["label"] for one in urls["urls"]] == ["token-1", "neu"]
    assert urls["callback_url"] == urls["urls"][1]["callback_url"] == token["callback_url"]
    assert run("sources", "token", "revoke", "a", "token-1", "--json").code == 0
    assert [row["revoked_at"] is None for row in run("sources", "token", "list", "a", "--json").json["data"]] == [
        False,
        True,
    ]
    assert "it is the last one" in run("sources", "secret", "revoke", "a", "secret-1", "--json").error
    assert run("sources", "secret", "add", "a", "-", "--label", "2026", "--json", given="neu\n").json["label"] == "2026"
    assert run("sources", "secret", "revoke", "a", "secret-1", "--json").code == 0
    listed = run("sources", "secret", "list", "a", "--json").json["data"]
    assert [(row["label"], row["revoked_at"] is None) for row in listed] == [("secret-1", False), ("2026", True)]


def test_showing_urls_is_audited(run: "Run", connection: Connection) -> None:
    run("sources", "add", "wegroup", "a")
    run("sources", "url", "a")
    rows = connection.execute("SELECT actor, action, detail->>'source' FROM audit ORDER BY id").fetchall()
    assert rows == [("cli", "source.add", "a"), ("cli", "source.url", "a")]


def test_show_tells_everything_but_secrets(run: "Run") -> None:
    words = (
        "--secret",
        "sehr-geheim",
        "--credential",
        "hash=auch-geheim",
        "--setting",
        "base_url=https://x.example.test",
    )
    url = run("sources", "add", "thinksurance", "a", *words, "--json").json["callback_url"]
    for ran in (run("sources", "show", "a", "--json"), run("sources", "show", "a"), run("sources", "list")):
        assert ran.code == 0
        for hidden in ("sehr-geheim", "auch-geheim", url.rpartition("/")[2]):
            assert hidden not in ran.out + ran.err
    shown = run("sources", "show", "a", "--json").json
    assert shown["settings"] == {"base_url": "https://x.example.test"}
    assert [(one["name"], one["values"]) for one in shown["credentials"]] == [("hash", 1)]
    assert {"a_token", "b_token", "hash", "secret", "sender_password"} <= set(shown["accepts"]["credentials"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["created_at"])


def test_a_source_is_changed_and_switched(run: "Run") -> None:
    run("sources", "add", "wegroup", "a")
    changed = run("sources", "set", "a", "--mode", "off", "--setting", "distribution_id=d", "--json").json
    assert (changed["mode"], changed["settings"]) == ("off", {"distribution_id": "d"})
    assert run("sources", "disable", "a", "--json").json["disabled_at"] is not None
    assert "404" in run("sources", "url", "a").out
    assert run("sources", "enable", "a", "--json").json["disabled_at"] is None
    assert run("sources", "set", "b", "--mode", "off", "--json").error == "name: there is no source 'b'"


def test_settings_are_checked_when_they_are_set(run: "Run") -> None:
    run("sources", "add", "wegroup", "a", "--setting", "own_tokens=on", "--setting", "overdue_after=30m")
    assert run("sources", "set", "a", "--setting", "own_tokens=On", "--json").error.startswith("setting: own_tokens is")
    assert "48h" in run("sources", "set", "a", "--setting", "overdue_after=two days", "--json").error
    changed = run("sources", "set", "a", "--setting", "own_tokens=off", "--setting", "overdue_after=", "--json").json
    assert changed["settings"] == {"own_tokens": "off"}


def test_a_platform_that_calls_nobody_has_no_url(run: "Run", connection: Connection) -> None:
    added = run("sources", "add", "allianz", "az", "--setting", "base_url=https://az.example.test", "--json")
    assert (added.code, added.json["callback_url"]) == (0, None)
    assert {"id", "name", "provider", "callback_url"} <= set(added.json)
    shown = run("sources", "url", "az", "--json").json
    assert (shown["callback_url"], shown["urls"]) == (None, [])
    assert "calls nobody" in run("sources", "token", "add", "az", "--json").error
    assert "calls nobody" in run("simulate", "--source", "az", "--json").error
    assert "calls nobody" in run("import", "--source", "az", __file__, "--json").error
    run("sources", "disable", "az")
    for ran in (run("sources", "add", "allianz", "az-2"), run("sources", "url", "az"), run("sources", "url", "az-2")):
        assert "Allianz calls nobody" in ran.out
        assert "/callbacks/" not in ran.out
    assert connection.execute("SELECT 1 FROM audit WHERE action = 'source.url'").fetchall() == []


def test_a_key_is_added_as_the_contract_says(run: "Run", connection: Connection, vault: Vault) -> None:
    source = run("sources", "add", "wegroup", "a", "--json").json
    words = ("--scope", "read", "--scope", "read:personal", "--source", "a", "--broker", "42", "--expires", "90d")
    added = run("keys", "add", "Dash Board", *words, "--json").json
    assert {"id", "key"} <= set(added)
    access = read_accounts(connection, vault).keys[sha256(added["key"])]
    assert (str(access.key_id), access.name) == (added["id"], "Dash Board")
    assert access.scopes == frozenset({Scope.READ, Scope.READ_PERSONAL})
    assert access.source_ids
    assert [str(one) for one in access.source_ids] == [source["id"]]
    assert access.brokers == frozenset({"42"})
    assert access.expires_at is not None
    listed = run("keys", "list", "--json").json["data"]
    assert listed[0]["sources"] == ["a"]
    assert added["key"] not in run("keys", "list").out
    assert run("keys", "revoke", added["id"], "--json").json["revoked"] is True
    assert read_accounts(connection, vault).keys == {}
    assert run("keys", "add", " ", "--scope", "read", "--json").error.startswith("name: ")


def test_create_is_add(run: "Run") -> None:
    assert run("keys", "create", "k", "--scope", "admin", "--json").json["scopes"] == ["admin"]
    assert run("keys", "create", "k", "--scope", "read", "--expires", "1999-01-01", "--json").error.startswith(
        "expires: "
    )


def test_how_soon_a_secret_is_revoked_is_told(run: "Run") -> None:
    assert "next five seconds" in " ".join(run("sources", "secret", "revoke", "--help").out.split())
