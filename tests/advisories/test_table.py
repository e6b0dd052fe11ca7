"""README.md names every advisory, and what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.advisories.ids import GROUPS, MUST_BE_TESTED

HERE = Path(__file__).parent
TESTS = HERE.parent
_ROW = re.compile(r"\| (?P<id>[\w-]+) \|(?P<says>.*)\|")
_NODE = re.compile(r"`([\w/]+\.py)::([\w:]+)`")


def rows() -> dict[str, str]:
    """Each id's row."""
    found: dict[str, str] = {}
    for line in (HERE / "README.md").read_text(encoding="utf-8").splitlines():
        row = _ROW.fullmatch(line)
        if row and row["id"] not in {"Id", "--"}:
            assert row["id"] not in found, f"{row['id']} stands there twice"
            found[row["id"]] = row["says"]
    return found


def functions(path: Path) -> set[str]:
    """The tests of a file: `test_x`, and `Class::test_x`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if hasattr(part, "name")}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_every_advisory_of_a_group_has_its_row(group: str):
    known = rows()
    missing = [id_ for id_ in GROUPS[group] if id_ not in known]
    assert not missing
    for id_ in GROUPS[group]:
        if group in MUST_BE_TESTED:
            assert _NODE.search(known[id_]), f"{id_} names no test"
        else:
            assert _NODE.search(known[id_]) or "does not apply" in known[id_], id_


def test_no_row_is_about_something_else():
    assert rows().keys() == {id_ for ids in GROUPS.values() for id_ in ids}


def test_every_test_that_a_row_names_is_there():
    for id_, says in rows().items():
        for file, name in _NODE.findall(says):
            path = HERE / file if "/" not in file else TESTS / file
            if not path.exists():
                path = TESTS.parent / file
            assert path.exists(), (id_, file)
            assert name in functions(path), (id_, file, name)


def test_every_test_of_an_advisory_is_named_in_a_row():
    named = {(file, name) for says in rows().values() for file, name in _NODE.findall(says)}
    for path in sorted(HERE.glob("test_[a-i]_*.py")):
        for name in functions(path):
            if name.startswith("test_") and not name.startswith("test_group_"):
                assert (path.name, name) in named, f"{path.name}::{name} is in no row"
