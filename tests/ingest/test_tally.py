"""What is counted for many at once is what was counted one by one."""

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client.registry import Collector

from app.ingest.answers import Answer
from app.ingest.contract import Reason, Verdict
from app.ingest.tally import TOLD_EVERY_S, Committed, Kept, Tally, tell_committed, tell_kept
from app.metrics import GroupedHistogram


def shown(measure: Collector) -> list[tuple[str, dict[str, str], float]]:
    return [
        (sample.name, sample.labels, round(sample.value, 6))
        for family in measure.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 100.0])))
def test_a_group_is_counted_as_its_members(values: list[float]) -> None:
    one_by_one = Histogram("a", "a", buckets=(1, 2), registry=CollectorRegistry())
    grouped = GroupedHistogram("a", "a", buckets=(1, 2), registry=CollectorRegistry())
    for value in values:
        one_by_one.observe(value)
    grouped.observe_all(values)
    assert shown(grouped) == shown(one_by_one)


def counted() -> list[float]:
    """Return all that the two tallies count, of a provider that no other test has."""
    return [
        REGISTRY.get_sample_value(f"callbox_{name}", labels) or 0
        for name, labels in (
            ("acknowledgement_seconds_count", {}),
            ("deliveries_total", {"provider": "tallied", "verdict": "verified", "status": "200"}),
            ("deliveries_total", {"provider": "tallied", "verdict": "unsigned", "status": "202"}),
            ("quarantined_deliveries_total", {"provider": "tallied", "reason": "not-json"}),
            ("commit_seconds_count", {}),
            ("batch_rows_sum", {}),
        )
    ]


def test_what_comes_first_is_counted_at_once_and_the_rest_of_a_moment_together() -> None:
    accepted = Kept("tallied", Answer(200, Verdict.VERIFIED, b"\0", accepted=1), 0.003)
    refused = Kept("tallied", Answer(202, Verdict.UNSIGNED, b"", reason=Reason.NOT_JSON), 0.003)
    told: list[int] = []
    told_at: list[float] = []

    def tell(kept: Sequence[Kept]) -> None:
        told.append(len(kept))
        told_at.append(asyncio.get_running_loop().time())
        tell_kept(kept)

    async def act() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        kept, commits = Tally(tell), Tally(tell_committed)
        for one in (accepted, refused):
            kept.note(one)
            commits.note(Committed(32, 0.003))
        end = began + 30
        while not told:
            assert loop.time() < end
            await asyncio.sleep(0)
        kept.note(refused)
        kept.note(accepted)
        while len(told) == 1:
            assert loop.time() < end
            await asyncio.sleep(0)
        assert told_at[1] > began + TOLD_EVERY_S * 0.99
        kept.note(accepted)
        for tally in (kept, commits):
            tally.tell()
            tally.tell()

    before = counted()
    asyncio.run(act())
    assert told == [2, 2, 1]
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [5, 3, 2, 2, 2, 64]
