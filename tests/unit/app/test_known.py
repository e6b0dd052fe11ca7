"""What a node knows of heads, and since when."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from grantlog.app.known import KnownHeads
from grantlog.model.ids import Epoch, Revision, SchemaVersion, TenantId
from grantlog.ports.heads import Head
from grantlog.ports.writer import Committed

T1 = TenantId("t1")

MOVES = st.lists(
    st.tuples(st.sampled_from(("write", "send", "answer", "epoch")), st.integers(0, 9)),
    max_size=40,
)


def head(epoch: int, revision: int) -> Head:
    return Head(Epoch(epoch), Revision(revision), SchemaVersion(""))


@given(MOVES)
def test_every_write_committed_by_then_is_in_the_head_that_is_known(moves):
    """Answers come in any order, and late; some are of a database that was failed over since."""
    known = KnownHeads(lambda: 0.0)
    now = 0.0
    current = (1, 0)
    committed = [(now, current)]
    under_way = []
    for move, which in moves:
        now += 1
        match move:
            case "write":
                current = (current[0], current[1] + 1)
                committed.append((now, current))
            case "epoch":  # what was lost is not looked for
                current = (current[0] + 1, max(current[1] - which, 0))
                committed = [(now, current)]
            case "send":
                under_way.append((now, current))
            case "answer" if under_way:
                asked_at, seen = under_way.pop(which % len(under_way))
                known.learn(T1, head(*seen), asked_at)
        found = known.find(T1)
        if found is not None:
            place = (found.head.epoch, found.head.revision)
            missed = [at for at, done in committed if done > place]
            assert all(at > found.complete_at for at in missed), moves


def test_a_digest_that_is_known_stays_known():
    """It is what tells a restored log's transaction at that revision from the one that was lost."""
    known = KnownHeads(lambda: 0.0)
    bare, told = head(1, 9), replace(head(1, 9), digest=b"told")
    known.learn(T1, bare, 10.0)
    assert known.learn(T1, told, 11.0).head.digest == b"told"
    assert known.learn(T1, bare, 12.0) == (told, 12.0)
    assert known.learn(T1, replace(told, digest=b"another"), 13.0).head.digest == b"told"
    done = Committed(told.epoch, Revision(10), told.schema_version, digest=b"mine")
    known.acknowledge(T1, done, 14.0)
    assert known.heads()[T1].digest == b"mine"


def test_the_newest_head_and_the_latest_knowledge_may_come_from_different_answers():
    known = KnownHeads(lambda: 0.0)
    known.learn(T1, head(1, 9), 10.0)
    assert known.learn(T1, head(1, 7), 12.0) == (head(1, 9), 12.0)
    assert known.learn(T1, head(1, 10), 11.0) == (head(1, 10), 12.0)
    assert known.learn(T1, head(2, 3), 13.0) == (head(2, 3), 13.0)


def test_a_database_that_was_failed_over_says_nothing_about_now():
    known = KnownHeads(lambda: 0.0)
    known.learn(T1, head(2, 3), 10.0)
    assert known.learn(T1, head(1, 50), 99.0) == (head(2, 3), 10.0)
