"""Looking up entities: what is found, in which order, and what it costs."""

from __future__ import annotations

import pytest

from grantlog.engine.lookup_entity import lookup
from grantlog.errors import (
    DepthExceededError,
    InvalidInputError,
    LimitError,
    RuleFailedError,
)
from grantlog.ports.facts import AttributeKey
from tests.unit.engine.looking import Looking

DRIVE = """
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation parent @folder
  relation viewer @user @group#member
  permission view = viewer or parent.view
}
entity doc {
  relation parent @folder
  relation owner @user
  relation banned @user
  relation approved @user
  attribute public boolean
  attribute level integer
  permission view = owner or parent.view
  permission edit = view not banned
  permission send = view and approved
  permission read = view or public
  permission low = is_low(level)
  permission limited = owner and fits(level)
}
rule is_low(level integer) { level < 3 }
rule fits(level integer) { level <= context.data.limit }
"""
FACTS = """
group:eng#member@user:1 group:all#member@group:eng#member
folder:top#viewer@group:all#member folder:sub#parent@folder:top
doc:c#parent@folder:sub doc:b#parent@folder:top doc:a#owner@user:1 doc:B#owner@user:1
doc:z#owner@user:2 doc:b#banned@user:1 doc:a#approved@user:1 doc:z#approved@user:1
doc:p$public|boolean:true doc:q$public|boolean:false doc:z$level|integer:5
"""


@pytest.fixture
def drive() -> Looking:
    return Looking(DRIVE, FACTS)


def test_ids_come_in_the_order_of_their_bytes_each_once(drive: Looking):
    assert drive.entities("doc#view@user:1") == "B a b c"
    assert drive.entities("folder#view@user:1") == "sub top"
    assert drive.entities("doc#view@user:3") == ""


def test_where_facts_say_it_all_nothing_is_checked(drive: Looking):
    assert drive.entities("doc#edit@user:1") == "B a c"
    assert drive.entities("doc#send@user:1") == "a"
    assert drive.entities("doc#read@user:1") == "B a b c p"
    assert drive.checks == 0
    assert drive.read("known") == 0


def test_a_rule_may_hold_where_no_value_is_set(drive: Looking):
    assert drive.entities("doc#low@user:9") == "B a b c p q"
    assert drive.read("known") > 0


def test_a_rule_beside_an_and_is_asked_only_about_what_the_rest_allows(drive: Looking):
    assert drive.entities("doc#limited@user:1", data={"limit": 3}) == "B a"
    assert drive.read("known") == 0


def test_a_candidate_without_an_answer_fails_the_lookup(drive: Looking):
    with pytest.raises(RuleFailedError):
        drive.entities("doc#limited@user:1")


def test_an_entity_that_nothing_leads_to_does_not_fail_the_lookup(drive: Looking):
    assert drive.entities("doc#limited@user:9") == ""


def test_what_is_too_deep_fails_the_lookup(drive: Looking):
    # doc:c is reached by view, view, view, viewer, member, member.
    assert drive.entities("doc#view@user:1", depth=6) == "B a b c"
    with pytest.raises(DepthExceededError):
        drive.entities("doc#view@user:1", depth=4)


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("doc:x#owner@user:1", "B a b c x"),
        ("folder:top#viewer@user:7", "B a b c"),
        ("doc:x#parent@folder:sub", "B a b c x"),
        ("doc:x#owner@group:eng", "B a b c"),
        ("group:new#member@user:1 folder:f#viewer@group:new#member doc:x#parent@folder:f",
         "B a b c x"),
    ],
)  # fmt: skip
def test_facts_sent_along_lead_on(drive: Looking, context: str, expected: str):
    assert drive.entities("doc#view@user:1", context=context) == expected


def test_an_attribute_sent_along_wins_over_the_stored_one(drive: Looking):
    sent = "doc:p$public|boolean:false doc:q$public|boolean:true doc:new$public|boolean:true"
    assert drive.entities("doc#read@user:9", context=sent) == "new q"


def test_the_subject_is_its_own_answer(drive: Looking):
    assert drive.entities("doc#view@doc:1#view") == "1"
    assert drive.entities("doc#edit@doc:1#view") == "1"
    assert drive.entities("group#member@group:eng#member") == "all eng"
    assert drive.entities("folder#viewer@group:eng#member") == "top"


