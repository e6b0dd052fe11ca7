"""What a node tells of itself: all of it from the beginning, and all of it in the manual."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grantlog_api.metrics import families_of, families_of_calls

from grantlog.app.cached import Caches
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache
from grantlog.cache.results import ResultCache
from grantlog.changelog.counts import TopicCounts
from grantlog.cluster.counts import RingCounts
from grantlog.ports.ring import Refusal
from grantlog.serving.call_counts import CallCounts
from grantlog.serving.call_lines import CallLines
from grantlog.serving.metrics import Family

MANUAL = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text("utf-8")


@pytest.fixture
def counts() -> RingCounts:
    return RingCounts()


@pytest.fixture
def families(counts: RingCounts) -> dict[str, Family]:
    kept = Caches(Clocks(), None, ResultCache(1 << 20), RelationCache(1 << 20))
    calls = families_of_calls(CallCounts(["/base.v1.Permission/Check"], []), CallLines(2, {}))
    told = (*calls, *families_of(kept, counts, TopicCounts()))
    return {family.name: family for family in told}


def test_every_metric_and_cause_is_in_the_manual_and_no_other(families: dict[str, Family]):
    assert set(families) == set(re.findall(r"^\| `(grantlog_\w+)` \|", MANUAL, re.MULTILINE))
    causes = {
        labels["cause"]
        for family in families.values()
        for labels, _ in family.samples
        if "cause" in labels
    }
    assert causes <= set(re.findall(r"^\| `([a-z]+)` \| [a-z]", MANUAL, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "of"),
    [("grantlog_ring_fallbacks_total", "fallbacks"), ("grantlog_ring_refusals_total", "refused")],
)
def test_causes_are_counted_from_the_beginning(name: str, of: str, counts: RingCounts):
    """A rate of what begins with its first event misses that one."""
    getattr(counts, of)[Refusal.LATE.value] += 2
    family = next(family for family in families_of(Caches(Clocks(), None, None, None), counts)
                  if family.name == name)  # fmt: skip
    told = {labels["cause"]: number for labels, number in family.samples}
    assert told == {refusal.value: 2 * (refusal is Refusal.LATE) for refusal in Refusal}
