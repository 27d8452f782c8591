"""The tolerant JSON reader: what orjson takes, what is mended with a note, and what is no JSON."""

import json
import math
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.contract import Warned
from app.ingest.lenient_json import MAX_DEPTH, Mended, NotJsonError, _needs_mending, notes_by_member, notes_under, parse

TOKEN = "cbt_" + "a" * 43

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


def nested(depth: int, core: str = "1") -> bytes:
    return ("[" * depth + core + "]" * depth).encode()


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, list) and value:
        depth, value = depth + 1, value[0]
    return depth


def storable(value: Any) -> bool:
    """Say whether jsonb and orjson take a value."""
    if isinstance(value, dict):
        return all(storable(name) and storable(child) for name, child in value.items())
    if isinstance(value, list):
        return all(map(storable, value))
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool) or -(1 << 63) <= value < 1 << 64


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        (b" 7 ", 7),
        (b'"\xc3\xbc"', "ü"),
        (b"18446744073709551615", (1 << 64) - 1),
        (b"-9223372036854775808", -(1 << 63)),
        (b'{"a": ":\\":", "b": "x\\":"}', {"a": ':":', "b": 'x":'}),
        (b"0.1000000000000000055511151231257827", 0.1),
        (nested(MAX_DEPTH), json.loads(nested(MAX_DEPTH))),
    ],
)
def test_well_formed_json_is_read_without_notes(body: bytes, value: Any) -> None:
    parsed = parse(body)
    assert parsed.value == value
    assert not parsed.notes
    assert parsed.raw == body


@pytest.mark.parametrize("body", [b'{"a": [1, {"b": 2}]}', b'{"a":{}}', b"[[], 5, -1.5e3]", b"7", nested(MAX_DEPTH)])
def test_well_formed_json_needs_no_slower_reader(body: bytes) -> None:
    assert not _needs_mending(body, orjson.loads(body))


@pytest.mark.parametrize("beside", ['[{"b": ":{["}]', '[{"b": [1]}, {}, []]'])
@pytest.mark.parametrize("times", [0, 1, MAX_DEPTH, 3 * MAX_DEPTH])
def test_a_doubled_name_is_found_beside_any_number_of_marks(beside: str, times: int) -> None:
    rest = f'"rest": [{", ".join([beside] * times)}]'
    once, twice = f'{{"a": 1, {rest}}}', f'{{"a": 1, {rest}, "a": 2}}'
    assert not parse(once.encode()).notes
    assert parse(twice.encode()).notes == [Mended((), "doubled-name")]


@pytest.mark.parametrize("container", ["[%s]", '{"a": %s}'])
def test_the_bound_of_nesting_is_met_exactly(container: str) -> None:
    for beside in ("", ', "[{"', ', {"b": 1}' * MAX_DEPTH):
        body = f'[{container}, "x"{beside}]' % "1"
        for _ in range(MAX_DEPTH - 2):
            body = container % body
        assert not _needs_mending(body.encode(), orjson.loads(body)), "200 levels"
        deeper = container % body
        assert _needs_mending(deeper.encode(), orjson.loads(deeper)), "201 levels"


@pytest.mark.parametrize(
    ("body", "value", "notes"),
    [
        (b"\xef\xbb\xbf[1]", [1], [((), "byte-order-mark")]),
        ('{"ä": 1}'.encode("utf-16"), {"ä": 1}, [((), "utf-16")]),
        ('{"ä": 1}'.encode("utf-16-le"), {"ä": 1}, [((), "utf-16")]),
        ('{"ä": 1}'.encode("utf-16-be"), {"ä": 1}, [((), "utf-16")]),
        ('{"ä": 1}'.encode("utf-32"), {"ä": 1}, [((), "utf-32")]),
        (b'["M\xfcller", "\x80"]', ["Müller", "€"], [((), "latin-1")]),
        (b'["M\xfcller\x81"]', ["Müller\x81"], [((), "latin-1")]),
        ('["Müller äöü '.encode() + b'\xff"]', ["Müller äöü \ufffd"], [((), "damaged-utf-8")]),
        (b'["\\ud800x"]', ["\ufffdx"], [(("0",), "lone-surrogate")]),
        (b'["\xed\xa0\xbd\xed\xb8\x80"]', ["\U0001f600"], [(("0",), "lone-surrogate")]),
        (b'{"a": {"b": "x\\u0000y"}}', {"a": {"b": "x\ufffdy"}}, [(("a", "b"), "nul-character")]),
        (b'{"a\\u0000": 1}', {"a\ufffd": 1}, [((), "nul-character")]),
        (b'["x\x00y"]', ["x\ufffdy"], [(("0",), "nul-character")]),
        (b'["two\nlines"]', ["two\nlines"], []),
        (b'{"n": 18446744073709551616}', {"n": "18446744073709551616"}, [(("n",), "number-as-text")]),
        (b'{"n": -9223372036854775809}', {"n": "-9223372036854775809"}, [(("n",), "number-as-text")]),
        (b"[NaN, -Infinity]", ["NaN", "-Infinity"], [(("0",), "number-as-text"), (("1",), "number-as-text")]),
        (b"[1e999]", ["1e999"], [(("0",), "number-as-text")]),
        (b"[" + b"9" * 400 + b"]", ["9" * 400], [(("0",), "number-as-text")]),
        (b"[1]\x00\x00", [1], [((), "padding")]),
        (b"\xa0[1]", [1], [((), "latin-1"), ((), "padding")]),
        (b'{"a": 1, "a": 2}', {"a": 2}, [((), "doubled-name")]),
        (b'{ "a" : 1, "a" : 2 }', {"a": 2}, [((), "doubled-name")]),
        (b'{"x": [{"a": 1, "a": 2}]}', {"x": [{"a": 2}]}, [(("x", "0"), "doubled-name")]),
    ],
)
def test_what_orjson_refuses_or_spoils_is_mended_with_a_note(
    body: bytes, value: Any, notes: list[tuple[tuple[str, ...], str]]
) -> None:
    parsed = parse(body)
    assert parsed.value == value
    assert list(parsed.notes) == [Mended(*note) for note in notes]
    assert storable(parsed.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"\x00\x00",
        b"\xff",
        b"{",
        b'{"a": 1,}',
        b"[1] x",
        b"[1][2]",
        b'{"a" 1}',
        b'{"vin": WBA1}',
        b"<html></html>",
        b'"open',
        b"[" * 100_000,
        b"'a'",
        b"[01]",
        b"\x89PNG\r\n\x1a\n\x00",
    ],
)
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        parse(body)