@pytest.mark.parametrize("question", ["none#view@user:1", "doc#none@user:1", "is_low#a@user:1"])
def test_an_unknown_name_has_no_entities(drive: Looking, question: str):
    assert drive.entities(question) == ""


def test_a_name_that_cannot_be_asked_is_an_error(drive: Looking):
    with pytest.raises(InvalidInputError):
        drive.entities("doc#level@user:1")
    with pytest.raises(InvalidInputError):
        drive.entities("doc#view@user:1", depth=1001)


def test_a_scope_narrows_candidates_and_not_their_checks(drive: Looking):
    assert drive.entities("doc#view@user:1", scope={"doc": {"c", "a", "z", "none"}}) == "a c"
    assert drive.entities("doc#view@user:1", scope={"folder": {"sub"}}) == "B a"
    assert drive.entities("doc#view@user:1", scope={"folder": {"top"}}) == "B a b"
    assert drive.entities("doc#view@user:1", scope={"folder": {"top"}, "doc": {"b"}}) == "b"
    assert drive.entities("doc#low@user:1", scope={"doc": {"z", "a", "none"}}) == "a"
    assert drive.entities("doc#edit@user:1", scope={"user": {"1"}}) == "B a c"


def test_a_scope_does_not_leave_out_what_denies_a_candidate():
    schema = """
    entity user {}
    entity group { relation member @user }
    entity doc {
      relation viewer @user @group#member
      relation banned @group#member
      permission view = viewer not banned
    }
    """
    facts = "doc:1#viewer@user:1 doc:1#banned@group:g#member group:g#member@user:1"
    drive = Looking(schema, facts + " doc:2#viewer@user:1 doc:3#viewer@group:g#member")
    assert drive.entities("doc#view@user:1") == "2 3"
    assert drive.entities("doc#view@user:1", scope={"group": {"none"}}) == "2"


@pytest.mark.parametrize("depth", range(10))
@pytest.mark.parametrize(
    "place", ["doc#view", "doc#edit", "doc#clear", "doc#send", "doc#sign", "doc#lend"]
)
def test_what_nothing_leads_to_is_denied_only_where_a_check_would_get_that_far(
    place: str, depth: int
):
    schema = """
    entity user {}
    entity team { relation member @user }
    entity group { relation member @user @group#member }
    entity unit { relation member @team#member }
    entity org { relation staff @team#member  permission all = staff }
    entity doc {
      relation owner @user
      relation banned @group#member
      relation barred @user @team#member
      relation org @org
      relation away @team#member @unit#member
      permission lend = owner not away
      permission view = owner not banned
      permission edit = owner not barred
      permission clear = owner not org.all
      permission send = view not org.all
      permission gone = barred or org.all
      permission sign = owner not gone
    }
    """
    asked = Looking(
        schema,
        """
        doc:1#owner@user:1 doc:1#banned@group:a#member group:a#member@group:b#member
        group:b#member@group:c#member group:c#member@group:d#member group:d#member@user:2
        doc:1#barred@team:t#member team:t#member@user:2
        doc:1#org@org:o org:o#staff@team:t#member
        doc:1#away@unit:u#member unit:u#member@team:t#member
        """,
    )
    entity, _, permission = place.partition("#")
    try:
        expected = "1" if asked.allowed(f"{entity}:1#{permission}@user:1", depth=depth) else ""
    except DepthExceededError:
        with pytest.raises(DepthExceededError):
            asked.entities(f"{place}@user:1", depth=depth)
    else:
        assert asked.entities(f"{place}@user:1", depth=depth) == expected


def test_entities_that_are_found_alike_are_told_apart_by_what_the_walk_knows():
    schema = """
    entity user {}
    entity folder {
      relation parent @folder
      relation owner @user
      relation viewer @user
      attribute level integer
      permission low = viewer and is_low(level)
      permission view = owner or low or parent.view
    }
    rule is_low(level integer) { level < 3 }
    """
    drive = Looking(
        schema,
        """
        folder:d#owner@user:1 folder:a#parent@folder:d
        folder:c#viewer@user:1 folder:c$level|integer:5 folder:b#parent@folder:c
        """,
    )
    assert drive.entities("folder#view@user:1") == "a d"


