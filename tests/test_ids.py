"""Ids rise strictly, carry their time, and come out the same when they are derived again."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from app.ids import IdSource, derived_id, first_id_at, joined, time_of

_MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001


def test_ids_rise_also_when_the_clock_is_behind_the_last_one() -> None:
    ahead = first_id_at(datetime.now(UTC) + timedelta(days=400))
    source = IdSource(ahead)
    made = [ahead, *(source.next() for _ in range(5000))]
    assert made == sorted(set(made))
    assert {one.version for one in made[1:]} == {7}


def test_of_two_ids_found_the_higher_one_counts() -> None:
    ahead = first_id_at(datetime.now(UTC) + timedelta(days=400))
    source = IdSource()
    for found in (ahead, first_id_at(datetime.now(UTC))):
        source.not_behind(found)
    assert source.next() > ahead


def test_the_counter_carries_into_the_milliseconds() -> None:
    last = UUID(int=(5 << 80) | (0x7FFF << 64) | (0b10 << 62) | ((1 << 62) - 1))
    far = UUID(int=last.int + ((1 << 47) << 80))
    following = IdSource(far).next()
    assert following > far
    assert (following.version, following.variant) == (7, UUID(int=last.int).variant)
    assert following.int >> 80 == (far.int >> 80) + 1


def test_a_new_id_tells_its_time() -> None:
    before = datetime.now(UTC)
    told = time_of(IdSource().next())
    assert before - timedelta(milliseconds=2) <= told <= datetime.now(UTC)


@given(st.uuids(), st.integers(0, 10**6), st.integers(0, 10**6))
def test_derived_ids_are_the_same_for_the_same_names_and_keep_the_time(parent: UUID, one: int, other: int) -> None:
    derived = derived_id(parent, one)
    assert derived == derived_id(parent, one)
    assert (derived == derived_id(parent, other)) == (one == other)
    assert derived.version == 7
    assert derived.int >> 80 == parent.int >> 80


@given(st.integers(1, 3).flatmap(lambda count: st.sets(st.tuples(*[st.text('\x1f["], \\', max_size=4)] * count))))
@example({("a\x1fb", "c"), ("a", "b\x1fc"), ("a", "b\x1fc\x1fd"), ("a", ""), ("", '["a", "b"]')})
def test_no_two_lists_of_names_are_joined_to_one(lists: set[tuple[str, ...]]) -> None:
    assert len({joined(*names) for names in lists}) == len(lists)


@given(_MOMENTS)
@example(datetime(6326, 1, 1, 0, 0, 0, 20981, tzinfo=UTC))
def test_the_first_id_of_a_moment_bounds_all_of_it(moment: datetime) -> None:
    low = first_id_at(moment)
    assert timedelta(0) <= moment - time_of(low) < timedelta(milliseconds=1)


def test_an_id_that_names_no_time_there_is_has_the_last_one() -> None:
    assert time_of(UUID(int=(1 << 128) - 1)).year == 9999
