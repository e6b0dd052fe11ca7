"""Runs are compared by name; what only one of them has is left out."""

from compare import compare


def run(rate, p50, all_ms):
    row = {"what": "grpc check", "size": 1000, "in_flight": 8, "result": {"rate": rate}}
    row["half"] = {"p99_ms": 2.0}
    looked = {"what": "entities", "size": 10, "first_ms": 1.0, "all_ms": all_ms, "paged_ms": 3.0}
    return {
        "machine": {"cpu": "a", "cores": 2},
        "rows": [row],
        "notes": {"growth_p50": {"cold": {"10000": p50}}, "lookups": [looked]},
    }


def test_more_calls_and_fewer_milliseconds_are_better():
    lines = list(compare(run(100.0, 1.0, 10.0), run(200.0, 2.0, 5.0)))
    assert [line.split()[-1] for line in lines[1:4]] == ["better", "1.00x", "WORSE"]
    assert "0.50x better" in next(line for line in lines if ", all, ms" in line)
    assert lines[4].endswith("1.00x ")


def test_writes_between_checks_are_compared_where_both_runs_know_them():
    before, now = run(100.0, 1.0, 10.0), run(100.0, 1.0, 10.0)
    now["rows"][0]["half"]["write_p99_ms"] = 40.0
    assert not any("of its writes" in line for line in compare(before, now))
    before["rows"][0]["half"]["write_p99_ms"] = 20.0
    (told,) = [line for line in compare(before, now) if "of its writes" in line]
    assert told.endswith("2.00x WORSE")


def test_what_only_one_run_has_is_left_out():
    before = run(100.0, 1.0, 10.0)
    before["rows"] = []
    assert not any("calls/s" in line for line in compare(before, run(1.0, 1.0, 1.0)))
