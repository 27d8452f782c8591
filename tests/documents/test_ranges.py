"""Ranges and conditions as RFC 9110 has them."""

import pytest

from app.documents.ranges import Span, UnsatisfiableError, find_span, is_known

TAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "if_range", "span"),
    [
        (None, None, None),
        ("bytes=0-0", None, Span(0, 0)),
        ("bytes=0-99", None, Span(0, 9)),
        ("bytes=4-", None, Span(4, 9)),
        ("Bytes = 4 - 6", None, Span(4, 6)),
        ("bytes=-3", None, Span(7, 9)),
        ("bytes=-99", None, Span(0, 9)),
        ("bytes=0-1", TAG, Span(0, 1)),
        ("bytes=0-1", '"other"', None),
        ("bytes=0-1", f"W/{TAG}", None),
        ("bytes=0-1", "Mon, 09 Mar 2026 12:00:00 GMT", None),
        ("bytes=6-4", None, None),
        ("bytes=0-1,3-4", None, None),
        ("bytes=-", None, None),
        ("bytes=a-b", None, None),
        ("lines=0-1", None, None),
        ("bytes=0-" + "9" * 400, None, None),
    ],
)
def test_which_bytes_are_meant(asked: str | None, if_range: str | None, span: Span | None) -> None:
    assert find_span(asked, if_range, TAG, 10) == span


@pytest.mark.parametrize(("asked", "size"), [("bytes=10-", 10), ("bytes=99-", 10), ("bytes=-0", 10), ("bytes=-1", 0)])
def test_what_is_not_there_cannot_be_had(asked: str, size: int) -> None:
    with pytest.raises(UnsatisfiableError):
        find_span(asked, None, TAG, size)


def test_what_the_caller_has() -> None:
    assert is_known(TAG, TAG)
    assert is_known(f'"x", W/{TAG}', TAG)
    assert is_known("*", TAG)
    assert not is_known('"x"', TAG)
    assert not is_known(None, TAG)
