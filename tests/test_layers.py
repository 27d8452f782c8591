"""The rooms import downwards only; a new room that stands in no layer is refused."""

from importlinter.cli import lint_imports


def test_the_import_contracts_hold() -> None:
    assert lint_imports(no_cache=True) == 0
