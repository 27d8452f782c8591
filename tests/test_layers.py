"""The rooms import downwards only; a new room that stands in no layer is refused."""

import pytest
from importlinter.cli import lint_imports


def test_the_import_contracts_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)  # it would silence all loggers there are
    assert lint_imports(no_cache=True) == 0