def test_a_value_of_another_type_than_the_schemas_is_none():
    schema = """
    entity user {}
    entity doc {
      relation owner @user
      attribute level double
      permission view = owner and low(level)
    }
    rule low(level double) { level < 3.0 }
    """
    drive = Looking(schema, "doc:1#owner@user:1 doc:1$level|integer:5")
    assert drive.entities("doc#view@user:1") == "1"


def test_a_rule_is_decided_without_a_check_where_nothing_else_hangs_on_the_entity(drive: Looking):
    assert drive.entities("doc#low@user:9") == "B a b c p q"
    keys = [key for batch in drive.table.table.batches for key in batch]
    assert {type(key) for key in keys} == {AttributeKey}
    assert len(keys) == 7


def test_where_a_rule_alone_would_do_facts_still_say_what_they_can():
    schema = """
    entity user {}
    entity folder { relation viewer @user }
    entity doc {
      relation parent @folder
      attribute level integer
      permission view = parent.viewer or is_low(level)
    }
    rule is_low(level integer) { level > 0 && level < 3 }
    """
    facts = "doc:a#parent@folder:f folder:f#viewer@user:1 doc:b$level|integer:2"
    drive = Looking(schema, facts + " doc:c$level|integer:3 doc:d#parent@folder:g")
    assert drive.entities("doc#view@user:1") == "a b"
    keys = [key for batch in drive.table.table.batches for key in batch]
    assert {type(key) for key in keys} == {AttributeKey}
    assert drive.entities("doc#view@user:1", scope={"doc": {"b", "d"}}) == "b"


def test_a_walk_that_is_too_long_does_not_stop_a_lookup_of_all_known_ids(monkeypatch):
    monkeypatch.setattr(lookup, "WALK_NODES_MAX", 1)
    schema = DRIVE.replace(
        "permission low = is_low(level)", "permission low = view or is_low(level)"
    )
    drive = Looking(schema, FACTS)
    assert drive.entities("doc#low@user:1") == "B a b c p q"
    with pytest.raises(LimitError):
        drive.entities("doc#view@user:1")


def test_what_a_scope_leaves_out_still_takes_away():
    schema = """
    entity user {}
    entity folder { relation banned @user }
    entity doc {
      relation parent @folder
      relation viewer @user
      permission view = viewer not parent.banned
    }
    """
    facts = "doc:1#viewer@user:1 doc:1#parent@folder:a folder:a#banned@user:1 doc:2#viewer@user:1"
    drive = Looking(schema, facts)
    assert drive.entities("doc#view@user:1") == "2"
    assert drive.entities("doc#view@user:1", scope={"folder": {"b"}}) == "2"


def test_the_last_hop_is_read_only_as_far_as_ids_are_taken():
    facts = " ".join(f"doc:{n:04}#parent@folder:{n % 10}" for n in range(2000))
    facts += " ".join(f" folder:{n}#viewer@user:1" for n in range(10))
    drive = Looking(DRIVE, facts)
    assert drive.entities("doc#view@user:1", count=3, wanted=3) == "0000 0001 0002"
    rows = [keys for name, keys in drive.table.reads if name == "entities"]
    assert len(rows) == 3  # folders of the user, folders in them, docs
    whole = drive.entities("doc#view@user:1", wanted=3).split()
    assert len(whole) == 2000
    assert len([1 for name, _ in drive.table.reads if name == "entities"]) < 40


def test_too_many_entities_in_between_are_refused(drive: Looking, monkeypatch):
    monkeypatch.setattr(lookup, "WALK_NODES_MAX", 3)
    with pytest.raises(LimitError, match="nodes_max = 3"):
        drive.entities("doc#view@user:1")


def test_permissions_that_are_operands_of_themselves_are_looked_up():
    schema = """
    entity user {}
    entity doc {
      relation owner @user
      permission a = b or owner
      permission b = a or owner
      permission c = a not d
      permission d = c
    }
    """
    loop = Looking(schema, "doc:1#owner@user:1 doc:2#owner@user:2")
    assert loop.entities("doc#a@user:1") == "1"
    with pytest.raises(DepthExceededError):
        loop.entities("doc#c@user:1")
