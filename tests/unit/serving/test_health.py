"""What a node says of itself, and when it logs it."""

from __future__ import annotations

from structlog.testing import capture_logs

from grantlog.errors import UnavailableError
from grantlog.serving.health import DEGRADED_TOLD_S, Health, HealthProbe


class Asked:
    """A probe that says what it is told to, and a clock."""

    def __init__(self) -> None:
        self.degraded = ""
        self.away = ""
        self.now = 0.0

    async def probe(self) -> str:
        if self.away:
            raise UnavailableError(self.away)
        return self.degraded


def made() -> tuple[Asked, HealthProbe]:
    asked = Asked()
    return asked, HealthProbe(asked.probe, clock=lambda: asked.now)


async def test_what_is_degraded_is_told_and_serves():
    asked, probe = made()
    asked.degraded = "no projector beats"
    assert await probe.health() == Health(degraded="no projector beats")
    assert await probe.serving()


async def test_what_keeps_it_from_serving_is_told():
    asked, probe = made()
    asked.away = "the database does not answer"
    assert await probe.health() == Health("the database does not answer")
    assert not await probe.serving()
    probe.drain()
    assert (await probe.health()).because == "shutting down"


async def test_degradation_is_one_warning_once_it_lasts_and_one_line_when_it_ends():
    asked, probe = made()
    asked.degraded = "no projector beats"
    with capture_logs() as logs:
        for asked.now in (0.0, DEGRADED_TOLD_S - 0.1, DEGRADED_TOLD_S, DEGRADED_TOLD_S + 1):
            await probe.health()
        asked.degraded = ""
        await probe.health()
        await probe.health()
    said = [(entry["log_level"], entry["event"]) for entry in logs]
    assert said == [("info", "serving"), ("warning", "degraded"), ("info", "not degraded any more")]


async def test_a_node_that_stops_serving_warns_once_and_says_when_it_serves_again():
    asked, probe = made()
    with capture_logs() as logs:
        for asked.away in ("", "away", "away", ""):
            await probe.health()
    said = [(entry["log_level"], entry["event"]) for entry in logs]
    assert said == [("info", "serving"), ("warning", "not serving"), ("info", "serving")]
