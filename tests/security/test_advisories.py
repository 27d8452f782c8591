"""What `make advisories` makes of pip-audit's words: only what was really asked about counts as sound."""

import json
from typing import Any

import pytest

from tests.security.advisories import FOUND, SOUND, UNKNOWN, judged

_GOOD = {"name": "good", "version": "1", "vulns": []}
_BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-0000-1", "fix_versions": ["2.1", "3"]}]}
_HOPELESS = {"name": "worse", "version": "3", "vulns": [{"id": "PYSEC-0000-2", "fix_versions": []}]}
_SKIPPED = {"name": "stranger", "skip_reason": "not found"}
_TRACE = "Traceback (most recent call last):\n  File x\nurllib3.exceptions.NewConnectionError: refused: no route"


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ([_GOOD], SOUND, ["Nothing is known against the 1 locked dependencies."]),
        ([_GOOD, _BAD], FOUND, ["bad 2: PYSEC-0000-1, mended in 2.1, 3"]),
        ([_HOPELESS], FOUND, ["worse 3: PYSEC-0000-2, mended in no version yet"]),
        ([_GOOD, _SKIPPED], UNKNOWN, ["knows nothing of 1 of 2 locked dependencies (stranger)"]),
        ([_SKIPPED] * 9, UNKNOWN, ["of 9 of 9", "stranger, ...)"]),
        ([_BAD, _SKIPPED], FOUND, ["bad 2: PYSEC-0000-1", "knows nothing of 1 of 2"]),
    ],
)
def test_what_was_answered(asked: list[Any], status: int, said: list[str]) -> None:
    text, found = judged(json.dumps({"dependencies": asked, "fixes": []}), "No known vulnerabilities found")
    assert found == status
    assert all(words in text for words in said)


@pytest.mark.parametrize(("errors", "why"), [(_TRACE, "NewConnectionError"), ("", "no reason given")])
def test_a_service_that_is_not_there_is_said_in_one_line(errors: str, why: str) -> None:
    said = f"The vulnerability service cannot be reached ({why}): nothing was audited."
    assert judged("", errors) == (said, UNKNOWN)


def test_a_wrong_argument_is_explained_by_pip_audit_itself() -> None:
    errors = "usage: pip-audit [-h]\npip-audit: error: argument -s: invalid choice"
    assert judged("", errors) == (errors, UNKNOWN)
