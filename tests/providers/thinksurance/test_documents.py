"""The documents holder in each form in which it may come."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from app.ingest.contract import Part, Statement

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

Warned = Callable[[Statement], set[tuple[str, str]]]
LINK = "https://app.dev.thinksurance.de/some/path/a90c17ff02"
FILE = {
    "name": "Antrag",
    "fullName": "Antrag.pdf",
    "hash": "a90c17ff02",
    "fullFilePath": LINK,
    "documentPurpose": "unknown_purpose",
}


def read(bench: "Bench", docs: Any, **data: Any) -> Statement:
    body = {"data": {"iId": 7, "bExternalId": "42"} | data, "docs": docs}
    return bench.read("thinksurance", json.dumps(body).encode())[0]


def documents(statement: Statement) -> list[Part]:
    return [part for part in statement.parts if part.kind == "document"]


@pytest.mark.parametrize(
    ("docs", "secrets", "expires"),
    [
        (
            {"docToken": {"token": "d41", "expired": "2025-03-16 12:00:00"}, "files": [FILE]},
            {"token": "d41"},
            "2025-03-16T11:00:00.000Z",
        ),
        (
            [{"docToken": {"token": "d41", "expired": "2025-07-16 12:00:00"}, "files": [FILE]}],
            {"token": "d41"},
            "2025-07-16T10:00:00.000Z",
        ),
        (
            {"docToken": {"token": "d41", "expired": "2025-03-16T12:00:00Z"}, "files": [FILE]},
            {"token": "d41"},
            "2025-03-16T12:00:00.000Z",
        ),
        ({"docToken": "d41", "files": [FILE]}, {"token": "d41"}, None),
        ({"docToken": "d41", "files": {"0": FILE}}, {"token": "d41"}, None),
        ({"0": {"docToken": "d41", "files": {"3": FILE}}}, {"token": "d41"}, None),
        ({"docToken": None, "files": [FILE]}, {}, None),
        ({"docToken": [], "files": [FILE]}, {}, None),
        ({"files": [FILE]}, {}, None),
        ([[], None, {"files": [FILE]}], {}, None),
        ([FILE], {}, None),
        ({"0": FILE}, {}, None),
        (FILE, {}, None),
        ({"docToken": "d41", "files": FILE}, {"token": "d41"}, None),
    ],
)
def test_every_form_of_the_holder(
    docs: Any, secrets: dict[str, str], expires: str | None, bench: "Bench", warned: Warned
) -> None:
    statement = read(bench, docs)
    (document,) = documents(statement)
    assert document.keys == ("7\x1fa90c17ff02",)
    fields = {
        "inquiry_id": 7,
        "hash": "a90c17ff02",
        "name": "Antrag",
        "full_name": "Antrag.pdf",
        "purpose": "unknown_purpose",
        "broker_external_id": "42",
    }
    assert document.fields == fields | ({"token_expires_at": expires} if expires else {})
    assert document.secrets == {"link": LINK} | secrets
    assert not warned(statement)
    assert statement.parts[0].fields["documents"] == {
        "a90c17ff02": {
            "hash": "a90c17ff02",
            "name": "Antrag",
            "full_name": "Antrag.pdf",
            "purpose": "unknown_purpose",
        }
    }


@pytest.mark.parametrize("docs", [None, [], {}, "", {"files": []}, {"docToken": "d41", "files": None}, [{}]])
def test_no_documents(docs: Any, bench: "Bench", warned: Warned) -> None:
    statement = read(bench, docs)
    assert not documents(statement)
    assert "documents" not in statement.parts[0].fields
    assert not warned(statement)


@pytest.mark.parametrize(
    ("docs", "warning"),
    [
        ("d41", ("docs", "wrong-type")),
        (["d41"], ("docs.0", "wrong-type")),
        ({"files": "Antrag.pdf"}, ("docs.files", "wrong-type")),
        ({"files": ["Antrag.pdf"]}, ("docs.files.0", "wrong-type")),
        ({"files": [{"name": "Antrag"}]}, ("docs.files.0.hash", "missing")),
        ([{"files": [FILE | {"hash": ""}]}], ("docs.0.files.0.hash", "missing")),
    ],
)
def test_what_is_no_document_is_told(docs: Any, warning: tuple[str, str], bench: "Bench", warned: Warned) -> None:
    statement = read(bench, docs)
    assert not documents(statement)
    assert warned(statement) == {warning}


def test_names_that_are_not_documented_are_told(bench: "Bench", warned: Warned) -> None:
    token = {"token": "d41", "expired": "2025-03-16 12:00:00", "scope": "all"}
    statement = read(bench, {"docToken": token, "files": [FILE | {"size": 5}], "total": 1})
    assert warned(statement) == {
        ("docs.total", "unknown-field"),
        ("docs.docToken.scope", "unknown-field"),
        ("docs.files.0.size", "unknown-field"),
    }


@pytest.mark.parametrize(
    ("expired", "reason"), [("2025-03-16", "date-without-time"), ("bald", "not-a-time"), (5, "not-a-time")]
)
def test_an_expiry_that_is_no_time_is_left_out(expired: Any, reason: str, bench: "Bench", warned: Warned) -> None:
    statement = read(bench, {"docToken": {"token": "d41", "expired": expired}, "files": [FILE]})
    (document,) = documents(statement)
    assert "token_expires_at" not in document.fields
    assert warned(statement) == {("docs.docToken.expired", reason)}


def test_several_files_and_one_that_comes_twice(bench: "Bench") -> None:
    statement = read(bench, {"files": [FILE, FILE | {"hash": "b"}, FILE | {"name": "Neu"}, {"hash": "c"}]})
    found = {document.fields["hash"]: document.fields.get("name") for document in documents(statement)}
    assert found == {"a90c17ff02": "Neu", "b": "Antrag", "c": None}
    assert set(statement.parts[0].fields["documents"]) == set(found)


def test_links_and_tokens_are_masked_in_what_is_shown(bench: "Bench") -> None:
    holder = {"docToken": {"token": "d41fa07c93", "expired": "2025-03-16 12:00:00"}, "files": [FILE]}
    for docs in (holder, [holder], holder | {"docToken": "d41fa07c93"}, holder | {"docToken": ["d41fa07c93"]}):
        statement = read(bench, docs)
        for text in ("d41fa07c93", LINK):
            assert text not in json.dumps(statement.data)
            assert text not in json.dumps([dict(part.fields) for part in statement.parts])
        assert "d41fa07c93" not in repr(statement)
    assert read(bench, holder).data["docs"] == {
        "docToken": {"token": "***", "expired": "2025-03-16 12:00:00"},
        "files": [FILE | {"fullFilePath": "***"}],
    }
