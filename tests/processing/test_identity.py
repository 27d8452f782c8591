"""Which keys name the same record depends on the set of items, not on their order."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.processing.identity import KEY_BYTES, Alias, Names, bounded_key

_KEYS = st.lists(st.sampled_from(["c:1", "c:2", "x:1", "x:2", "i:1", "i:2"]), min_size=1, max_size=3, unique=True)


def _names(mentions: Sequence[tuple[str, Sequence[str]]]) -> Names:
    names = Names()
    for order, keys in mentions:
        names.learn(keys, order)
    return names


def test_a_weaker_key_leads_to_the_stronger_one() -> None:
    names = _names([("1", ["x:1", "i:1"]), ("2", ["c:1", "x:1"])])
    assert [names.root(key) for key in ("i:1", "x:1", "c:1", "i:2")] == ["c:1", "c:1", "c:1", "i:2"]
    assert names.root_before("i:1") == "i:1"


def test_two_strong_keys_are_never_joined_and_the_first_to_say_so_decides() -> None:
    names = _names([("2", ["c:2", "x:1"]), ("1", ["c:1", "x:1"])])
    assert [names.root(key) for key in ("x:1", "c:1", "c:2")] == ["c:1", "c:1", "c:2"]


def test_keys_that_lead_in_a_circle_have_one_root() -> None:
    names = _names([("1", ["c:1", "c:2"]), ("2", ["c:2", "c:1"])])
    assert {names.root("c:1"), names.root("c:2")} == {"c:1"}


def test_a_long_chain_of_keys_is_walked_once() -> None:
    class Counted(dict[str, Alias]):
        looks = 0

        def get(self, key: str, default: Any = None) -> Any:
            Counted.looks += 1
            return super().get(key, default)

    length = 500
    names = Names(known=Counted({f"id:{n}": Alias(f"id:{n + 1}", str(n)) for n in range(length)}))
    for _ in range(3):
        for root in (names.root, names.root_before):
            assert {root(f"id:{number}") for number in range(length)} == {f"id:{length}"}
    assert Counted.looks == 2 * (length + 1)
    names.learn(["id:new", f"id:{length}"], "x")
    assert (names.root("id:0"), names.root_before("id:0")) == ("id:new", f"id:{length}")


@given(st.lists(_KEYS, max_size=6), st.randoms(use_true_random=False))
def test_the_roots_do_not_depend_on_the_order_of_the_items(keys: list[list[str]], random: Any) -> None:
    mentions = [(str(number), one) for number, one in enumerate(keys)]
    mixed = list(mentions)
    random.shuffle(mixed)
    every = {key for one in keys for key in one}
    assert {key: _names(mentions).root(key) for key in every} == {key: _names(mixed).root(key) for key in every}


@given(st.text(max_size=2000))
def test_a_key_fits_an_index_and_stays_itself_where_it_can(key: str) -> None:
    bounded = bounded_key(key)
    assert len(bounded.encode("utf-8", "replace")) <= KEY_BYTES
    assert (bounded == key) == (len(key.encode("utf-8", "replace")) <= KEY_BYTES)
