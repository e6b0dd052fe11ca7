"""Bundles through the one address of the deployment."""

from __future__ import annotations

from tests.e2e.test_bundles import *  # noqa: F403 - its tests, run here too
