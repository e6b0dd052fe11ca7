"""Keys hash alike in every run here: whether two share a slot is no matter of luck."""

from __future__ import annotations

import pytest

from grantlog.cache import clock
from tests.unit.cache.making import stable_hash


@pytest.fixture(autouse=True)
def same_slots_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "hash", stable_hash, raising=False)
