"""The official clients, against the one address of the deployment."""

from __future__ import annotations

import pytest

from tests.e2e.test_clients import *  # noqa: F403 - its tests, run here too

pytestmark: list[pytest.MarkDecorator] = []
"""The ways to serve that the marks there name are others than this one."""
