"""Telling of a topic that says nothing: publishers beat on every partition about once a second."""

from __future__ import annotations

from typing import Final

import structlog

_LOG: Final = structlog.get_logger("grantlog.consumer")


class Silence:
    """Notices that nothing comes, and tells it once until something does.

    Args:
        topic: its name.
        silence_s: for how long nothing may come.
        now: seconds of a clock that only goes forward, as in `note`.
    """

    def __init__(self, topic: str, silence_s: float, now: float) -> None:
        self._topic = topic
        self._silence_s = silence_s
        self._heard_at = now
        self._told = False

    def note(self, messages: int, now: float) -> None:
        """So many messages came just now."""
        if messages:
            if self._told:
                _LOG.info("the topic is heard again", topic=self._topic)
            self._heard_at, self._told = now, False
        elif not self._told and now - self._heard_at >= self._silence_s:
            self._told = True
            _LOG.warning(
                "nothing comes from the topic, not even a heartbeat",
                topic=self._topic,
                silent_s=round(now - self._heard_at),
                because="Kafka does not answer, nobody publishes, or the log moved to another "
                "topic: `grantlog topic status` tells",
            )
