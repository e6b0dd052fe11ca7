"""A topic that says nothing is told once, and told again when it speaks."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from grantlog.consumer.follow import ConsumerLimits, _Following
from grantlog.consumer.sequence import Sequencer
from grantlog.consumer.silence import Silence
from grantlog.consumer.values import Positions


def test_silence_is_told_once_until_the_topic_is_heard_again() -> None:
    silence = Silence("old", 60.0, now=0.0)
    with capture_logs() as said:
        for now in (1.0, 59.9):
            silence.note(0, now)
        assert said == []
        silence.note(0, 60.0)
        silence.note(0, 200.0)
        (told,) = said
        assert (told["log_level"], told["topic"], told["silent_s"]) == ("warning", "old", 60)
        silence.note(3, 201.0)
        silence.note(1, 202.0)
        assert [line["log_level"] for line in said] == ["warning", "info"]
        silence.note(0, 262.0)
        assert [line["log_level"] for line in said] == ["warning", "info", "warning"]


async def test_a_consumer_listens_for_silence() -> None:
    stop = asyncio.Event()
    reads = 0

    class Mute:
        async def read(self) -> list[object]:
            nonlocal reads
            reads += 1
            if reads == 3:
                stop.set()
            return []

    limits = ConsumerLimits(silence_s=0.0)
    sequence = Sequencer("old", Positions())
    with capture_logs() as said:
        await _Following(sequence, None, None, None, limits).run(Mute(), stop)
    assert [line["topic"] for line in said] == ["old"]
