"""The planted mistakes are in the schema that is shipped, and change it."""

from pathlib import Path

import posixfs
import pytest
from posixfs.planted import MISTAKES, plant

SCHEMA = (Path(posixfs.__file__).parents[1] / "schema.perm").read_text()


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_planted_schema_differs_from_the_right_one(mistake):
    assert plant(SCHEMA, mistake) != SCHEMA


def test_without_ancestors_nothing_climbs():
    assert "parent.search" not in plant(SCHEMA, "no-ancestors")


def test_without_classes_nothing_is_excluded():
    rules_apart = plant(SCHEMA, "no-classes").split("rule ")[0]
    assert " not " not in "\n".join(
        line for line in rules_apart.splitlines() if not line.startswith("//")
    )


def test_a_schema_without_the_piece_is_refused():
    with pytest.raises(ValueError, match="to plant"):
        plant("entity user {}", "no-ancestors")
