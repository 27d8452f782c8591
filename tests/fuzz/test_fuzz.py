"""Every input that is kept, and any damaged one of them, has the property of its target.

Kept are the corpus and those that fuzzing found a fault with; `make fuzz` looks for more.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import CORPUS, FOUND, TARGETS


def _kept(target: str) -> list[Path]:
    return sorted(path for folder in (CORPUS, FOUND) for path in (folder / target).glob("*"))


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_that_are_kept(target: str) -> None:
    files = _kept(target)
    assert files, "a target without seeds"
    failed = []
    for path in files:
        try:
            TARGETS[target](path.read_bytes())
        except Exception as error:  # noqa: BLE001 - all of them are told, not the first alone
            failed.append(f"{path.parent.parent.name}/{path.name}: {type(error).__name__}: {str(error)[:200]}")
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_inputs(target: str, data: st.DataObject) -> None:
    """Cut, doubled, overwritten, and two in one."""
    kept = _kept(target)
    damaged = bytearray(data.draw(st.sampled_from(kept)).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    if data.draw(st.booleans()):
        damaged += data.draw(st.sampled_from(kept)).read_bytes()[data.draw(st.integers(0, 40)) :]
    TARGETS[target](bytes(damaged))


def test_no_input_is_kept_for_a_target_that_is_none() -> None:
    assert {path.name for folder in (CORPUS, FOUND) for path in folder.glob("*")} <= set(TARGETS)


def test_what_is_kept_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.glob("*/*")) < 300_000
