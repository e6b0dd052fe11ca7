"""Parts put together, wherever they come from."""

from __future__ import annotations

import pytest

from grantlog.changelog import parts
from grantlog.changelog.parts import assembled
from grantlog.errors import CorruptionError
from grantlog.model.ids import Revision
from grantlog.wire.event import encode_transaction
from tests.unit.changelog.test_intake import ACME, OTHER, entry


@pytest.mark.parametrize("on_loop_max", [parts.BYTES_ON_LOOP_MAX, 0], ids=["on loop", "beside it"])
async def test_a_transaction_is_had_again_from_its_parts(
    monkeypatch: pytest.MonkeyPatch, on_loop_max: int
) -> None:
    monkeypatch.setattr(parts, "BYTES_ON_LOOP_MAX", on_loop_max)
    assert await assembled(ACME, Revision(7), encode_transaction(entry(7))) == entry(7)


@pytest.mark.parametrize("other", [entry(8), entry(7, OTHER)], ids=["revision", "tenant"])
async def test_another_transaction_than_the_announced_one_is_refused(other) -> None:
    with pytest.raises(CorruptionError, match="revision 7 is another transaction"):
        await assembled(ACME, Revision(7), encode_transaction(other))
