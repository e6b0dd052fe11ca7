"""What a signal says."""

from __future__ import annotations

from grantlog.store.postgres.signal import ANY_TENANT, PAYLOAD_BYTES_MAX, payload_of


def test_a_payload_names_tenants_or_says_that_any_may_have_changed():
    assert payload_of({"b", "a"}) == "a\nb"
    assert payload_of({"x" * PAYLOAD_BYTES_MAX}) == "x" * PAYLOAD_BYTES_MAX
    assert payload_of({"x" * PAYLOAD_BYTES_MAX, "y"}) == ANY_TENANT
