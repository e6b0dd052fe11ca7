"""Watching through the one address of the deployment."""

from __future__ import annotations

import pytest

from tests.e2e.test_watch import *  # noqa: F403 - its tests, run here too

# They start services of their own, and would say the same here.
test_ending_the_service_ends_watches_at_once_with_where_to_go_on = None
test_after_kill_9_a_watcher_goes_on_where_it_was = None

pytestmark: list[pytest.MarkDecorator] = []
"""The ways to serve that the marks there name are others than this one."""
