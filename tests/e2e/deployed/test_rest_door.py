"""The REST door, through the one address of the deployment."""

from __future__ import annotations

from tests.e2e.test_rest_door import *  # noqa: F403 - its tests, run here too

# compose.yaml lets no page of another origin in.
test_browsers_may_call_it = None
