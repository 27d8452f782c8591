"""What is counted for many at once is what was counted one by one."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client.registry import Collector

from app.ingest.answers import Answer
from app.ingest.contract import Reason, Verdict
from app.ingest.tally import Tally
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


def test_all_of_a_turn_are_counted_in_the_next() -> None:
    accepted = Answer(200, Verdict.VERIFIED, b"\0", accepted=1)
    refused = Answer(202, Verdict.UNSIGNED, b"", reason=Reason.NOT_JSON)

    def counted() -> list[float]:
        return [
            REGISTRY.get_sample_value(f"callbox_{name}", labels) or 0
            for name, labels in (
                ("acknowledgement_seconds_count", {}),
                ("deliveries_total", {"provider": "tallied", "verdict": "verified", "status": "200"}),
                ("deliveries_total", {"provider": "tallied", "verdict": "unsigned", "status": "202"}),
                ("quarantined_deliveries_total", {"provider": "tallied", "reason": "not-json"}),
            )
        ]

    async def act() -> None:
        tally = Tally()
        for answer in (accepted, refused, accepted):
            tally.note("tallied", answer, 0.003)
        await asyncio.sleep(0)
        tally.note("tallied", accepted, 0.003)
        await asyncio.sleep(0)

    before = counted()
    asyncio.run(act())
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [4, 3, 1, 1]
