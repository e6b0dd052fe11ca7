"""What an API node tells of itself at GET /metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grantlog.app.cached import Caches
from grantlog.cache.counts import CacheState
from grantlog.serving.metrics import Family


def families_of(caches: Caches) -> Sequence[Family]:
    """How the caches do, those that are on."""
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
