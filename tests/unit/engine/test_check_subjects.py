"""Relations, usersets, arrows, and facts that came with the request."""

from __future__ import annotations

from grantlog.ports.facts import DirectKey, SubjectsKey, UsersetsKey
from tests.unit.engine.asking import Asking

SCHEMA = """
entity user {}
entity group {
  relation member @user @group#member
  relation lead @user
}
entity folder {
  relation owner @user
  relation viewer @user @group#member
  permission view = viewer or owner
}
entity doc {
  relation parent @folder @group#member
  relation viewer @user @group#member @group#lead
  attribute public boolean
  permission view = viewer or parent.view or public
}
"""
# `parent` admits group#member, but groups have no `view`: the schema writer refuses that, an older
# plan must not stumble over it.
LOOSE = SCHEMA.replace("entity user {}", "entity user { relation view @user }")


def test_a_direct_subject_is_allowed_and_another_is_not():
    asking = Asking(LOOSE, "doc:1#viewer@user:1")
    assert asking.allowed("doc:1#viewer@user:1")
    assert not asking.allowed("doc:1#viewer@user:2")
    assert not asking.allowed("doc:2#viewer@user:1")


def test_usersets_are_followed_through_groups_of_groups():
    asking = Asking(
        LOOSE, "doc:1#viewer@group:a#member group:a#member@group:b#member group:b#member@user:1"
    )
    assert asking.allowed("doc:1#viewer@user:1")
    assert asking.allowed("doc:1#viewer@group:b#member")
    assert not asking.allowed("doc:1#viewer@group:b#lead")


def test_a_userset_holds_itself_without_tuples_at_every_level():
    asking = Asking(LOOSE, "doc:1#viewer@group:a#lead")
    assert asking.allowed("group:1#member@group:1#member")
    assert asking.check("group:1#member@group:1#member").check_count == 1
    assert asking.allowed("doc:1#viewer@group:a#lead")
    assert not asking.allowed("group:1#member@group:1#lead")
    assert asking.allowed("doc:7#view@doc:7#public")


def test_a_star_is_an_id_like_any_other():
    asking = Asking(LOOSE, "doc:1#viewer@user:*")
    assert asking.allowed("doc:1#viewer@user:*")
    assert not asking.allowed("doc:1#viewer@user:1")


def test_an_arrow_drops_the_subjects_relation_and_skips_types_without_the_name():
    asking = Asking(
        LOOSE, "doc:1#parent@folder:f doc:1#parent@group:a#member folder:f#owner@user:1"
    )
    assert asking.allowed("doc:1#view@user:1")
    assert not asking.allowed("doc:1#view@user:2")


def test_stored_tuples_that_the_schema_no_longer_admits_grant_nothing():
    asking = Asking(
        LOOSE,
        "doc:1#viewer@folder:f doc:1#viewer@folder:f#viewer folder:f#viewer@user:1 "
        "doc:2#parent@doc:1 doc:3#parent@folder:f#viewer doc:1$public|string:true",
    )
    assert not asking.allowed("doc:1#viewer@folder:f")
    assert not asking.allowed("doc:1#view@user:1")
    assert not asking.allowed("doc:2#view@user:1")
    assert not asking.allowed("doc:3#view@user:1")


def test_contextual_tuples_count_like_stored_ones():
    asking = Asking(LOOSE, "group:a#member@user:1 folder:f#owner@user:1")
    assert asking.allowed("doc:1#view@user:1", context="doc:1#viewer@group:a#member")
    assert asking.allowed("doc:1#view@user:1", context="doc:1#parent@folder:f")
    assert asking.allowed("doc:1#view@user:1", context="doc:1#viewer@user:1")
    assert not asking.allowed("doc:1#view@user:1")


def test_contextual_facts_that_the_schema_does_not_admit_count_for_nothing():
    context = (
        "doc:1#viewer@folder:f doc:1#nothing@user:1 page:1#viewer@user:1 doc:1$public|string:x"
    )
    assert not Asking(LOOSE).allowed("doc:1#view@user:1", context=context)


def test_a_contextual_attribute_wins_over_the_stored_one():
    asking = Asking(LOOSE, "doc:1$public|boolean:true")
    assert asking.allowed("doc:1#view@user:1")
    assert not asking.allowed("doc:1#view@user:1", context="doc:1$public|boolean:false")
    first = "doc:1$public|boolean:false doc:1$public|boolean:true"
    assert not asking.allowed("doc:1#view@user:1", context=first)


def test_a_contextual_attribute_wins_in_rules_too():
    schema = """
    entity user {}
    entity doc {
      attribute level integer
      permission view = low(level)
    }
    rule low(level integer) {
      level < 3
    }
    """
    asking = Asking(schema, "doc:1$level|integer:5")
    assert not asking.allowed("doc:1#view@user:1")
    assert asking.allowed("doc:1#view@user:1", context="doc:1$level|integer:2")
    assert asking.allowed("doc:2#view@user:1")


def test_every_level_is_one_batch_over_all_open_branches():
    asking = Asking(LOOSE, "doc:1#parent@folder:f folder:f#viewer@group:a#member")
    assert not asking.allowed("doc:1#view@user:1")
    kinds = [sorted(type(key).__name__ for key in batch) for batch in asking.table.batches]
    assert kinds == [
        ["AttributeKey", "DirectKey", "SubjectsKey", "UsersetsKey"],
        ["DirectKey", "DirectKey", "UsersetsKey"],
        ["DirectKey", "UsersetsKey"],
    ]


def test_a_fact_is_asked_once_though_two_permissions_need_it():
    schema = SCHEMA.replace("@folder @group#member", "@folder").replace(
        "permission view = viewer or parent.view or public",
        "permission view = (parent.view or parent.owner) not (parent.viewer and public)",
    )
    asking = Asking(schema, "doc:1#parent@folder:f folder:f#owner@user:1")
    assert asking.allowed("doc:1#view@user:1")
    keys = [key for batch in asking.table.batches for key in batch]
    assert [type(key) for key in keys].count(SubjectsKey) == 1
    assert len({(type(key), key) for key in keys}) == len(keys)


def test_only_what_the_relation_can_hold_is_asked():
    asking = Asking(LOOSE)
    asking.check("folder:f#owner@user:1")
    asking.check("folder:f#owner@group:a")
    asking.check("group:a#member@group:b#member")
    assert [[type(key) for key in batch] for batch in asking.table.batches] == [
        [DirectKey],
        [DirectKey, UsersetsKey],
    ]


def test_the_count_is_of_distinct_steps():
    asking = Asking(LOOSE, "doc:1#viewer@user:1")
    assert asking.check("doc:1#viewer@user:1").check_count == 1
    assert asking.check("doc:1#view@user:1").check_count == 3
