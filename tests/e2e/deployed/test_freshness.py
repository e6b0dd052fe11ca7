"""Terms and standings through the one address of the deployment."""

from __future__ import annotations

from tests.e2e.test_freshness import *  # noqa: F403 - its tests, run here too
