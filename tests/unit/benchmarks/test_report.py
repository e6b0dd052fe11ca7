"""What is printed of a row, and how it stands against the bars."""

from dataclasses import replace

import pytest
from bars import verdicts
from bench import cache_hits
from cases import CASES, chosen, mistakes
from drive import Result
from report import Row, header, line, load_rates, save, writes_line


def result(rate, offered=0.0, p99=1.0, cpu=0.1):
    return Result(int(rate), int(rate), 1.0, rate, 0.5, p99, 0, "", cpu, offered)


def row(what="grpc check 3-level, result-warm", rate=20_000.0, half=None, others=0.0, size=10_000):
    us = {"api": 40.0, "database": 2.0}
    hits, memory = {"result": 1.0, "relation": 0.0}, {"api": 80.0, "database": 200.0}
    return Row(what, size, 64, result(rate), us, others, hits, memory, half)


def test_a_row_has_a_cell_for_each_column_and_a_rate_that_was_not_kept_is_marked():
    text = line(row(half=result(9_000, offered=10_000)), {})
    assert text.count("|") == header().split("\n")[0].count("|")
    assert "9,000!" in text
    assert "9,900!" not in line(row(half=result(9_900, offered=10_000)), {})


def test_writes_between_checks_are_told_below_their_row_and_of_no_other():
    half = replace(result(9_000, 9_000, p99=3.0), write_p50_ms=9.0, write_p99_ms=30.0)
    assert writes_line(row(half=half)) == (
        "  of its checks p50 0.50 ms, p99 3.00 ms; of its writes p50 9.00 ms, p99 30.00 ms"
    )
    assert writes_line(row(half=result(9_000))) == writes_line(row()) == ""


def test_the_last_column_is_the_rate_against_the_baseline():
    assert "2.00x" in line(row(), {row().key: 10_000.0})


def test_the_generator_costs_its_share_of_a_core_divided_by_the_rate():
    assert row().generator_us == 0.1 / 20_000 * 1e6


def test_bars_are_met_or_missed_at_the_rate_and_at_half_of_it():
    notes = {"growth_p50": {"cold": {"10000": 1.0, "1000000": 1.5}}}
    told = list(verdicts([row(rate=17_000, half=result(8_500, 8_500, p99=4.0))], notes))
    assert [text.rpartition(": ")[2] for text in told] == ["MISSED", "met", "MISSED"]


def test_a_bar_counts_items_and_knows_its_world():
    bulk = row("grpc bulk check of 100, relation-warm", rate=401)
    cold = row("grpc check 3-level, cold", rate=1)
    told = list(verdicts([bulk, cold], {"growth_p50": {}}))
    assert told == [
        "grpc bulk check of 100, relation-warm, 10,000 tuples: 40,100/s, bar 40,000/s: met"
    ]


def test_a_busy_machine_and_a_rate_that_was_not_kept_are_told():
    told = list(verdicts([row(half=result(9, 10), others=0.5)], {"growth_p50": {}}))
    assert any("NOT the offered" in text for text in told)
    assert any("not quiet" in text for text in told)


def test_only_takes_rows_that_have_all_words_of_one_choice():
    only = chosen(["grpc 3-level relation", "lookups"])
    taken = [case.name for case in CASES if only.takes(f"{case.name} 10000")]
    assert taken == ["grpc check 3-level, relation-warm"]
    assert only.takes("lookups")
    sized = chosen(["denied cold 10000"])
    assert [sized.takes(f"check denied, cold {n}") for n in (10_000, 1_000_000)] == [True, False]
    assert chosen([]).takes("anything")


@pytest.mark.parametrize(
    ("words", "takes"),
    [
        ("cold 10,000", [True, False]),
        ("COLD 3-Level", [True, True]),
        ("cold 3-level, 1000000", [False, True]),
        ("cold 1,000", [False, False]),
    ],
)
def test_only_is_read_as_the_table_is_written(words, takes):
    names = [f"grpc check 3-level, cold {size}" for size in (10_000, 1_000_000)]
    assert [chosen([words]).takes(name) for name in names] == takes


def test_only_that_takes_nothing_is_told_with_the_word_that_is_meant():
    names = [*(f"{case.name} 10000" for case in CASES), "lookups", "lag"]
    assert not list(mistakes(["grpc 3-level", "LAG", "bulk 10,000"], names))
    told = list(mistakes(["lag", "grpc 3-levle", "lokups", "cold result", "cold 1000000"], names))
    assert [text.split(": ")[-1] for text in told] == [
        "none has '3-levle'; did you mean '3-level'?",
        "none has 'lokups'; did you mean 'lookups'?",
        "some have each of them, none all",
        "none has '1000000'; did you mean '10000'?",
    ]


def test_no_two_cases_have_one_name():
    assert len({case.name for case in CASES}) == len(CASES)


def test_hits_are_read_from_the_metrics_of_all_workers():
    text = (
        "# TYPE grantlog_cache_hits_total counter\n"
        'grantlog_cache_hits_total{cache="result"} 3\n'
        'grantlog_cache_hits_total{cache="relation",worker="1"} 4.0\n'
        'grantlog_cache_entries{cache="result"} 9\n'
    )
    assert cache_hits(text) == {"result": 3.0, "relation": 4.0}


def test_rows_are_added_to_those_of_an_earlier_run_and_replace_their_like(tmp_path):
    path = tmp_path / "results" / "run.json"
    save(path, [row("a", 1.0), row("b", 2.0)], {"growth_p50": {"cold": {"1": 2.0}}})
    saved = save(path, [row("b", 3.0)], {"growth_p50": {}}, add=True)
    assert load_rates(path) == {"a/10000/64": 1.0, "b/10000/64": 3.0}
    assert saved["notes"] == {"growth_p50": {"cold": {"1": 2.0}}}
    save(path, [row("c", 4.0)], {})
    assert load_rates(path) == {"c/10000/64": 4.0}
