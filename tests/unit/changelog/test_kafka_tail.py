"""What the end of the topic tells whoever takes a partition: a witness of writes that were lost."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import UnsupportedCodecError

from grantlog.changelog.kafka import tail
from grantlog.changelog.kafka.client import KafkaOptions, translating_kafka
from grantlog.changelog.kafka.message import EVENT, KIND, PART, PUBLISHER, REVISION
from grantlog.changelog.kafka.tail import place_of
from grantlog.changelog.kafka.topic import TopicSpec
from grantlog.changelog.postgres.outbox import Lease
from grantlog.errors import UnavailableError
from grantlog.event.v1 import event_pb2
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.log import Position

_WELL = {KIND: EVENT, PUBLISHER: b"1.1", REVISION: b"1", PART: b"0/1"}


class Strange:
    """A consumer that meets a record which the client cannot read."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.start = self.stop = _nothing

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 5)

    def assign(self, places: list[TopicPartition]) -> None: ...

    def seek(self, place: TopicPartition, offset: int) -> None: ...

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[object]]:
        del timeout_ms
        raise self._error


async def _nothing() -> None: ...


@pytest.mark.parametrize(
    "error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), UnsupportedCodecError()]
)
async def test_a_record_that_nobody_can_read_keeps_nobody_from_publishing(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hold(places: Mapping[TenantId, Position]) -> Epoch | None:
        raise AssertionError(places)

    monkeypatch.setattr(tail, "new_consumer", lambda *_: Strange(error))
    spec = TopicSpec(partitions=4)
    kept = tail.TopicTail(KafkaOptions("kafka:9092"), spec, hold)
    await kept.look_back([Lease(0, 1, 2)])
    with (
        pytest.raises(UnavailableError, match="nobody here can read"),
        translating_kafka("reading"),
    ):
        raise error


def test_what_is_no_event_of_ours_has_no_place() -> None:
    well = event_pb2.Event(tenant="acme", epoch=1, revision=1, parts=1).SerializeToString()
    assert place_of(b"acme", well, list(_WELL.items()))
    assert place_of(b"acme", b"\xff", list(_WELL.items())) is None
    assert place_of(b"other", well, list(_WELL.items())) is None
    for name in _WELL:
        assert place_of(b"acme", well, list((_WELL | {name: None}).items())) is None


@pytest.mark.parametrize("fence", [b"1.9", b"4000000000.1", b"0.0"])
def test_an_event_is_a_witness_whatever_its_fence(fence: bytes) -> None:
    """A primary that was put back does not know which fences it gave away after its backup."""
    event = event_pb2.Event(tenant="acme", epoch=1, revision=1, parts=1, digest=b"d")
    headers = list((_WELL | {PUBLISHER: fence}).items())
    assert place_of(b"acme", event.SerializeToString(), headers) == (
        TenantId("acme"),
        Position(Epoch(1), Revision(1), b"d"),
    )
