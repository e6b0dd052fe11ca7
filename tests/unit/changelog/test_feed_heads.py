"""Heads told by the topic and by the primary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grantlog.changelog.kafka.heads import FeedHeads
from grantlog.model.change import TenantDeleted
from grantlog.model.ids import Epoch, Revision
from grantlog.ports.log import LogHead, Position
from tests.unit.changelog.test_intake import ACME, OTHER, entry


def at(revision: int, epoch: int = 1, digest: bytes = b"") -> Position:
    return Position(Epoch(epoch), Revision(revision), digest or b"%d" % revision)


@pytest.fixture
def heads() -> FeedHeads:
    known = FeedHeads()
    known.settle({ACME: at(5)})
    return known


def test_the_topic_moves_a_head_forward_over_gaps_but_never_back(heads: FeedHeads) -> None:
    before = heads.moves
    for revision, head in ((6, 6), (6, 6), (4, 6), (9, 9), (8, 9)):
        assert heads.follow(entry(revision))
        assert heads.moved_since(before) == {ACME: at(head)}
    assert heads.follow(entry(1, OTHER))
    assert list(heads.moved_since(before)) == [OTHER, ACME]
    assert heads.moved_since(heads.moves) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        replace(entry(5), digest=b"other"),
        replace(entry(6), previous_digest=b"other"),
        replace(entry(4), epoch=Epoch(2)),
    ],
)
def test_what_does_not_fit_is_a_doubt(heads: FeedHeads, wrong) -> None:
    assert not heads.follow(wrong)
    assert heads.doubts == {ACME}
    heads.decide(ACME, LogHead(at(3, 2), Revision(1)))
    assert heads.doubts == set()
    assert heads.get(ACME) == LogHead(at(3, 2), Revision(1))
    heads.decide(ACME, None)
    assert heads.get(ACME) is None


def test_an_earlier_life_of_the_log_is_not_used(heads: FeedHeads) -> None:
    heads.settle({ACME: at(5, epoch=2)})
    assert not heads.follow(entry(6))
    assert heads.doubts == set()
    assert heads.get(ACME) == LogHead(at(5, epoch=2), Revision(0))


def test_a_deletion_is_where_the_next_life_begins(heads: FeedHeads) -> None:
    heads.follow(replace(entry(6), body=TenantDeleted()))
    heads.follow(entry(7))
    heads.settle({ACME: at(8)})
    assert heads.get(ACME) == LogHead(at(8), Revision(6))
    heads.settle_one(ACME, LogHead(at(7), Revision(7)))
    assert heads.get(ACME) == LogHead(at(8), Revision(7))
    heads.settle_one(ACME, LogHead(at(9), Revision(9)))
    assert heads.get(ACME) == LogHead(at(9), Revision(9))


def test_the_primarys_head_counts_where_it_is_beyond_or_of_a_later_epoch(heads: FeedHeads) -> None:
    assert heads.lacking({ACME: at(4), OTHER: at(1)}) == {OTHER: at(1)}
    assert heads.lacking({ACME: at(6)}) == {ACME: at(6)}
    heads.settle({ACME: at(3, epoch=2)})
    assert heads.get(ACME) == LogHead(at(3, epoch=2), Revision(0))


def test_tenants_that_are_not_kept_are_forgotten(heads: FeedHeads) -> None:
    heads.doubts.add(ACME)
    heads.follow(entry(1, OTHER))
    assert heads.keep_only(frozenset([OTHER])) == [ACME]
    assert (heads.get(ACME), heads.doubts) == (None, set())
    heads.clear()
    assert heads.get(OTHER) is None
