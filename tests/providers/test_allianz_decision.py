"""Shows what follows from an answer of Client Data, row by row, and how its answers are read."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.allianz.answers import ClientData, LeadAnswer, read_client_data, read_lead_answer
from app.providers.allianz.decision import TABLE, Action, Decision, decide

NIF = "12345678Z"
AGENT = "0098761"
GOOD: dict[str, Any] = {
    "agentId": AGENT,
    "client": True,
    "message": "Operation completed",
    "multiAcceso": True,
    "nif": NIF,
    "status": "OK",
    "partnerManage": True,
}


def read(**changed: Any) -> ClientData:
    """Return the answer with members changed; "absent" leaves one out."""
    return read_client_data({name: value for name, value in (GOOD | changed).items() if value != "absent"}, NIF)


# The rows of the dossier's table, each with a case of its own; the first is a call that brought nothing.
ROWS: list[tuple[dict[str, Any] | None, Decision]] = [
    (None, Decision(Action.RETRY_LATER, "client-data-not-reached")),
    ({"status": "KO"}, Decision(Action.REVIEW, "client-data-not-ok")),
    ({"status": "absent"}, Decision(Action.REVIEW, "client-data-not-ok")),
    ({}, Decision(Action.ALTA, "client-with-agent", "theirs", AGENT)),
    ({"client": False, "agentId": None}, Decision(Action.ALTA, "no-client", "ours")),
    ({"client": False}, Decision(Action.ALTA, "no-client", "ours")),
    ({"partnerManage": False}, Decision(Action.CLOSE, "handled-by-allianz")),
    ({"partnerManage": False, "client": False}, Decision(Action.CLOSE, "handled-by-allianz")),
    ({"partnerManage": False, "client": "absent"}, Decision(Action.CLOSE, "handled-by-allianz")),
    ({"partnerManage": "absent"}, Decision(Action.REVIEW, "partner-manage-unknown")),
    ({"partnerManage": "absent", "client": False}, Decision(Action.REVIEW, "partner-manage-unknown")),
    ({"agentId": "absent"}, Decision(Action.REVIEW, "client-without-agent")),
    ({"client": "absent"}, Decision(Action.REVIEW, "client-unknown")),
    ({"nif": "Y1234567X"}, Decision(Action.REVIEW, "other-nif")),
    ({"nif": "Y1234567X", "partnerManage": False}, Decision(Action.REVIEW, "other-nif")),
]


@pytest.mark.parametrize(("changed", "decision"), ROWS)
def test_each_row(changed: dict[str, Any] | None, decision: Decision) -> None:
    assert decide(None if changed is None else read(**changed)) == decision


def test_every_row_of_the_table_has_a_case() -> None:
    assert {row.reason for row in TABLE} == {decision.reason for _, decision in ROWS} - {"other-nif"}


def test_there_is_a_row_for_every_answer_and_an_alta_only_where_it_is_allowed() -> None:
    told: tuple[Any, ...] = (True, False, "absent")
    for status, manage, client, agent, access in product(("OK", "KO", "absent"), told, told, (AGENT, None), told):
        found = read(status=status, partnerManage=manage, client=client, agentId=agent, multiAcceso=access)
        allowed = status == "OK" and manage is True and (client is False or (client is True and agent is not None))
        decision = decide(found)
        assert (decision.action is Action.ALTA) == allowed
        assert decision.agent == (("theirs" if client else "ours") if allowed else None)
        assert decision.agent_id == (AGENT if decision.agent == "theirs" else None)


def test_the_kind_of_access_is_kept_and_changes_nothing() -> None:
    assert read(multiAcceso=False).multi_access is False
    assert decide(read(multiAcceso=False)) == decide(read(multiAcceso=True))


@pytest.mark.parametrize(("value", "known"), [("true", True), ("FALSE", False), (1, True), ("0", False), ("ja", None)])
def test_booleans_are_read_tolerantly(value: Any, known: bool | None) -> None:
    found = read(partnerManage=value, client=value, multiAcceso=value)
    assert (found.partner_manage, found.is_client, found.multi_access) == (known, known, known)


@pytest.mark.parametrize(
    ("value", "agent", "warnings"),
    [
        (98761, AGENT, ()),
        ("98761", AGENT, ()),
        (None, None, ()),
        ("", None, ()),
        ("0000000", None, ()),
        (0, None, ()),
        ("absent", None, ()),
        ("agent", None, ("agent-id-form",)),
        ("00987610", None, ("agent-id-form",)),
        ([AGENT], None, ()),
    ],
)
def test_agents_are_read_tolerantly(value: Any, agent: str | None, warnings: tuple[str, ...]) -> None:
    found = read(agentId=value)
    assert (found.agent_id, found.warnings) == (agent, warnings)


@pytest.mark.parametrize(("status", "known"), [("ok", "OK"), (" Ok ", "OK"), ("ko", "KO"), (None, None), (True, None)])
def test_the_status_is_read_without_case(status: Any, known: str | None) -> None:
    assert read(status=status).status == known


def test_the_echo_is_compared_without_case_and_may_be_missing() -> None:
    assert read(nif=NIF.lower()).nif_matches is True
    assert read(nif="absent").nif_matches is None
    assert decide(read(nif="absent")).action is Action.ALTA


def test_an_answer_may_lie_one_level_down() -> None:
    assert read_client_data({"result": GOOD, "code": 7}, NIF) == read()
    assert read_client_data({"status": "OK", "data": {"partnerManage": True}}, NIF).partner_manage is True
    assert read_lead_answer({"message": "x", "data": {"leadId": 7}}) == LeadAnswer("7", None, "x")
    assert read_lead_answer({"leadId": 900123.0, "idLanding": "007"}) == LeadAnswer("900123", "007", None)
    nothings: list[object] = [0, "0", "", None, False, 0.5, float("nan"), []]
    for nothing in nothings:
        assert read_lead_answer({"leadId": nothing, "message": "x"}) == LeadAnswer(None, None, "x")


def test_messages_are_in_no_repr() -> None:
    assert "Operation" not in repr(read())
    assert NIF not in repr(read())
    assert "Geheim" not in repr(read_lead_answer({"leadId": "1", "message": "Geheim"}))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*GOOD, "leadId", "idLanding", "data"]), inner, max_size=5)
    ),
    max_leaves=10,
)


@given(_JSON)
def test_no_answer_is_too_odd_to_be_read_and_decided(value: Any) -> None:
    assert decide(read_client_data(value, NIF)).action in Action
    assert read_lead_answer(value).lead_id != ""
