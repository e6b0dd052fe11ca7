"""Looking up subjects: sets, everyone, and what is known."""

from __future__ import annotations

import pytest

from grantlog.engine.lookup_subject import lookup, solve
from grantlog.engine.lookup_subject.sets import union
from grantlog.errors import DepthExceededError, LimitError, NotFoundError, RuleFailedError
from tests.unit.engine.looking import Looking

SCHEMA = """
entity user {}
entity group { relation member @user @group#member }
entity doc {
  relation viewer @user @group#member
  relation owner @user @group#member
  relation banned @user @group#member
  attribute public boolean
  attribute level integer
  permission view = viewer or public
  permission both = viewer and owner
  permission left = viewer not banned
  permission anyone = public not banned
  permission all = public and is_low(level)
  permission back = viewer or (public not banned)
  permission strict = fits(level)
}
rule is_low(level integer) { level < 3 }
rule fits(level integer) { level <= context.data.limit }
"""
FACTS = """
doc:1#viewer@user:a doc:1#viewer@group:g#member group:g#member@user:b group:g#member@group:h#member
group:h#member@user:c group:h#member@group:g#member doc:1#owner@user:b doc:1#banned@user:c
doc:1#banned@group:k#member group:k#member@user:d doc:2$public|boolean:true doc:2#banned@user:d
doc:9#viewer@user:z doc:2#viewer@user:d
"""


@pytest.fixture
def world() -> Looking:
    return Looking(SCHEMA, FACTS)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("doc:1#view@user", "a b c"),
        ("doc:1#both@user", "b"),
        ("doc:1#left@user", "a b"),
        ("doc:1#anyone@user", ""),
        ("doc:1#viewer@group#member", "g h"),
        ("doc:1#viewer@group", ""),
        ("doc:2#view@user", "a b c d z"),
        ("doc:2#anyone@user", "a b c z"),
        ("doc:2#all@user", "a b c d z"),
        ("doc:2#back@user", "a b c d z"),
        ("doc:2#view@group#member", "g h k"),
        ("doc:2#view@doc", ""),
        ("doc:1#none_here@user", None),
        ("nothing:1#view@user", None),
    ],
)
def test_known_subjects_are_found(world: Looking, question: str, expected: str | None):
    if expected is None:
        with pytest.raises(NotFoundError) as refused:
            world.subjects(question)
        assert refused.value.reason == "ERROR_CODE_SCHEMA_NOT_FOUND"
    else:
        assert world.subjects(question) == expected
    assert world.checks < 20


def test_a_subject_that_is_asked_about_itself_is_checked_if_it_is_known(world: Looking):
    assert world.subjects("group:g#member@group#member") == "g h"
    assert world.subjects("group:k#member@group#member") == "k"
    assert world.subjects("group:none#member@group#member") == ""


def test_one_that_is_known_by_the_request_alone_is_checked_too(world: Looking):
    sent = "doc:7#viewer@group:new#member"
    assert world.subjects("group:new#member@group#member", context=sent) == "new"


def test_one_that_an_arrow_leads_to_is_taken_away_as_itself():
    schema = """
    entity user {}
    entity group { relation member @user }
    entity doc {
      relation viewer @group#member
      relation team @group
      permission view = viewer not team.member
    }
    """
    facts = "doc:1#viewer@group:g#member doc:1#viewer@group:h#member doc:1#team@group:g"
    assert Looking(schema, facts).subjects("doc:1#view@group#member") == "h"


def test_whoever_a_failing_rule_may_take_away_is_checked():
    schema = """
    entity user {}
    entity doc {
      relation viewer @user
      relation suspect @user
      attribute level integer
      permission barred = suspect and fits(level)
      permission view = viewer not barred
    }
    rule fits(level integer) { level <= context.data.limit }
    """
    world = Looking(schema, "doc:1#viewer@user:a doc:1#viewer@user:b doc:1#suspect@user:b")
    with pytest.raises(RuleFailedError):
        world.subjects("doc:1#view@user")
    assert world.subjects("doc:1#view@user", data={"limit": 0}) == "a"
    assert world.subjects("doc:1#view@user", data={"limit": -1}) == "a b"


def test_facts_sent_along_make_subjects_known(world: Looking):
    assert world.subjects("doc:1#view@user", context="group:h#member@user:new") == "a b c new"
    assert world.subjects("doc:2#view@user", context="doc:7#viewer@user:new") == "a b c d new z"
    sent = "doc:1$public|boolean:true doc:2$public|boolean:false"
    assert world.subjects("doc:1#view@user", context=sent) == "a b c d z"
    assert world.subjects("doc:2#view@user", context=sent) == "d"


def test_an_answer_that_is_none_fails_the_lookup(world: Looking):
    with pytest.raises(RuleFailedError):
        world.subjects("doc:1#strict@user")
    assert world.subjects("doc:1#strict@user", data={"limit": 0}) == "a b c d z"
    with pytest.raises(DepthExceededError):
        world.subjects("doc:1#view@user", depth=2)


def test_too_many_subjects_are_refused(world: Looking, monkeypatch):
    monkeypatch.setattr(lookup, "SUBJECTS_MAX", 2)
    with pytest.raises(LimitError, match="subjects_max = 2"):
        world.subjects("doc:1#view@user")


def test_of_a_relation_only_the_asked_kind_and_usersets_are_read():
    facts = (
        " ".join(f"doc:1#viewer@user:{n:04}" for n in range(3000)) + " doc:1#viewer@group:g#member"
    )
    world = Looking(SCHEMA, facts)
    assert world.subjects("doc:1#viewer@group#member") == "g"
    assert len(world.table.table.batches) <= 3


def test_groups_in_a_circle_are_solved_at_once(monkeypatch):
    """Each leads to every other, so that what one of them holds is not carried around."""
    united = 0

    def counted(sets):
        nonlocal united
        united += 1
        return union(sets)

    monkeypatch.setattr(solve, "union", counted)
    schema = "entity user {} entity group { relation member @user @group#member }"
    facts = ["group:0#member@group:9#member", *(f"group:{n}#member@user:{n}" for n in range(10))]
    facts += [f"group:{n}#member@group:{n - 1}#member" for n in range(1, 10)]
    facts += [f"group:{n}#member@group:0#member" for n in range(2, 10)]
    groups = Looking(schema, " ".join(facts))
    assert groups.subjects("group:0#member@user") == " ".join("0123456789")
    assert united < 10


def test_ids_are_carried_around_cycles_a_few_at_a_time(monkeypatch):
    """Every node of a cycle that is no union has a set of its own: together they are bounded."""
    at_once = []
    of = solve.Solution.of

    async def noted(self, direct):
        at_once.append(len(frozenset().union(*direct.values())))
        return await of(self, direct)

    monkeypatch.setattr(solve.Solution, "of", noted)
    schema = """entity user {} entity folder { relation parent @folder relation viewer @user
        relation banned @user  permission view = (viewer or parent.view) not banned }"""
    facts = "folder:1#parent@folder:2 folder:2#parent@folder:1 folder:1#banned@user:3"
    folders = Looking(schema, " ".join([facts, *(f"folder:2#viewer@user:{n}" for n in range(9))]))
    assert folders.subjects("folder:1#view@user") == "0 1 2 4 5 6 7 8"
    assert at_once == [9]
    monkeypatch.setattr(solve, "CARRIED_MAX", 8)
    at_once.clear()
    assert folders.subjects("folder:1#view@user") == "0 1 2 4 5 6 7 8"
    assert at_once == [2, 2, 2, 2, 1]
