"""Form-encoded bodies that mean JSON."""

import json
from contextlib import suppress
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.form_fields import parse_body
from app.ingest.lenient_json import NotJsonError

FORM = "application/x-www-form-urlencoded; charset=UTF-8"


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", FORM])
def test_json_is_json_whatever_the_content_type_says(content_type: str) -> None:
    assert parse_body(b'{"a=b": 1}', content_type).value == {"a=b": 1}


@pytest.mark.parametrize("content_type", ["", "text/plain", FORM])
def test_a_field_may_hold_json(content_type: str) -> None:
    body = urlencode({"token": "abc", "payload": '{"data": {"iId": 7, "x": "a+b & ü"}}'}).encode()
    parsed = parse_body(body, content_type)
    assert parsed.value == {"data": {"iId": 7, "x": "a+b & ü"}}
    assert parsed.raw == '{"data": {"iId": 7, "x": "a+b & ü"}}'.encode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"meta[a]=1&payload={%22iId%22:7}", FORM),
        (b"payload=+%0A{%22iId%22:7}", FORM),
        (b"={%22iId%22:7}", "Application/X-WWW-Form-URLencoded"),
        (b"x" * 200 + b"={%22iId%22:7}", ""),
        (b"my+pay%2Dload[a-b].c={%22iId%22:7}", ""),
        (b"a={no&" * 19 + b"b={%22iId%22:7}", FORM),
    ],
)
def test_where_json_is_found(body: bytes, content_type: str) -> None:
    assert parse_body(body, content_type).value == {"iId": 7}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"data[iId]=7&data[x][y]=z&sHash=h", {"data": {"iId": "7", "x": {"y": "z"}}, "sHash": "h"}),
        (b"data%5BiId%5D=7", {"data": {"iId": "7"}}),
        (b"files[][hash]=a&files[][hash]=b", {"files": {"0": {"hash": "a"}, "1": {"hash": "b"}}}),
        (b"data[a]=M%FCller", {"data": {"a": "Müller"}}),
        (b"data[a]=x%00y", {"data": {"a": "x\ufffdy"}}),
        (b"a=1&a[b]=2", {"a": "1"}),
        (b"a[b]=1&a=2", {"a": "2"}),
        (b"a[b]", {"a": {"b": ""}}),
        (b"a[]=1&a[]=2", {"a": {"0": "1", "1": "2"}}),
        (b"data[a]=%80", {"data": {"a": "€"}}),
        (b"+data[iId]+=7&+b=8", {"data": {"iId": "7"}, "b": "8"}),
        (
            b"a" + b"[b]" * 19 + b"=1&a" + b"[c]" * 20 + b"=2",
            {"a": json.loads('{"b":' * 19 + '"1"' + "}" * 19)},
        ),
    ],
)
def test_bracketed_names_build_an_object(body: bytes, value: Any) -> None:
    assert parse_body(body, FORM).value == value


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"a=1&b=2", FORM),
        (b"a={oops", FORM),
        (b"hello world", ""),
        (b"<a href='x'>", ""),
        (b"", FORM),
        (b"$={%22iId%22:7}", ""),
        (b"a={no&" * 20 + b"b={%22iId%22:7}", FORM),
        (b"a[b]=1&" * 20_001, FORM),
        (b"a" + b"[b]" * 100_000 + b"=1&c=1", FORM),
    ],
)
def test_other_forms_are_not_json(body: bytes, content_type: str) -> None:
    with pytest.raises(NotJsonError):
        parse_body(body, content_type)


def test_twenty_thousand_fields_are_still_read() -> None:
    body = b"&".join(b"a[%d]=1" % number for number in range(20_000))
    assert len(parse_body(body, FORM).value["a"]) == 20_000


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(NotJsonError):
        parse_body(body, FORM)


@given(st.text(max_size=30).filter(lambda text: "\x00" not in text))
def test_values_come_back_as_they_were_encoded(text: str) -> None:
    body = f"data[x]={quote_plus(text)}".encode()
    assert parse_body(body, FORM).value == {"data": {"x": text}}
