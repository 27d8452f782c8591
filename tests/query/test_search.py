"""Search: what is found and what is not, in which order, and within walls and scopes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select, text

from app.accounts.model import Access, Scope
from app.processing.folding import fold, words_in
from app.query.candidates import Wanted, forms_of, ranked_candidates
from app.query.common_words import CommonWords, is_common, rare_ones
from app.query.schemas.search import FoundPage
from app.storage.engine import open_read_engine
from app.storage.models import RECORDS, audit
from tests.query.conftest import Caller, Rows, World


def _found(caller: Caller, key: str, words: str, **more: str) -> list[tuple[str, str]]:
    rows = caller.found(key, "/v1/search", params={"q": words, **more})
    return [(row["kind"], row["id"]) for row in rows]


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("Brandt-Muster", {"customer", "document"}),
        ("brandt muster NELE", {"customer"}),
        ("nele@brandt-muster.example", {"customer"}),
        ("Brandt-Mueller", {"customer"}),
        ("brandt muller", {"customer"}),
        ("Köln", {"customer"}),
        ("koeln", {"customer"}),
        ("Bonn", {"customer"}),
        ("Lindenstrasse", {"customer"}),
        ("lindenstr", {"customer"}),
        ("301", {"customer"}),
        ("K-1", {"customer"}),
        ("A-1", {"customer", "inquiry"}),
        ("Betriebshaft", {"inquiry"}),
        ("Antrag.pdf", {"document"}),
        ("lead-1", {"lead"}),
        ("voorb", {"lead"}),
        ("ZZZSYNTHET2D00077", {"lead"}),
        ("P-889900", {"lead"}),
        ("PK-100", {"lead"}),
        ("crm-4711", {"lead"}),
        ("crm-1", {"lead"}),
        ("Gent", {"lead"}),
        ("Nele Gent", set()),
        ("rand", set()),
        ("city", set()),
    ],
)
def test_what_is_found(asking: Caller, world: World, words: str, kinds: set[str]) -> None:
    found = _found(asking, world.keys["by-source"], words)
    assert set(found) == {(kind, str(world.ids["inside"][kind])) for kind in kinds}


@pytest.mark.parametrize("key", ["full", "plain"])
def test_records_are_as_in_their_lists(asking: Caller, world: World, key: str) -> None:
    page = asking.get(world.keys[key], "/v1/search?q=A-1").json()
    FoundPage.model_validate(page)
    assert {row["kind"] for row in page["data"]} == {"customer", "inquiry"}
    for row in page["data"]:
        path = {"customer": "customers", "inquiry": "inquiries"}[row["kind"]]
        assert row["record"] == asking.get(world.keys[key], f"/v1/{path}/{row['id']}").json()
        assert row["score"] == 1.0


def test_hidden_text_finds_nothing(asking: Caller, world: World) -> None:
    ids = world.ids["inside"]
    for words in ("Brandt", "Nele", "Köln", "Antrag", "Voorbeeld", "ZZZSYNTHET2D00077", "889900", "crm-4711", "PK-100"):
        assert _found(asking, world.keys["plain"], words) == [], words
        assert _found(asking, world.keys["full"], words), words
    assert _found(asking, world.keys["plain"], "lead-1") == [("lead", str(ids["lead"]))]
    assert ("customer", str(ids["customer"])) in _found(asking, world.keys["plain"], "K-1")


def test_walls_hold(asking: Caller, world: World) -> None:
    inside = {str(one) for one in world.ids["inside"].values()}
    for key in ("by-source", "by-broker"):
        for words in ("Brandt", "A-1", "Voorbeeld", "Antrag", "2", "K-2", "lead-2"):
            assert {row_id for _, row_id in _found(asking, world.keys[key], words)} <= inside, (key, words)
        page = asking.get(world.keys[key], "/v1/search?q=A-1&kind=customer&limit=1").json()
        assert (len(page["data"]), page["next_cursor"]) == (1, None), "others have no part in pages either"
    assert _found(asking, world.keys["by-broker"], "Voorbeeld") == []


def test_who_fits_best_comes_first_and_pages_go_on(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    names = ["Mustermannhausen", "Muster", "Mustermann", "Must", "Beispiel"]
    ids = {name: str(rows.customer(source, 0, last_name=name)) for name in names}
    again = str(rows.customer(source, 5, last_name="Muster"))
    gone = rows.customer(source, 0, last_name="Muster", merged_into=rows.id_at(0))
    caller = open_caller()
    expected = [again, ids["Muster"], ids["Mustermann"], ids["Mustermannhausen"]]
    assert [row_id for _, row_id in _found(caller, key, "muster")] == expected
    assert str(gone) not in expected
    page = caller.get(key, "/v1/search?q=muster&limit=3")
    rest = caller.get(key, page.headers["link"].partition(">")[0][1:])
    assert [row["id"] for row in page.json()["data"] + rest.json()["data"]] == expected
    assert rest.json()["next_cursor"] is None
    cursor = page.json()["next_cursor"]
    assert caller.get(key, f"/v1/search?q=must&cursor={cursor}").json()["code"] == "cursor-invalid"
    other = rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=["B-1"])
    assert caller.get(other, f"/v1/search?q=muster&cursor={cursor}").json()["code"] == "cursor-invalid"


def test_ij_is_y_also_where_it_is_only_begun(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    made = str(rows.lead(source, 0, last_name="Dijkstra"))
    caller = open_caller()
    for words in ("di", "dij", "dyk", "Dijkstra", "DIJKS"):
        assert _found(caller, key, words) == [("lead", made)], words


def test_kinds_are_chosen(asking: Caller, world: World) -> None:
    found = _found(asking, world.keys["full"], "A-1", kind="inquiry,lead")
    assert {kind for kind, _ in found} == {"inquiry"}
    repeated = asking.found(world.keys["full"], "/v1/search?q=A-1&kind=inquiry&kind=lead&limit=500")
    assert [row["id"] for row in repeated] == [row_id for _, row_id in found]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "q"),
        ("?q=", "q"),
        ("?q=%20-%20", "q"),
        ("?q=%00", "q"),
        (f"?q={'a' * 201}", "q"),
        ("?q=a b c d e f g h i", "q"),
        ("?q=a&q=b", "q"),
        ("?q=a&kind=event", "kind"),
        ("?q=a&limit=0", "limit"),
        ("?q=a&limit=501", "limit"),
        ("?q=a&sort=b", "sort"),
        ("?q=a&cursor=b", "cursor"),
    ],
)
def test_what_it_does_not_take(asking: Caller, world: World, query: str, name: str) -> None:
    response = asking.get(world.keys["full"], f"/v1/search{query}")
    assert response.status_code == 422
    assert name in {error["name"] for error in response.json()["errors"]}
    assert asking.get(None, f"/v1/search{query}").status_code == 401


@pytest.mark.parametrize("words", ["'", "\\", "' | 'a", "a:*", "!a", "<->", "Müller's \\ & | ! ( )", "\u2028", "😀"])
def test_nothing_in_it_is_syntax(asking: Caller, world: World, words: str) -> None:
    response = asking.get(world.keys["full"], "/v1/search", params={"q": words})
    assert response.status_code in (200, 422)


def test_searching_is_noted_without_the_words(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    made = rows.customer(source, 0, last_name="Muster")
    caller = open_caller()
    caller.get(key, "/v1/search?q=muster")
    caller.get(rows.key(Scope.READ), "/v1/search?q=muster")
    entries = rows.connection.execute(select(audit.c.action, audit.c.detail)).all()
    assert [tuple(entry) for entry in entries] == [
        ("personal.read", {"resource": "search", "count": 1, "ids": [str(made)]})
    ]


@pytest.mark.parametrize("kind", ["inquiry", "customer", "document", "lead"])
def test_it_is_the_index_that_is_asked(rows: Rows, kind: str) -> None:
    rows.connection.exec_driver_sql("SET enable_seqscan = off")
    name = RECORDS[kind].name
    asked = f"EXPLAIN SELECT id FROM {name} WHERE words @@ to_tsquery('muster')"  # noqa: S608 - ours
    plan = "\n".join(row[0] for row in rows.connection.execute(text(asked)))
    assert f"ix_{name}_words" in plan


def test_a_hidden_word_does_not_raise_the_score(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    rows.customer(source, 0, external_id="Musterhaus", last_name="Muster")
    caller = open_caller()
    seeing, plain = rows.key(Scope.READ, Scope.READ_PERSONAL), rows.key(Scope.READ)
    scores = [caller.found(key, "/v1/search?q=muster")[0]["score"] for key in (seeing, plain)]
    assert scores == [1.0, 0.54]


def test_long_texts_do_not_refuse_the_record(rows: Rows) -> None:
    source = rows.source("s")
    for number, long in enumerate(("x" * 5000, "\ufdfa" * 12_000, "ä" * 3000, " ".join(map(str, range(200_000))))):
        rows.customer(source, number, last_name=long)
        rows.lead(source, number, insurance_policies=[{"policy_nr": long, "external_references": []}])


@pytest.mark.parametrize(
    ("one", "two"), [("Müller", "Mueller"), ("Straße", "STRASSE"), ("Øre", "ore"), ("Dijk", "dyk")]
)
def test_folding(one: str, two: str) -> None:
    assert words_in(one) == words_in(two) == (fold(two),)


def test_what_is_searched_may_stand_in_the_body(asking: Caller, world: World) -> None:
    headers = {"Authorization": f"Bearer {world.keys['full']}"}

    def post(**more: object) -> dict[str, object]:
        response = asking.client.post("/v1/search", headers=headers, **more)  # type: ignore[arg-type]  # its own
        assert "link" not in response.headers, "it would have the words in a URL"
        return dict(response.json(), http=response.status_code)

    found = post(json={"q": "Brandt", "kind": "customer", "limit": 1})
    listed = asking.get(world.keys["full"], "/v1/search?q=Brandt&kind=customer&limit=1").json()
    assert found["data"] == listed["data"]
    following = post(json={"q": "Brandt", "kind": "customer", "limit": 1, "cursor": found["next_cursor"]})
    assert following["data"]
    assert following["data"] != found["data"]
    bad: tuple[dict[str, object], ...] = (
        {"content": b"{"},
        {"json": []},
        {"json": {"q": {}}},
        {"json": {"q": None}},
        {"json": {"x": 1}},
        {"content": b"x" * 70_000},
        {"json": {"q": "a"}, "params": {"limit": "5"}},
    )
    for more in bad:
        assert post(**more)["http"] == 422, more
    assert asking.client.post("/v1/search", json={"q": "a"}).status_code == 401


def test_a_page_is_full_also_where_a_kind_alone_would_do(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    wegroup = rows.source("w", "wegroup")
    customers = [str(rows.customer(source, number, last_name="Muster")) for number in range(51)]
    leads = [str(rows.lead(wegroup, 100 + number, last_name="Muster")) for number in range(3)]
    # Those that fit as well are weighed by and by, of each kind 25 at first.
    expected = [*reversed(customers[:25]), *reversed(customers[25:50]), *reversed(leads)]
    caller = open_caller()
    for limit in (20, 50, 100):
        found: list[str] = []
        path: str | None = f"/v1/search?q=muster&limit={limit}"
        while path:
            page = caller.get(key, path)
            found += [row["id"] for row in page.json()["data"]]
            path = page.headers["link"].partition(">")[0][1:] if "link" in page.headers else None
        assert found == expected, limit


def test_words_that_many_have_are_found_the_same(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, other = rows.source("s"), rows.source("t")
    seeing = rows.key(Scope.READ, Scope.READ_PERSONAL)
    walled = rows.key(Scope.READ, Scope.READ_PERSONAL, source_ids=[other])
    for number in range(120):
        rows.customer(source, number, last_name="Beispiel", email=f"nele.{number}@muster.example")
    inside = str(rows.customer(other, 200, last_name="Beispielhaus", email="lotte@muster.example"))
    rows.customer(other, 201, last_name="Beispielhof", email="lotte@anderswo.example")

    def answers() -> list[list[tuple[str, str]]]:
        caller = open_caller()
        words = ("beispiel", "beisp", "muster", "must", "must beispielh", "nele.7@muster.exam", "lotte@muster.example")
        return [_found(caller, key, one, limit="100") for key in (seeing, walled) for one in words]

    before = answers()
    assert [len(found) for found in before] == [50, 50, 50, 50, 1, 1, 1, 2, 2, 1, 1, 1, 0, 1]
    assert before[4] == [("customer", inside)]
    rows.connection.exec_driver_sql("ANALYZE customers")
    rows.connection.commit()
    common = "SELECT count(*) FROM pg_stats, unnest(most_common_elems::text::text[]) AS one WHERE one = 'muster'"
    assert rows.connection.execute(text(common)).scalar_one() == 1
    assert answers() == before


@pytest.mark.parametrize(
    ("words", "begun", "common", "rare"),
    [
        ("muster", False, True, ["muster"]),
        ("must", False, False, ["must"]),
        ("must", True, True, ["must"]),
        ("m", True, False, ["m"]),
        ("haus beispiel", False, False, ["haus", "beispiel"]),
        ("muster haus", False, True, ["haus"]),
        ("muster selten", True, False, ["selten"]),
        ("must haus offen", True, False, ["haus", "offen"]),
        ("bei haus offen selten", True, False, ["selten"]),
        ("haus klein", True, False, ["klein"]),
        ("beispiel klein", True, False, ["beispiel", "klein"]),
        ("beispiel 80", True, False, ["beispiel", "80"]),
        ("beispiel 8033", True, False, ["8033"]),
    ],
)
def test_which_words_many_have(words: str, begun: bool, common: bool, rare: list[str]) -> None:
    known = {"customers": {"muster": 0.6, ".offen": 0.2, "haus": 0.3, "beispiel": 0.15, "klein": 0.02}}
    access = Access(UUID(int=1), "key", frozenset({Scope.READ, Scope.READ_PERSONAL}))
    forms = forms_of(words.split(), access, begun=begun)
    assert is_common(forms, known["customers"]) is common
    assert rare_ones(forms, known) == forms_of(rare, access, begun=begun)
    plain = replace(access, scopes=frozenset({Scope.READ}))
    assert not is_common(forms_of(["muster"], plain, begun=begun), known["customers"])


def test_the_ways_of_the_database_are_as_before(database_url: str) -> None:
    wanted, access = Wanted.of("muster", ("customer",)), Access(UUID(int=1), "key", frozenset({Scope.READ}))

    async def search() -> tuple[str, str]:
        engine = open_read_engine(database_url, pool_size=1)
        async with engine.connect() as connection:
            assert await ranked_candidates(connection, wanted, 20, CommonWords(), access) == []
            ways = "SELECT current_setting('enable_seqscan'), current_setting('enable_indexscan')"
            found = tuple((await connection.exec_driver_sql(ways)).one())
        await engine.dispose()
        return str(found[0]), str(found[1])

    assert asyncio.run(search()) == ("on", "on")
