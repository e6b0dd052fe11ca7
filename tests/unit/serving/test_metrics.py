"""Prometheus's text format, as far as it is used."""

from __future__ import annotations

from grantlog.serving.metrics import Distribution, Family, exposition, labelled


def test_families_are_told_with_their_kind_and_labels():
    hits = Family(
        "grantlog_hits_total", "counter", "Hits.", [({"cache": "a"}, 3), ({"cache": "b"}, 0)]
    )
    size = Family("grantlog_bytes", "gauge", "Held.", [({}, 1.5)])
    assert exposition([hits, size]) == (
        "# HELP grantlog_hits_total Hits.\n"
        "# TYPE grantlog_hits_total counter\n"
        'grantlog_hits_total{cache="a"} 3\n'
        'grantlog_hits_total{cache="b"} 0\n'
        "# HELP grantlog_bytes Held.\n"
        "# TYPE grantlog_bytes gauge\n"
        "grantlog_bytes 1.5\n"
    )


def test_values_of_labels_are_escaped():
    odd = Family("grantlog_odd", "gauge", "Odd.", [({"a": 'x"\\\n'}, 1)])
    assert exposition([odd]).splitlines()[-1] == r'grantlog_odd{a="x\"\\\n"} 1'


def test_labels_that_say_whose_numbers_they_are_stand_first():
    size = Family("grantlog_bytes", "gauge", "Held.", [({"cache": "a"}, 1), ({}, 2)])
    assert exposition(labelled([size], {"worker": "1"})).splitlines()[-2:] == [
        'grantlog_bytes{worker="1",cache="a"} 1',
        'grantlog_bytes{worker="1"} 2',
    ]
    assert labelled([size], {}) == [size]


def test_each_bucket_counts_those_below_it_too():
    took = Distribution((0.1, 2.5), (3, 0, 1), 7.25)
    family = Family("grantlog_seconds", "histogram", "Took.", [({"method": "M"}, took)])
    assert exposition([family]) == (
        "# HELP grantlog_seconds Took.\n"
        "# TYPE grantlog_seconds histogram\n"
        'grantlog_seconds_bucket{method="M",le="0.1"} 3\n'
        'grantlog_seconds_bucket{method="M",le="2.5"} 3\n'
        'grantlog_seconds_bucket{method="M",le="+Inf"} 4\n'
        'grantlog_seconds_sum{method="M"} 7.25\n'
        'grantlog_seconds_count{method="M"} 4\n'
    )


def test_nothing_is_said_of_nothing():
    assert exposition([]) == ""
    assert exposition([Family("grantlog_none", "gauge", "None.", [])]) == ""
