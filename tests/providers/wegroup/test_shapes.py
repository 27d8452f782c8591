"""The forms a lead webhook may have, and which lead is found in each."""

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from app.ingest.contract import Findings, Mode, Reason, Verdict, Warned
from app.providers import wegroup

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

ID = "3f0c9b1e-6a5d-4e8b-9c27-1d4f8a6b7c05"
OTHER = "8d2b4c6e-7777-4a1b-8c3d-5e6f7a8b9c06"


def find(bench: "Bench", body: Any, **settings: str) -> Findings:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wegroup.find(sent, "application/json", bench.source("wegroup", settings=settings), bench.now)


SAMPLES = {
    "created-customer.json": ["lead/ref:leadhub:L-000417"],
    "created-company.json": ["lead/ref:leadhub:L-000418"],
    "form-a.json": [f"lead/{ID}"],
    "form-b.json": [f"lead/{ID}"],
    "form-b-list.json": [f"lead/{ID}", f"lead/{OTHER}"],
    "form-c.json": [f"lead/{ID}"],
    "form-d.json": [f"lead/{ID}"],
    "form-e.json": [f"lead/{ID}", f"lead/{OTHER}"],
    "form-f.json": Reason.UNKNOWN_SHAPE,
    "without-id.json": [None],
    "validation-error.json": Reason.UNKNOWN_SHAPE,
    "documented-curl-body.txt": Reason.NOT_JSON,
    "empty-body.json": Reason.NOTHING_IN_IT,
    "empty-array.json": Reason.NOTHING_IN_IT,
}


@pytest.mark.parametrize(("name", "expected"), SAMPLES.items())
def test_samples(name: str, expected: Any, bench: "Bench") -> None:
    found = find(bench, bench.sample("wegroup", name))
    assert (found.reason or [item.reason or item.subject for item in found.items]) == expected
    assert not found.notification
    assert {item.verdict for item in found.items} <= {Verdict.UNSIGNED}


def test_every_sample_is_expected(bench: "Bench") -> None:
    assert set(SAMPLES) == set(bench.samples("wegroup"))


def test_nothing_is_checked_in_mode_off_nor_refused_in_enforce(bench: "Bench") -> None:
    for mode, verdict in ((Mode.OFF, Verdict.UNCHECKED), (Mode.ENFORCE, Verdict.UNSIGNED)):
        source = bench.source("wegroup", mode, recipe_proven=True)
        (item,) = wegroup.find(b'{"id": "x"}', "", source, bench.now).items
        assert (item.verdict, item.reason) == (verdict, None)


@pytest.mark.parametrize("name", ["data", "payload", "lead", "party", "object", "resource", "body"])
def test_every_envelope_is_opened(name: str, bench: "Bench") -> None:
    (item,) = find(bench, {"id": "evt-1", name: {"prospect": {"id": ID}}}).items
    assert item.subject == f"lead/{ID}"


@pytest.mark.parametrize(("levels", "opened"), [(1, True), (3, True), (4, False)])
def test_at_most_three_envelopes_are_opened(levels: int, opened: bool, bench: "Bench") -> None:
    body: Any = {"prospect": {"id": ID}}
    for _ in range(levels):
        body = {"data": body}
    found = find(bench, body)
    assert (found.reason is None) == opened


