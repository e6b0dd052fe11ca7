"""Expand: the tree of each element, cycles and bounds."""

from __future__ import annotations

import pytest

from grantlog.errors import InvalidInputError, LimitError, NotFoundError
from tests.unit.engine.looking import Looking

SCHEMA = """
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation parent @folder
  relation viewer @user
  permission view = viewer or parent.view
}
entity doc {
  relation parent @folder
  relation viewer @user @group#member
  relation owner @user
  relation banned @user
  attribute public boolean
  attribute level integer
  permission view = viewer
  permission edit = owner or viewer not banned
  permission twice = owner or owner
  permission inherited = parent.view
  permission open = public
  permission ruled = fits(level, public)
  permission self = self or owner
}
rule fits(level integer, public boolean) { level < 3 || public }
"""


@pytest.mark.parametrize(
    ("place", "facts", "expected"),
    [
        ("doc:1#owner", "", "doc:1#owner {}"),
        ("doc:1#view", "doc:1#viewer@user:b doc:1#viewer@user:a", "doc:1#viewer {user:a user:b}"),
        (
            "doc:1#edit",
            "doc:1#owner@user:a doc:1#banned@user:c",
            (
                "doc:1#edit not (doc:1#edit or (doc:1#owner {user:a}, doc:1#viewer {}), "
                "doc:1#banned {user:c})"
            ),
        ),
        ("doc:1#twice", "", "doc:1#twice or (doc:1#owner {}, doc:1#owner {})"),
        (
            "doc:1#viewer",
            (
                "doc:1#viewer@group:h#member doc:1#viewer@group:g#member doc:1#viewer@user:z "
                "group:g#member@user:1"
            ),
            (
                "doc:1#viewer or (group:g#member {user:1}, group:h#member {}, "
                "doc:1#viewer {user:z group:g#member group:h#member})"
            ),
        ),
        ("doc:1#inherited", "", "doc:1#parent or ()"),
        (
            "doc:1#inherited",
            "doc:1#parent@folder:f folder:f#viewer@user:1",
            "doc:1#parent or (folder:f#view or (folder:f#viewer {user:1}, folder:f#parent or ()))",
        ),
        ("doc:1#open", "", "doc:1#public = False"),
        ("doc:1#open", "doc:1$public|boolean:true", "doc:1#public = True"),
        ("doc:1#open", "doc:1$public|string:x", "doc:1#public = False"),
        (
            "doc:1#ruled",
            "doc:1$level|integer:7",
            "doc:1#fits(level, public) [level=7, public=False]",
        ),
        ("doc:1#self", "", "doc:1#self or (doc:1#self {doc:1#self}, doc:1#owner {})"),
    ],
)
def test_the_tree_of_each_element(place: str, facts: str, expected: str):
    assert Looking(SCHEMA, facts).tree(place) == expected


def test_facts_sent_along_are_in_the_tree():
    world = Looking(SCHEMA, "doc:1$public|boolean:false doc:1#owner@user:b")
    sent = "doc:1$public|boolean:true doc:1#owner@user:a doc:1#owner@group:g#member"
    assert world.tree("doc:1#open", context=sent) == "doc:1#public = True"
    assert world.tree("doc:1#owner", context=sent) == "doc:1#owner {user:a user:b}"


def test_a_rule_asked_by_its_name_shows_what_it_would_see():
    world = Looking(SCHEMA, "doc:1$level|integer:7")
    shown = world.tree("doc:1#fits", arguments=("level", "public"))
    assert shown == "doc:1#fits(level, public) [level=7, public=False]"


def test_subjects_that_the_schema_does_not_admit_are_left_out():
    facts = "doc:1#owner@group:g#member doc:1#owner@user:a"
    assert Looking(SCHEMA, facts).tree("doc:1#owner") == "doc:1#owner {user:a}"


def test_a_cycle_ends_in_a_leaf_that_names_itself():
    world = Looking(SCHEMA, "group:g#member@group:h#member group:h#member@group:g#member")
    assert world.tree("group:g#member") == (
        "group:g#member or (group:h#member or (group:g#member {group:g#member}, "
        "group:h#member {group:g#member}), group:g#member {group:h#member})"
    )


def test_pages_are_put_together():
    facts = " ".join(f"doc:1#owner@user:{n}" for n in range(7))
    assert len(Looking(SCHEMA, facts, page_max=2).tree("doc:1#owner").split()) == 8


def test_unknown_names_are_errors():
    world = Looking(SCHEMA)
    for place in ("doc:1#none", "none:1#view"):
        with pytest.raises(NotFoundError) as refused:
            world.tree(place)
        assert refused.value.reason == "ERROR_CODE_SCHEMA_NOT_FOUND"
    with pytest.raises(InvalidInputError):
        world.tree("doc:1#level")


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        ("expand.NODES_MAX", "nodes_max"),
        ("expand.LEVELS_MAX", "levels_max"),
        ("expand_facts.SUBJECTS_MAX", "subjects_max"),
    ],
)
def test_a_tree_beyond_a_bound_is_refused(monkeypatch, bound: str, text: str):
    facts = " ".join(f"folder:{n}#parent@folder:{n + 1} folder:{n}#viewer@user:1" for n in range(9))
    monkeypatch.setattr(f"grantlog.engine.{bound}", 5)
    with pytest.raises(LimitError, match=text):
        Looking(SCHEMA, facts).tree("folder:0#view")


def test_a_wide_mesh_of_groups_ends_at_the_bound():
    names = range(12)
    facts = " ".join(f"group:{a}#member@group:{b}#member" for a in names for b in names if a != b)
    with pytest.raises(LimitError):
        Looking(SCHEMA, facts).tree("group:0#member")
