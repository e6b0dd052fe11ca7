"""Terms and standings through the one address of the deployment."""

from __future__ import annotations

from tests.e2e.test_freshness import *  # noqa: F403 - its tests, run here too

# It asks for `node`, which is right only where nobody writes through another node.
test_every_reading_call_takes_a_consistency_and_says_where_it_stands = None
