"""That no request makes the application fail or answer what the OpenAPI document does not say: schemathesis tries.

`HYPOTHESIS_PROFILE=long` tries fifty times as many requests, others each time.
"""

import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import create_engine

from app.accounts.model import Scope
from app.storage.engine import engine_url
from tests.examples import examples
from tests.query.conftest import Rows, World
from tests.query.ways import WAYS
from tests.whole import served_whole

EXAMPLES = 2
"""Of each operation: so many requests that fit the document, and so many that do not."""
PATIENCE_S = 120
STREAM = "GET /v1/events/stream"
"""Never ends; what it answers is tried in `query/test_stream`."""


@pytest.fixture(scope="module")
def served(
    shared_database_url: str, encryption_key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, World]]:
    """The URL of the whole application, and what is in it."""
    engine = create_engine(engine_url(shared_database_url))
    with engine.connect() as connection:
        world = World(Rows(connection))
        with served_whole(shared_database_url, encryption_key, tmp_path_factory.mktemp("served")) as url:
            yield url, world
    engine.dispose()


@pytest.fixture
def _nothing_collected() -> Iterator[None]:
    """Collect no garbage: only then does a thread that parses Python let another one go on in its middle.

    CPython before 3.11.8 confuses two that do so at the same time (gh-106905): here Hypothesis and the application.
    """
    gc.disable()
    yield
    gc.enable()


def _known_names(world: World, label: str) -> Mapping[str, Any]:
    """Return what a path can be filled with, so that more is answered than 404."""
    kind = next(iter(WAYS[label].kinds), None)
    found = world.ids["inside"].get(kind) if kind else None
    return {"id": str(found)} if found else {"name": "ts-one"} if "{name}" in label else {}


@pytest.mark.usefixtures("_nothing_collected")
def test_no_failure_and_no_answer_that_is_not_documented(served: tuple[str, World]) -> None:
    url, world = served
    schema = schemathesis.openapi.from_dict(httpx2.get(f"{url}/openapi.json", timeout=PATIENCE_S).json())
    schema.config.update(base_url=url)
    answered: Counter[int] = Counter()
    wrong: dict[str, str] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.label == STREAM:
            continue
        key = world.rows.key(*Scope)  # one for each, so that none has asked too often
        _try(operation, key, _known_names(world, operation.label), answered, wrong)
    assert not wrong, "\n\n".join(f"{label}: {said}" for label, said in wrong.items())
    assert {200, 404, 422} <= answered.keys()


def _try(operation: Any, key: str, known: Mapping[str, Any], answered: Counter[int], wrong: dict[str, str]) -> None:
    """Send requests of all kinds to an operation, each second one to something that is there."""
    numbers = iter(range(10**9))

    def send(case: Any) -> None:
        if known and next(numbers) % 2:
            case.path_parameters |= known
        answer = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S)
        answered[answer.status_code] += 1
        checks = [not_a_server_error, status_code_conformance, content_type_conformance]
        if "fields=" not in answer.request.url and '"fields"' not in str(answer.request.body):
            checks.append(response_schema_conformance)
        try:
            case.validate_response(answer, checks=checks)
        except FailureGroup as error:
            wrong[operation.label] = "\n".join(map(str, error.exceptions))

    few = settings(max_examples=examples(EXAMPLES), phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    few(given(case=operation.as_strategy())(send))()
    with suppress(Unsatisfiable):  # where there is nothing that could be wrong
        few(given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))(send))()
