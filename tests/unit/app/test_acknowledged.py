"""A write is known since the moment it was sent: others may have committed behind it meanwhile."""

from __future__ import annotations

import pytest

from grantlog.app.bundles import Bundles
from grantlog.app.resolve import token_of
from grantlog.model.bundle import Bundle
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.standing import follow_standing
from grantlog.schema.edit import EntityEdits
from grantlog.store.memory.heads import MemoryHeads
from tests.unit.app.world import SCHEMA, T1, Node

BUNDLE = Bundle("none", (), ())


class Slow:
    """A writer whose every write takes five seconds."""

    def __init__(self, writer, clock):
        self._writer = writer
        self._clock = clock

    def __getattr__(self, name):
        async def write(*args, **kwargs):
            self._clock.seconds += 5
            return await getattr(self._writer, name)(*args, **kwargs)

        return write


class Clock:
    seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
async def node():
    clock = Clock()
    plain = Node(now=clock)
    slow = Node(plain.tables, writer=Slow(plain.writer, clock), now=clock)
    slow.clock = clock
    slow.bundles = Bundles(
        writer=slow.writer,
        reader=MemoryHeads(slow.tables),
        write_data=slow.data,
        known=slow.known,
        new_id=lambda: b"i" * 16,
    )
    await slow.schemas.write(T1, SCHEMA)
    await slow.bundles.write(T1, [BUNDLE])
    return slow


WRITES = {
    "schema": lambda node: node.schemas.write(T1, SCHEMA),
    "part": lambda node: node.schemas.write_in_part(
        T1, {"doc": EntityEdits(("relation editor @user",), (), ())}, ""
    ),
    "facts": lambda node: node.put("doc:1#viewer@user:ann"),
    "removal": lambda node: node.data.remove(
        T1, tuples=TupleFilter(relation="viewer"), attributes=AttributeFilter()
    ),
    "bundle": lambda node: node.bundles.write(T1, [Bundle("other", (), ())]),
    "no bundle": lambda node: node.bundles.delete(T1, "none"),
}


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_is_known_since_it_was_sent_and_its_answer_stands_there(node, write):
    standing = follow_standing()
    begun_at = node.clock.seconds
    await WRITES[write](node)
    known = node.known.find(T1)
    assert known.complete_at == begun_at == node.clock.seconds - 5
    assert known.head == await MemoryHeads(node.tables).head(T1)
    assert (standing.snap_token, standing.complete_at) == (token_of(T1, known.head), None)


async def test_a_bundle_written_in_a_new_life_does_not_forget_when_that_began(node):
    await node.tenants.delete(T1)
    await node.bundles.write(T1, [BUNDLE])
    assert node.known.find(T1).head.begins > 0