@pytest.mark.parametrize(
    ("body", "subject"),
    [
        ({"first_name": "M", "id": "x"}, "lead/x"),
        ({"last_name": "V", "id": "x"}, "lead/x"),
        ({"risk_objects": {}, "id": "x"}, "lead/x"),
        ({"insurance_policies": [], "id": "x"}, "lead/x"),
        ({"policy_packages": [], "id": "x"}, "lead/x"),
        ({"callbacks": [], "id": "x"}, "lead/x"),
        ({"name": "Bakkerij", "id": 77}, "lead/77"),
        ({"name": "Bakkerij", "external_ref": "L-1"}, "lead/ref:callbox:L-1"),
        ({"id": "x"}, "lead/x"),
        ({"lead_id": "x"}, "lead/x"),
        ({"prospect_id": "x"}, "lead/x"),
        ({"party_id": "x"}, "lead/x"),
        ({"external_ref": {"external_ref": "L-1", "external_ref_company": "leadhub"}}, "lead/ref:leadhub:L-1"),
        ({"external_refs": [{"company": "leadhub", "ref": "L-1"}]}, "lead/ref:leadhub:L-1"),
    ],
)
def test_parties_and_thin_notices(body: Any, subject: str, bench: "Bench") -> None:
    assert [item.subject for item in find(bench, body).items] == [subject]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "lead.updated"},
        {"type": "x", "event": "y"},
        {"id": None},
        {"id": ""},
        {"id": {"x": 1}},
        {"prospect": "x"},
        {"data": {"hello": "world"}},
        {"id": "evt-1", "data": {"hello": "world"}},
        [{"hello": "world"}],
        {"data": []},
        [[[[{"id": "x"}]]]],
    ],
)
def test_other_objects_are_of_unknown_shape(body: Any, bench: "Bench") -> None:
    assert find(bench, body).reason is Reason.UNKNOWN_SHAPE


def test_an_envelope_without_a_lead_inside_can_name_one_itself(bench: "Bench") -> None:
    (item,) = find(bench, {"id": "evt-1", "lead_id": ID, "data": {"changed": ["email"]}}).items
    assert item.subject == f"lead/{ID}"
    (item,) = find(bench, {"event": "lead.updated", "lead_id": ID, "data": {"first_name": "M"}}).items
    assert item.subject == f"lead/{ID}"


@pytest.mark.parametrize(
    ("body", "lead_id", "party_id"),
    [
        ({"id": "L", "prospect": {"id": "P"}}, "L", "P"),
        ({"id": "L", "lead_id": "M", "prospect": {}}, "L", None),
        ({"lead_id": "L", "prospect": {"id": "P"}}, "L", "P"),
        ({"prospect_id": "P", "prospect": {}}, None, "P"),
        ({"prospect": {"id": "P"}}, None, "P"),
        ({"party_id": "P", "event_type": "updated"}, None, "P"),
        ({"id": "P", "prospect": {"id": "P"}}, "P", "P"),
        ({"id": "P", "lead_id": "L", "first_name": "M"}, "L", "P"),
        ({"id": "L", "first_name": "M"}, "L", None),
        ({"id": "evt", "lead_id": "L"}, "L", None),
        ({"lead_id": "L", "party_id": "P"}, "L", "P"),
        ({"id": ID.upper(), "first_name": "M"}, ID, None),
        ({"id": 77, "first_name": "M"}, "77", None),
        ({"id": True, "lead_id": "L", "first_name": "M"}, "L", None),
        ({"lead_id": "E", "data": {"id": "L", "prospect": {}}}, "L", None),
        ({"lead_id": "L", "data": {"first_name": "M"}}, "L", None),
        ({"party_id": "P", "data": {"first_name": "M"}}, None, "P"),
    ],
)
def test_which_id_is_the_leads(body: Any, lead_id: str | None, party_id: str | None, bench: "Bench") -> None:
    (statement,) = bench.read("wegroup", json.dumps(body).encode())
    (part,) = statement.parts
    assert (part.fields.get("lead_id"), part.fields.get("party_id")) == (lead_id, party_id)
    assert statement.subject == f"lead/{lead_id or party_id}"
    expected = dict.fromkeys(f"id:{one.lower()}" for one in (lead_id, party_id) if one)
    assert part.keys == tuple(expected)


def test_in_a_list_the_strange_ones_are_quarantined_alone(bench: "Bench") -> None:
    found = find(bench, [{"id": "a"}, {"hello": "world"}, 5, {"id": "b"}])
    assert [item.subject for item in found.items] == ["lead/a", None, None, "lead/b"]
    assert [item.reason for item in found.items] == [None, Reason.UNKNOWN_SHAPE, Reason.UNKNOWN_SHAPE, None]
    assert [item.index for item in found.items] == [0, 1, 2, 3]
    assert found.items[1].value == {"hello": "world"}


