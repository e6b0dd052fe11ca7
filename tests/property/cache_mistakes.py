"""Mistakes that can be made in the rule of the caches and around it, each as a patch."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import pytest

from grantlog.app import cached_checks as checks_module
from grantlog.app.cached import CachedFacts
from grantlog.app.cached_checks import CachedChecks
from grantlog.app.follow_clocks import ClockFollower
from grantlog.app.under_way import UnderWay
from grantlog.cache import digest as digest_module
from grantlog.cache import recall as recall_module
from grantlog.cache import relations as relations_module
from grantlog.cache import results as results_module
from grantlog.cache.clock import SLOT_BYTES, Clock, fact_dependency
from grantlog.cache.clocks import Clocks
from grantlog.cache.relations import RelationCache, Whole
from grantlog.cache.results import KeptResult, ResultCache
from grantlog.engine.evaluation import Evaluation
from grantlog.model.change import TenantDeleted

Patch = Callable[[pytest.MonkeyPatch], None]


def _rule(low_off: int = 0, high_off: int = 0, last_off: int = 0, **ignored: bool) -> Patch:
    """The rule with a bound that is off, or ignored."""

    def may_answer(self: Clock, read_at: int, at: int, dependencies: Any) -> bool:
        if read_at == at or ignored.get("everything"):
            return True
        low, high = min(read_at, at), max(read_at, at)
        if low < self.base + low_off and not ignored.get("base"):
            return False
        if high > self.seen + high_off and not ignored.get("seen"):
            return False
        floor = high if ignored.get("low") else low + last_off
        return all(
            (self._last[d & self._mask] if d >= 0 else self._kinds[~d % len(self._kinds)]) <= floor
            for d in dependencies
        )

    return lambda patch: patch.setattr(Clock, "may_answer", may_answer)


def _seen_before_last(patch: pytest.MonkeyPatch) -> None:
    follow = ClockFollower._advance

    async def advance(self: ClockFollower, tenant: Any, clock: Clock, at: Any) -> bool:
        told, clock.seen = clock.seen, at
        page = await self._log.read(tenant, after=told, changes_max=100)
        clock.seen = told
        del page
        return await follow(self, tenant, clock, at)

    patch.setattr(ClockFollower, "_advance", advance)


def _first_toucher_keeps_the_slot(patch: pytest.MonkeyPatch) -> None:
    touch = Clock._touch

    def kept(self: Clock, body: Any, revision: Any) -> None:
        before = array("q", self._last)
        touch(self, body, revision)
        for place, last in enumerate(before):
            self._last[place] = last or self._last[place]

    patch.setattr(Clock, "_touch", kept)


def _slots_forget_when_they_grow(patch: pytest.MonkeyPatch) -> None:
    def grow(self: Clock) -> None:
        self._last = array("q", bytes(2 * SLOT_BYTES * len(self._last)))
        self._mask = len(self._last) - 1
        self._touches = 0
        self._touched = 0  # type: ignore[assignment]

    patch.setattr(Clock, "grow", grow)


def _only_one_change_of_a_write_touches(patch: pytest.MonkeyPatch) -> None:
    touch = Clock._touch

    def first(self: Clock, body: Any, revision: Any) -> None:
        touch(self, type(body)(body.changes[:1], body.schema_version), revision)

    patch.setattr(Clock, "_touch", first)


def _attributes_touch_nothing(patch: pytest.MonkeyPatch) -> None:
    touch = Clock._touch

    def tuples(self: Clock, body: Any, revision: Any) -> None:
        kept = tuple(change for change in body.changes if hasattr(change, "tuple"))
        touch(self, type(body)(kept, body.schema_version), revision)

    patch.setattr(Clock, "_touch", tuples)


def _kinds_are_not_touched(patch: pytest.MonkeyPatch) -> None:
    touch = Clock._touch

    def facts(self: Clock, body: Any, revision: Any) -> None:
        kinds = array("q", self._kinds)
        touch(self, body, revision)
        self._kinds = kinds

    patch.setattr(Clock, "_touch", facts)


def _large_writes_touch_nothing(patch: pytest.MonkeyPatch) -> None:
    follow = Clock.follow

    def passed(self: Clock, transaction: Any) -> bool:
        base = self.base
        done = follow(self, transaction)
        self.base = base
        return done

    patch.setattr(Clock, "follow", passed)


def _gaps_are_jumped(patch: pytest.MonkeyPatch) -> None:
    follow = Clock.follow

    def jump(self: Clock, transaction: Any) -> bool:
        if transaction.revision > self.seen + 1:
            self.seen = transaction.revision - 1
            self._digest = None
        return follow(self, transaction)

    patch.setattr(Clock, "follow", jump)


def _restarts_keep_the_base(patch: pytest.MonkeyPatch) -> None:
    def restart(self: Clock, at: Any, digest: Any = None) -> None:
        self.seen, self._digest = at, digest

    patch.setattr(Clock, "restart", restart)


def _clocks_outlive(patch: pytest.MonkeyPatch, *, epochs: bool, lives: bool) -> None:
    at, follow = Clocks.at, Clocks.follow

    def outlived(self: Clocks, tenant: Any, head: Any) -> Any:
        clock = self._clocks.get(tenant)
        if clock is not None and epochs:
            clock.epoch = head.epoch
        if clock is not None and lives:
            clock.begins = head.begins
        return at(self, tenant, head)

    def go_on(self: Clocks, transactions: Any) -> bool:
        for each in transactions:
            clock = self._clocks.get(each.tenant)
            if clock is not None and epochs:
                clock.epoch = each.epoch
            if clock is not None and lives and isinstance(each.body, TenantDeleted):
                clock.seen = max(clock.seen, each.revision)
                clock._digest = None
            elif not follow(self, [each]):
                return False
        return True

    patch.setattr(Clocks, "at", outlived)
    patch.setattr(Clocks, "follow", go_on)


def _empty_reads_are_no_dependencies(patch: pytest.MonkeyPatch) -> None:
    def full(self: Evaluation) -> list[Any]:
        known, pages = self._desk.memory
        empty = (False, None, ((), False))
        return [key for answers in (known, pages) for key, a in answers.items() if a not in empty]

    patch.setattr(Evaluation, "reads", property(full))


def _what_is_read_late_is_kept_as_newer(patch: pytest.MonkeyPatch) -> None:
    keep = RelationCache.keep

    def newer(self: Any, clock: Clock, read_at: Any, keys: Any, answers: Any) -> None:
        keep(self, clock, max(read_at, clock.seen), keys, answers)

    patch.setattr(RelationCache, "keep", newer)


def _what_is_decided_late_is_kept_as_newer(patch: pytest.MonkeyPatch) -> None:
    keep = CachedChecks._keep

    def newer(self: Any, key: Any, decision: Any) -> None:
        if self._clock is not None:
            self._at = max(self._at, self._clock.seen)
        keep(self, key, decision)

    patch.setattr(CachedChecks, "_keep", newer)


def _joined_reads_depend_on_one_relation_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(results_module, "MemberOfUsersetKey", Whole)
    patch.setattr(relations_module, "_reads", lambda key: (fact_dependency(*key[:3]),))


def _depth_is_no_matter(patch: pytest.MonkeyPatch) -> None:
    keep = ResultCache.keep

    def shallow(self: Any, key: Any, kept: KeptResult, read_at: Any, keys: Any) -> None:
        keep(self, key, kept._replace(depth=0), read_at, keys)

    patch.setattr(ResultCache, "keep", shallow)


def _context_is_no_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(results_module, "context_digest", lambda context: b"")


def _data_is_no_matter(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(digest_module, "_feed_data", lambda data, feed, nesting: True)


def _versions_are_no_matter(patch: pytest.MonkeyPatch) -> None:
    key = results_module.result_key

    def of_any_version(clock: Any, _: Any, query: Any) -> Any:
        return key(clock, "", query)  # type: ignore[arg-type]

    patch.setattr(checks_module, "result_key", of_any_version)


def _large_relations_are_kept_by_their_first_page(patch: pytest.MonkeyPatch) -> None:
    shared = relations_module._shared
    patch.setattr(relations_module, "_shared", lambda page: shared(page)._replace(more=False))


def _joined_whatever_differs(patch: pytest.MonkeyPatch, *differs: int) -> None:
    """Who asks something else waits for the answer too: 1 is another revision, 2 another depth."""
    once = UnderWay.once

    async def joined(self: UnderWay, flight: Any, decide: Any) -> Any:
        alike = tuple(0 if place in differs else part for place, part in enumerate(flight))
        return await once(self, alike, decide)  # type: ignore[arg-type]

    patch.setattr(UnderWay, "once", joined)


def _reads_are_of_any_epoch(patch: pytest.MonkeyPatch) -> None:
    def read(self: CachedFacts, keys: Any) -> Any:
        self.reads += 1
        return self._facts.read(self._tenant, self._at, keys)

    patch.setattr(CachedFacts, "_read", read)


def _denials_from_memory_rest_on_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recall_module, "_within_bound", lambda cost, reads: (cost, ()))


def _answers_from_memory_rest_on_one_entry(patch: pytest.MonkeyPatch) -> None:
    read = results_module.dependencies_recalled
    patch.setattr(results_module, "dependencies_recalled", lambda reads: read(reads[:1]))


def _memory_holds_at_every_revision(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recall_module, "holds", lambda clock, entry, at: True)


MISTAKES: dict[str, Patch] = {
    "the rule is not asked": _rule(everything=True),
    "the base is ignored": _rule(base=True),
    "the base is one too low": _rule(low_off=-1),
    "seen is ignored": _rule(seen=True),
    "seen is one too high": _rule(high_off=1),
    "last may be up to the newer of both": _rule(low=True),
    "last may be one newer": _rule(last_off=1),
    "seen moves before last": _seen_before_last,
    "the first toucher keeps the slot": _first_toucher_keeps_the_slot,
    "slots forget when they grow": _slots_forget_when_they_grow,
    "only one change of a write touches": _only_one_change_of_a_write_touches,
    "attributes touch nothing": _attributes_touch_nothing,
    "kinds are not touched": _kinds_are_not_touched,
    "large writes touch nothing": _large_writes_touch_nothing,
    "gaps are jumped": _gaps_are_jumped,
    "restarts keep the base": _restarts_keep_the_base,
    "clocks outlive an epoch": lambda patch: _clocks_outlive(patch, epochs=True, lives=False),
    "reads are of any epoch": _reads_are_of_any_epoch,
    "clocks outlive a deletion": lambda patch: _clocks_outlive(patch, epochs=False, lives=True),
    "empty reads are no dependencies": _empty_reads_are_no_dependencies,
    "what is read late is kept as newer": _what_is_read_late_is_kept_as_newer,
    "what is decided late is kept as newer": _what_is_decided_late_is_kept_as_newer,
    "joined reads depend on one relation alone": _joined_reads_depend_on_one_relation_alone,
    "depth is no matter": _depth_is_no_matter,
    "context is no matter": _context_is_no_matter,
    "data is no matter": _data_is_no_matter,
    "versions are no matter": _versions_are_no_matter,
    "large relations are kept by their first page": _large_relations_are_kept_by_their_first_page,
    "who asks at another revision joins": lambda patch: _joined_whatever_differs(patch, 1),
    "who asks with another depth joins": lambda patch: _joined_whatever_differs(patch, 2),
    "denials from memory rest on nothing": _denials_from_memory_rest_on_nothing,
    "answers from memory rest on one entry": _answers_from_memory_rest_on_one_entry,
    "memory holds at every revision": _memory_holds_at_every_revision,
}
