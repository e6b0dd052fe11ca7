"""What the lag benchmark makes of the times that it noted."""

import pytest
from lag import Lag, Seen, summary


def test_lag_runs_from_the_commit_and_a_write_from_when_it_was_due():
    seen = Seen(
        due={"a": 10.0, "b": 11.0},
        acknowledged={"a": 10.5, "b": 11.1},
        told={"a": 10.42, "b": 11.05},
        applied={"t": [(10.0, 0), (10.6, 1), (11.5, 3)]},
    )
    commits = [("t", 1, 10.4, "a"), ("t", 2, 11.0, "b"), ("t", 3, 12.0, "of the warm-up")]
    found = summary(seen, commits, offered=1.0, achieved=1.0, cores={})
    assert found.writes == 2
    assert (found.write_p50, found.write_p99) == pytest.approx((500, 500))
    assert (found.subscriber_p50, found.subscriber_p99) == pytest.approx((50, 50))
    assert (found.replica_p50, found.replica_p99) == pytest.approx((500, 500))


def test_a_rate_that_was_not_kept_and_a_missed_bar_are_told():
    lag = Lag(500, 400, 1, 1, 1, 10, 49, 10, 101, {})
    offered, _cores, subscriber, replica = lag.verdicts()
    assert "NOT EQUAL" in offered
    assert subscriber.endswith("met")
    assert replica.endswith("MISSED")
