"""Folding: what is one word to a search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.processing.folding import fold


@pytest.mark.parametrize(
    ("spellings", "folded"),
    [
        (("Müller", "MÜLLER", "mueller", "Muller", "Mu\u0308ller"), "muller"),
        (("Straße", "STRASSE", "STRAẞE"), "strasse"),
        (("Bijlsma", "Bĳlsma", "Bylsma"), "bylsma"),
        (("Œuvre", "Oeuvre"), "ouvre"),
        (("Jørgensen", "Joergensen"), "jorgensen"),
        (("Noël", "Noel"), "nol"),
        (("İzmir", "Izmir"), "izmir"),
    ],
)
def test_spellings_of_one_word(spellings: tuple[str, ...], folded: str) -> None:
    assert {fold(spelling) for spelling in spellings} == {folded}


@given(st.text())
def test_case_does_not_matter_to_what_has_one(text: str) -> None:
    if text.lower().upper().lower() == text.lower():
        assert fold(text.lower()) == fold(text)
