"""Stored bundles: named templates of data writes."""

from __future__ import annotations

from typing import Final, Protocol

from grantlog.model.ids import TenantId

BUNDLES_MAX: Final = 1_000
"""Bundles that a tenant may have."""


class BundleReader(Protocol):
    """Reads bundles from the primary."""

    async def bundle(self, tenant: TenantId, name: str) -> str | None:
        """The definition, as it was written; None if the tenant has no bundle of that name.

        Raises:
            UnavailableError: the primary does not answer.
        """
        ...
