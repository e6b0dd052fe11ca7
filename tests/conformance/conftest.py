"""One server for all cases; each case has a tenant of its own."""

from __future__ import annotations

from tests.servers import server

__all__ = ["server"]
