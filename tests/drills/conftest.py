"""What the drills need beside the common fixtures."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A DATA_DIR on a short path that the user of the embedded server can reach."""
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "data"