def test_each_lead_of_a_list_keeps_what_the_envelope_says(bench: "Bench") -> None:
    body = {"event": "x", "huge": "y" * 1000, "more": {"a": 1}, "data": [{"id": "a"}, {"id": "b"}]}
    assert [item.value for item in find(bench, body).items] == [
        {"event": "x", "data": {"id": "a"}},
        {"event": "x", "data": {"id": "b"}},
    ]
    alone = {"event": "x", "more": {"a": 1}, "data": {"id": "a"}}
    assert find(bench, alone).items[0].value == alone


def test_references_under_our_own_word_come_first_and_bare_ones_are_ours(bench: "Bench") -> None:
    refs = [{"company": "Allianz", "ref": "A"}, {"company": "leadhub", "ref": "L"}]
    assert find(bench, {"external_refs": refs}).items[0].subject == "lead/ref:Allianz:A"
    assert find(bench, {"external_refs": refs}, external_ref_company="leadhub").items[0].subject == "lead/ref:leadhub:L"
    assert (
        find(bench, {"external_ref": "L-1"}, external_ref_company="leadhub").items[0].subject == "lead/ref:leadhub:L-1"
    )


@pytest.mark.parametrize(
    ("body", "subject"),
    [
        ({"id": "a:b/c%3A%25"}, "a:b/c%3A%25"),
        ({"id": "references:1"}, "references:1"),
        ({"id": "ref%20x"}, "ref%20x"),
        ({"id": "ref:a:b"}, "ref%3Aa%3Ab"),
        ({"id": "ref%3Aa%3Ab"}, "ref%253Aa%253Ab"),
        ({"id": "delivery:a:0"}, "delivery%3Aa%3A0"),
        ({"external_ref": {"external_ref_company": "50% hub", "external_ref": "a:b%3A"}}, "ref:50% hub:a:b%3A"),
        ({"external_ref": {"external_ref_company": "a:b", "external_ref": "c"}}, "ref:a%3Ab:c"),
        ({"external_ref": {"external_ref_company": "a%3Ab", "external_ref": "c"}}, "ref:a%253Ab:c"),
    ],
)
def test_only_what_could_be_another_subject_is_written_otherwise(body: Any, subject: str, bench: "Bench") -> None:
    assert [item.subject for item in find(bench, body).items] == [f"lead/{subject}"]


def test_no_two_leads_have_one_subject(bench: "Bench") -> None:
    companies = ["".join(one) for one in product(("a", ":", "%", "%3A"), ("", ":", "3A", "25"), ("", ":", "x"))]
    names = ["b", ":b", "a:b", "%3Ab", "y" * 900, "y" * 901]
    references = sorted({(company, name) for company in [*companies, "sha256"] for name in names})
    leads: list[Any] = [{"external_ref": {"external_ref_company": one, "external_ref": ref}} for one, ref in references]
    subjects = {item.subject for item in find(bench, leads).items}
    assert len(subjects) == len(leads)
    for _ in range(3):  # ids and references that are written as the subjects of others, of which some were so
        written = sorted({str(subject).removeprefix("lead/") for subject in subjects} | {"y" * 900, "y" * 901})
        read = [one.removeprefix("ref:").partition(":") for one in written if one.startswith(("ref:", "sha256:"))]
        more: list[Any] = [{"id": one} for one in written]
        more += [{"external_ref": {"external_ref_company": one, "external_ref": ref}} for one, _, ref in read]
        leads += [one for one in more if one not in leads]
        subjects = {item.subject for item in find(bench, leads).items}
        assert len(subjects) == len(leads)


def test_notes_stand_at_the_lead_they_are_about(bench: "Bench") -> None:
    body = b'{"event": "x", "data": [{"id": "a", "n": NaN}, {"id": "b"}]}'
    assert [item.notes for item in find(bench, body).items] == [(Warned("n", "number-as-text"),), ()]
    body = b'{"event": "x", "data": {"id": "a", "n": NaN}}'
    assert [item.notes for item in find(bench, body).items] == [(Warned("data.n", "number-as-text"),)]
    body = b'[{"id": "a"}, {"id": "b", "prospect": {"n": NaN}}]'
    assert [item.notes for item in find(bench, body).items] == [(), (Warned("prospect.n", "number-as-text"),)]
