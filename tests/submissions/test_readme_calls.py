"""The calls that the README shows are made as they stand there."""

import re
from pathlib import Path

import orjson
import pytest

from tests.submissions.conftest import Office

README = (Path(__file__).parents[2] / "README.md").read_text()
CALLS = re.findall(r"^curl .* -d '(.*)' http://127\.0\.0\.1:8000/v1/submissions/(.*)$", README, re.MULTILINE)
SOURCES = {"broker-de": "ts", "broker-be": "wg"}


def test_there_is_a_forward_and_a_lead() -> None:
    assert [path for _, path in CALLS] == ["thinksurance/forward", "wegroup/customer-lead"]


@pytest.mark.parametrize(("body", "path"), CALLS, ids=[path for _, path in CALLS])
def test_the_call_is_accepted(office: Office, body: str, path: str) -> None:
    given = orjson.loads(body)
    made = office.made(path, given | {"source": SOURCES[given["source"]]})
    assert made["state"] == "accepted"
    assert made["warnings"] == []
