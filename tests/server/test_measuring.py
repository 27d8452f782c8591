"""The folder of the measures is not on the disk that fills up, and killed services leave none for long."""

import os
import tempfile
from pathlib import Path

import pytest

from app.server import measuring
from app.server.measuring import MeasuresFolder


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measuring, "_IN_MEMORY", tmp_path)
    return tmp_path


def test_what_a_killed_service_left_is_removed_and_what_is_in_use_is_not(memory: Path) -> None:
    killed, living = MeasuresFolder(), MeasuresFolder()
    (killed.path / "counter_1.db").write_bytes(b"measures")
    os.close(killed._lock)  # as the kernel does at its death
    (memory / "callbox-metrics-being-made").mkdir()
    following = MeasuresFolder()
    assert sorted(memory.iterdir()) == sorted(
        [living.path, following.path, memory / "callbox-metrics-being-made"],
    )
    for folder in (living, following):
        folder.remove()
        assert not folder.path.exists()


def test_without_room_in_memory_the_folder_lies_elsewhere(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = memory / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(measuring, "_ROOM", 1 << 62)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    folder = MeasuresFolder()
    assert folder.path.parent == elsewhere
    folder.remove()
