"""What was judged at receipt, as bytes."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.answers import answer_for
from app.ingest.contract import Findings, Item, Mode, Reason, Secret, Source, Verdict
from app.ingest.judged import pack, unpack, worst_verdict


def source(mode: Mode = Mode.ENFORCE, *, proven: bool = False) -> Source:
    return Source(
        id=UUID(int=1),
        name="pool",
        provider="thinksurance",
        mode=mode,
        recipe={},
        recipe_proven=proven,
        secrets=(Secret("s", datetime(2026, 1, 1, tzinfo=UTC)),),
        credentials={},
        settings={},
    )


def item(verdict: Verdict, reason: Reason | None = None) -> Item:
    return Item(index=0, value={}, verdict=verdict, reason=reason)


@given(st.lists(st.tuples(st.sampled_from(Verdict), st.none() | st.sampled_from(Reason))))
def test_what_is_packed_comes_out(judged: list[tuple[Verdict, Reason | None]]) -> None:
    packed = pack([item(verdict, reason) for verdict, reason in judged])
    assert unpack(packed) == [(verdict, reason is not None) for verdict, reason in judged]


def test_the_worst_item_gives_the_verdict() -> None:
    found = Findings(items=[item(Verdict.VERIFIED), item(Verdict.INVALID), item(Verdict.UNSIGNED)])
    assert worst_verdict(found, Mode.OBSERVE) is Verdict.INVALID


@pytest.mark.parametrize(
    ("mode", "verdict"),
    [(Mode.OFF, Verdict.UNCHECKED), (Mode.OBSERVE, Verdict.UNSIGNED), (Mode.ENFORCE, Verdict.UNSIGNED)],
)
def test_without_items_the_mode_gives_the_verdict(mode: Mode, verdict: Verdict) -> None:
    assert worst_verdict(Findings(reason=Reason.NOT_JSON), mode) is verdict


WRONG = item(Verdict.INVALID, Reason.INVALID_SIGNATURE)
MISSING = item(Verdict.UNSIGNED, Reason.SIGNATURE_MISSING)
UNPROVEN = item(Verdict.INVALID, Reason.SIGNATURE_UNPROVEN)
UNUSABLE = item(Verdict.VERIFIED, Reason.UNUSABLE_ID)
UNUSABLE_WRONG = item(Verdict.INVALID, Reason.UNUSABLE_ID)
UNUSABLE_MISSING = item(Verdict.UNSIGNED, Reason.UNUSABLE_ID)
UNKNOWN = item(Verdict.UNSIGNED, Reason.UNKNOWN_SHAPE)
GOOD = item(Verdict.VERIFIED)


@pytest.mark.parametrize(
    ("items", "proven", "status", "reason"),
    [
        ([GOOD], True, 200, None),
        ([GOOD, WRONG, UNUSABLE], True, 200, None),
        ([WRONG], True, 401, Reason.INVALID_SIGNATURE),
        ([WRONG, MISSING], True, 401, Reason.INVALID_SIGNATURE),
        ([MISSING], True, 401, Reason.INVALID_SIGNATURE),
        ([WRONG], False, 202, Reason.SIGNATURE_UNPROVEN),
        ([UNPROVEN], False, 202, Reason.SIGNATURE_UNPROVEN),
        ([UNUSABLE, WRONG], True, 202, Reason.UNUSABLE_ID),
        ([UNUSABLE_WRONG, WRONG], True, 401, Reason.INVALID_SIGNATURE),
        ([UNUSABLE_MISSING, UNKNOWN, MISSING], True, 401, Reason.INVALID_SIGNATURE),
        ([UNUSABLE_WRONG], True, 401, Reason.INVALID_SIGNATURE),
        ([UNUSABLE_MISSING], True, 202, Reason.UNUSABLE_ID),
        ([UNUSABLE_WRONG, WRONG], False, 202, Reason.SIGNATURE_UNPROVEN),
        ([UNUSABLE_WRONG], False, 202, Reason.UNUSABLE_ID),
        ([], True, 202, Reason.NOTHING_IN_IT),
    ],
)
def test_the_answer_follows_from_the_items(
    items: list[Item], *, proven: bool, status: int, reason: Reason | None
) -> None:
    answer = answer_for(Findings(items=items), source(proven=proven))
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.accepted + answer.quarantined == len(items)


def test_a_notification_is_answered_empty() -> None:
    assert answer_for(Findings(items=[item(Verdict.UNSIGNED)], notification=True), source()).status == 204


def test_what_was_answered_once_is_answered_to_its_own_kind_alone() -> None:
    """Answers to single items are kept by all that they depend on."""
    accepted, unusable = [item(Verdict.UNSIGNED)], [item(Verdict.INVALID, Reason.UNUSABLE_ID)]
    for _ in range(2):
        assert answer_for(Findings(items=accepted), source()).status == 200
        assert answer_for(Findings(items=accepted, notification=True), source()).status == 204
        assert answer_for(Findings(items=unusable), source(Mode.OBSERVE, proven=True)).status == 202
        assert answer_for(Findings(items=unusable), source(proven=True)).status == 401


def test_without_items_the_reason_is_answered() -> None:
    answer = answer_for(Findings(reason=Reason.UNKNOWN_SHAPE), source())
    assert (answer.status, answer.reason) == (202, Reason.UNKNOWN_SHAPE)