def test_containers_below_the_depth_become_their_text() -> None:
    parsed = parse(nested(MAX_DEPTH + 3, '"]"'))
    assert depth_of(parsed.value) == MAX_DEPTH
    core: Any = parsed.value
    while isinstance(core, list):
        core = core[0]
    assert core == '[[["]"]]]'
    assert parsed.notes == [Mended(("0",) * MAX_DEPTH, "too-deep")]
    orjson.dumps(parsed.value)


def test_the_deepest_value_costs_one_frame_a_level() -> None:
    """A receiver stands some hundred frames deep itself, and the interpreter stops at a thousand."""

    def below(frames: int) -> None:
        if frames:
            below(frames - 1)
        else:
            assert depth_of(parse(nested(MAX_DEPTH, "1e999")).value) == MAX_DEPTH

    below(500)


def test_deep_text_is_bounded() -> None:
    parsed = parse(nested(MAX_DEPTH + 1, '"' + "x" * 5000 + '"'))
    core: Any = parsed.value
    while isinstance(core, list):
        core = core[0]
    assert len(core) == 1000


def test_depth_counts_objects_too_and_only_along_one_way() -> None:
    chain = '{"a":' * 150 + "1" + "}" * 150
    side_by_side = f"[{chain},{chain}]".encode()
    assert not parse(side_by_side).notes


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(nested(100_000), id="100,000 levels"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="100,000 objects"),
        pytest.param(b'["' + b'\\"' * 500_000, id="escaped quotes without end"),
        pytest.param(b'"' * 1_000_001, id="quotes"),
        pytest.param(b"[" + b"9" * 1_000_000 + b"]", id="a million digits"),
        pytest.param(b"[0." + b"9" * 1_000_000 + b"]", id="a million decimals"),
        pytest.param(nested(MAX_DEPTH, "[]," * 50_000 + "1"), id="50,000 deep ones"),
        pytest.param(b'["' + b"\\ud800" * 150_000 + b'"]', id="150,000 surrogates"),
    ],
)
def test_hostile_bodies_cost_time_by_their_length_only(body: bytes) -> None:
    started = time.process_time()
    try:
        parsed = parse(body)
    except NotJsonError:
        pass
    else:
        assert storable(parsed.value)
    # A second is twenty times what they take; anything that grows with the square takes minutes.
    assert time.process_time() - started < 5


def test_notes_are_bounded() -> None:
    assert len(parse(b"[" + b"NaN," * 1000 + b"1]").notes) == 50


@settings(max_examples=50)
@given(JSON_VALUES)
def test_what_any_program_writes_is_read_and_can_be_stored(value: Any) -> None:
    parsed = parse(json.dumps(value).encode())
    assert storable(parsed.value)
    if storable(value):
        assert parsed.value == value
        assert not parsed.notes


@settings(max_examples=30)
@given(JSON_VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"]))
def test_every_encoding_gives_the_same_values(value: Any, encoding: str) -> None:
    text = json.dumps({"v": value})
    assert parse(text.encode(encoding)).value == parse(text.encode()).value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        parsed = parse(body)
    except NotJsonError:
        return
    assert storable(parsed.value)


@given(st.text(alphabet='[]{}",:\\u0019dNa.e- ', max_size=60))
def test_what_orjson_reads_is_read_the_same(text: str) -> None:
    try:
        expected = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    if storable(expected) and not any(len(run) > 18 for run in text.replace(".", " ").split()):
        assert parse(text.encode()).value == expected


def test_notes_are_found_for_a_part_of_the_body() -> None:
    notes = [Mended((), "latin-1"), Mended(("2", "data", "x"), "number-as-text"), Mended(("3",), "doubled-name")]
    assert notes_under(notes, ("2",)) == (Warned("", "latin-1"), Warned("data.x", "number-as-text"))
    general, by_member = notes_by_member(notes)
    assert general == (Warned("", "latin-1"),)
    assert by_member == {
        "2": (Warned("", "latin-1"), Warned("data.x", "number-as-text")),
        "3": (Warned("", "latin-1"), Warned("", "doubled-name")),
    }


def test_a_note_never_shows_a_token() -> None:
    notes = parse(b'{"' + TOKEN.encode() + b'": NaN}').notes
    assert notes_under(notes) == (Warned("cbt_" + "*" * 43, "number-as-text"),)
