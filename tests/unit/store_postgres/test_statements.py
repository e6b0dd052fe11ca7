"""Named statements."""

from __future__ import annotations

import pytest

from grantlog.store.postgres.statements import load, parse


def test_blocks_are_split_by_name_and_lose_comments():
    text = "-- about\n\n-- name: one\n-- why\nSELECT 1,\n    2;\n\n-- name: two\nSELECT 3;\n"
    assert parse(text) == {"one": "SELECT 1,\n    2", "two": "SELECT 3"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;\n-- name: one\nSELECT 1;",
        "-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;",
        "-- name: one\n-- name: two\nSELECT 2;",
    ],
)
def test_a_file_that_is_not_made_of_blocks_is_refused(text: str):
    with pytest.raises(ValueError, match=r"stands|empty"):
        parse(text)


@pytest.mark.parametrize("name", ["epoch", "heads", "match", "migrate", "rows", "signal", "write"])
def test_every_file_of_statements_loads(name: str):
    assert all(sql and ";" not in sql for sql in load(name).values())
