"""Where values stand in a JSON text: checked against the reader itself."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.json_spans import Span, array_spans, object_spans

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(alphabet='ab{}[]",:\\ ü\n', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='ab",:{\\', max_size=3), inner),
    max_leaves=15,
)


def cut(raw: bytes, span: Span) -> bytes:
    return raw[span[0] : span[1]]


@settings(max_examples=40)
@given(st.dictionaries(st.text(alphabet='ab",:{\\', max_size=3), JSON_VALUES), st.sampled_from([None, 1]))
def test_members_of_an_object_are_found_as_written(value: dict[str, Any], indent: int | None) -> None:
    raw = json.dumps(value, indent=indent).encode()
    assert {name: orjson.loads(cut(raw, span)) for name, span in object_spans(raw).items()} == value


@settings(max_examples=40)
@given(st.lists(JSON_VALUES), st.sampled_from([None, 1]))
def test_elements_of_an_array_are_found_as_written(value: list[Any], indent: int | None) -> None:
    raw = json.dumps(value, indent=indent).encode()
    assert [orjson.loads(cut(raw, span)) for span in array_spans(raw)] == value


def test_bytes_are_those_that_were_sent() -> None:
    raw = b' {"a" : {"x":1.50, "y":"\\/\\u00fc"} ,"n": 02.0}'
    spans = object_spans(raw)
    assert cut(raw, spans["a"]) == b'{"x":1.50, "y":"\\/\\u00fc"}'
    inner = object_spans(raw, spans["a"])
    assert cut(raw, inner["x"]) == b"1.50"
    assert cut(raw, inner["y"]) == b'"\\/\\u00fc"'


def test_of_a_doubled_name_the_last_stands() -> None:
    raw = b'{"a":1,"a":2}'
    assert cut(raw, object_spans(raw)["a"]) == b"2"


@pytest.mark.parametrize("raw", [b"", b"1", b"[1]", b'"{}"', b"{}", b" "])
def test_what_is_no_object_has_no_members(raw: bytes) -> None:
    assert object_spans(raw) == {}


@pytest.mark.parametrize("raw", [b"", b"1", b'{"a":1}', b"[]", b" [ ] "])
def test_what_is_no_array_has_no_elements(raw: bytes) -> None:
    assert array_spans(raw) == []


def test_an_empty_span_has_nothing_even_before_an_object() -> None:
    assert object_spans(b'{"a":1}', (0, 0)) == {}


@given(st.binary(max_size=80))
def test_any_bytes_are_survived(raw: bytes) -> None:
    for span in (*object_spans(raw).values(), *array_spans(raw)):
        assert 0 <= span[0] <= span[1] <= len(raw)
