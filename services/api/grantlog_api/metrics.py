"""What an API node tells of itself at GET /metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grantlog.app.cached import Caches
from grantlog.cache.counts import CacheState
from grantlog.changelog.counts import TopicCounts
from grantlog.cluster.counts import RingCounts
from grantlog.ports.ring import Refusal
from grantlog.serving.call_counts import CallCounts
from grantlog.serving.call_lines import CallLines
from grantlog.serving.metrics import Family

_CONTRACT: Final = "/base.v1."


def families_of_calls(counts: CallCounts, lines: CallLines | None = None) -> Sequence[Family]:
    """How calls end and how long answers take; the lines that are missing, if there are any."""
    calls = (
        Family(
            "grantlog_calls_total",
            "counter",
            "Calls by the status that they ended with.",
            [
                ({"method": _short(method), "code": code.name}, number)
                for (method, code), number in counts.ends.items()
            ],
        ),
        Family(
            "grantlog_call_seconds",
            "histogram",
            "From a call's arrival to its answer, of calls with one answer that got it.",
            [({"method": _short(method)}, numbers) for method, numbers in counts.durations.items()],
        ),
        Family(
            "grantlog_streams_open",
            "gauge",
            "Streams that are being answered.",
            [({}, counts.streams_open)],
        ),
    )
    if lines is None:
        return calls
    dropped = Family(
        "grantlog_call_lines_dropped_total",
        "counter",
        "Lines of calls that were left out because whoever reads them is too slow, or gone.",
        [({}, lines.dropped)],
    )
    return (*calls, dropped)


def _short(method: str) -> str:
    """`Permission/Check`: what does not lead to a method is not of one."""
    return method.removeprefix(_CONTRACT) or "unknown"


def families_of(
    caches: Caches, ring: RingCounts | None = None, topic: TopicCounts | None = None
) -> Sequence[Family]:
    """How the caches do, those that are on; the ring, if this node is in one; the topic, if any."""
    return (
        *_of_all_caches(caches),
        *(_of_ring(ring) if ring is not None else ()),
        *(_of_topic(topic) if topic is not None else ()),
    )


def _of_all_caches(caches: Caches) -> Sequence[Family]:
    states = {
        name: cache.state
        for name, cache in (("result", caches.results), ("relation", caches.relations))
        if cache is not None
    }
    if not states:
        return ()
    return (*_of_caches(states), *_of_clocks(caches))


def _of_caches(states: Mapping[str, CacheState]) -> Sequence[Family]:
    misses = [
        ({"cache": name, "cause": cause}, count)
        for name, state in states.items()
        for cause, count in state.misses.items()
    ]
    each = [({"cache": name}, state) for name, state in states.items()]
    return (
        Family(
            "grantlog_cache_hits_total",
            "counter",
            "Answers given from memory.",
            [(labels, state.hits) for labels, state in each],
        ),
        Family(
            "grantlog_cache_misses_total",
            "counter",
            "Answers not given from memory, by what stood against one.",
            misses,
        ),
        Family(
            "grantlog_cache_evictions_total",
            "counter",
            "Entries dropped to make room.",
            [(labels, state.evicted) for labels, state in each],
        ),
        Family(
            "grantlog_cache_entries",
            "gauge",
            "Entries held.",
            [(labels, state.entries) for labels, state in each],
        ),
        Family(
            "grantlog_cache_bytes",
            "gauge",
            "Bytes held.",
            [(labels, state.bytes) for labels, state in each],
        ),
        Family(
            "grantlog_cache_bytes_max",
            "gauge",
            "Bytes that may be held.",
            [(labels, state.bytes_max) for labels, state in each],
        ),
    )


def _of_clocks(caches: Caches) -> Sequence[Family]:
    clocks = caches.clocks
    return (
        Family(
            "grantlog_checks_joined_total",
            "counter",
            "Checks answered by waiting for an equal one that was being decided.",
            [({}, caches.under_way.joined)],
        ),
        Family(
            "grantlog_cache_clocks",
            "gauge",
            "Tenants whose log is followed for the caches.",
            [({}, len(clocks))],
        ),
        Family(
            "grantlog_cache_clock_bytes",
            "gauge",
            "Bytes of what is known of their logs.",
            [({}, clocks.slot_bytes)],
        ),
    )


def _of_ring(ring: RingCounts) -> Sequence[Family]:
    keys = (("forwarded", ring.keys_asked), ("answered", ring.keys_told), ("own", ring.keys_own))
    return (
        Family(
            "grantlog_ring_nodes",
            "gauge",
            "Nodes in the ring as this one sees it, itself included.",
            [({}, ring.nodes)],
        ),
        Family(
            "grantlog_ring_keys_total",
            "counter",
            "Facts that this node did not hold: asked of their owner, answered by it, or its own.",
            [({"how": how}, number) for how, number in keys],
        ),
        Family(
            "grantlog_ring_fallbacks_total",
            "counter",
            "Questions to owners that this node then read itself, by why they were not answered.",
            _by_cause(ring.fallbacks),
        ),
        Family(
            "grantlog_ring_answers_total",
            "counter",
            "Questions of other nodes that this one answered.",
            [({}, ring.answered)],
        ),
        Family(
            "grantlog_ring_refusals_total",
            "counter",
            "Questions of other nodes that this one refused, by why.",
            _by_cause(ring.refused),
        ),
        Family(
            "grantlog_ring_streams_refused_total",
            "counter",
            "Streams that were refused because the asker did not prove that it serves this log.",
            [({}, ring.streams_refused)],
        ),
    )


def _by_cause(counted: Mapping[str, int]) -> Sequence[tuple[Mapping[str, str], int]]:
    """All causes, from the beginning: a rate misses the first of what is not there before it."""
    return [({"cause": cause.value}, counted.get(cause.value, 0)) for cause in Refusal]


def _of_topic(topic: TopicCounts) -> Sequence[Family]:
    return (
        Family(
            "grantlog_topic_records_total",
            "counter",
            "Records of the topic read: by this process, or by the one reader of a node's workers.",
            [({}, topic.records_read)],
        ),
        Family(
            "grantlog_topic_followers_cut_total",
            "counter",
            "Followers of that one reader that it cut because they did not keep up.",
            [({}, topic.followers_cut)],
        ),
    )
