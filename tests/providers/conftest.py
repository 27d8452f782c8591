"""What the tests of platforms share: sources, receipts and bodies as they came."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.ingest.contract import Mode, Provider, Receipt, Secret, Source, Statement
from app.providers import PROVIDERS

_SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Bench:
    """Sources, receipts and shortcuts of one moment."""

    now: datetime = datetime(2025, 3, 9, 10, 0, tzinfo=UTC)
    receipt: Receipt = field(
        default_factory=lambda: Receipt(
            UUID("01957a3e-8c00-7000-8000-000000000001"),
            datetime(2025, 3, 9, 10, 0, tzinfo=UTC),
            ZoneInfo("Europe/Berlin"),
            b"",
        )
    )

    def source(self, provider: str = "thinksurance", mode: Mode = Mode.OBSERVE, **other: Any) -> Source:
        """Return a source with one secret; `secrets` may be given as texts."""
        given = other.pop("secrets", ("geheim-1",))
        secrets = tuple(Secret(one, self.now) if isinstance(one, str) else one for one in given)
        values: dict[str, Any] = {"recipe": {}, "recipe_proven": False, "credentials": {}, "settings": {}} | other
        return Source(
            id=UUID("01957a3e-8c00-7000-8000-00000000000a"),
            name=f"{provider}-test",
            provider=provider,
            mode=mode,
            secrets=secrets,
            **values,
        )

    def read(self, provider: str, body: bytes, source: Source | None = None) -> list[Statement]:
        """Return what the accepted items of a body say."""
        platform: Provider = PROVIDERS[provider]
        chosen = source or self.source(provider)
        found = platform.find(body, "application/json", chosen, self.now)
        return [platform.read(item, chosen, self.receipt) for item in found.items if item.reason is None]

    def sample(self, provider: str, name: str) -> bytes:
        """Return a sample's bytes."""
        return (_SAMPLES / provider / name).read_bytes()

    def samples(self, provider: str) -> Mapping[str, bytes]:
        """Return all samples of a platform by name."""
        return {path.name: path.read_bytes() for path in sorted((_SAMPLES / provider).iterdir())}


@pytest.fixture(scope="session")
def bench() -> Bench:
    """Sources, receipts, samples."""
    return Bench()


@pytest.fixture(scope="session")
def warned() -> Callable[[Statement], set[tuple[str, str]]]:
    """Return the warnings of a statement as pairs."""
    return lambda statement: {(warning.field, warning.reason) for warning in statement.warnings}


@pytest.fixture(scope="session")
def read_value() -> Callable[[Callable[[Any, Callable[[str], None]], Any], Any], tuple[Any, list[str]]]:
    """Return the function that runs a parse function on a value: the result and its warnings."""

    def read(parse: Callable[[Any, Callable[[str], None]], Any], value: Any) -> tuple[Any, list[str]]:
        reasons: list[str] = []
        return parse(value, reasons.append), reasons

    return read
