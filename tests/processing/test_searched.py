"""The words of records: what the processor writes of them, and that migrating a filled database comes to the same."""

from collections.abc import Callable
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.processing.arrays import TSVECTORS, array
from app.processing.folding import LONGEST_WORD, words_in
from app.processing.searched import OPEN_MARK, words_of
from app.storage.database import MIGRATIONS
from app.storage.models import RECORDS
from tests.processing.conftest import Desk

_WORDS = " UNION ALL ".join(
    f"SELECT '{kind}', identity, tsvector_to_array(words) FROM {table.name}"  # noqa: S608 - ours
    for kind, table in RECORDS.items()
)


def _fill(desk: Desk, item: Callable[..., Any]) -> None:
    reference = {"origin": "crm", "paramKey": "Nr", "paramValue": 'A-1 "x"\n\\y'}
    customer = {"cId": 5, "cLastName": "Müller-Dijk", "cCity": "Köln", "cExternalReferences": [reference]}
    laid = item(customer=customer, productName="Haftpflicht Ærø")
    laid["docs"] = {"files": [{"hash": "h1", "name": "Antrag.pdf", "fullName": "Antrag Müller.pdf", "docToken": "t1"}]}
    desk.lay([laid, item(8, customer={"cExternalId": "K-7", "cFirstName": "\u2028 \U0001f600 Zoë"})])
    desk.lay({"id": "lead-9", "prospect": {"last_name": "Voorbeeld"}, "external_references": []}, desk.wegroup)
    desk.process()


def test_the_words_of_a_record(desk: Desk, item: Callable[..., Any]) -> None:
    _fill(desk, item)
    words = {(kind, identity): set(words) for kind, identity, words in desk.rows(_WORDS)}
    assert words["inquiry", "7"] == {".7", ".42", ".haftpflicht", ".aro"}
    assert {".5", ".a", ".1", ".x", ".y", "muller", "dyk", "koln"} in words.values()
    assert {"antrag", "muller", "pdf", ".7"} in words.values()


def test_a_filled_database_is_brought_over_as_the_processor_would_write_it(
    desk: Desk, item: Callable[..., Any]
) -> None:
    _fill(desk, item)
    written = sorted(desk.rows(_WORDS))
    assert {kind for kind, _, words in written if words} == set(RECORDS)
    config = Config(toml_file=MIGRATIONS.parent / "pyproject.toml")
    config.attributes["url"] = desk.database.info.dsn + f" password={desk.database.info.password}"
    command.downgrade(config, "0002")
    command.upgrade(config, "head")
    assert sorted(desk.rows(_WORDS)) == written


def test_a_record_is_found_by_its_names_however_many_references_it_has(desk: Desk, item: Callable[..., Any]) -> None:
    references = [{"origin": "crm", "paramKey": f"k{n}", "paramValue": f"value{n}"} for n in range(2000)]
    desk.lay(item(7, productName="Haftpflicht", insuranceCompanyName="Muster", externalReferences=references))
    desk.process()
    (words,) = desk.row("SELECT tsvector_to_array(words) FROM inquiries")
    assert {".7", ".42", ".haftpflicht", ".muster"} <= {*words}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_any_text_is_stored_as_its_words(desk: Desk, text: str) -> None:
    words = words_of("document", {"inquiry_id": 7, "name": text})
    stored = desk.row("SELECT tsvector_to_array(w) FROM unnest(%s::tsvector[]) AS w", array(TSVECTORS, [words]))
    assert stored == (sorted({".7", *words_in(text)}, key=str.encode),)


@pytest.mark.parametrize("long", ["x" * 500_000, "\ufdfa" * 12_000, "ä" * 30_000, " ".join(map(str, range(200_000)))])
def test_long_texts_are_cut(desk: Desk, long: str) -> None:
    references = {"crm": {"value": long}}
    words = words_of("lead", {"external_references": references, "last_name": long, "risk_objects": [{"vin": long}]})
    assert all(len(word.removeprefix(OPEN_MARK)) <= LONGEST_WORD for word in words)
    assert desk.row("SELECT length(w) FROM unnest(%s::tsvector[]) AS w", array(TSVECTORS, [words])) == (len(words),)
