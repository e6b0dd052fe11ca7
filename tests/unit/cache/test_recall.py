"""What is answered from memory, what it rests on, and what is left to the engine."""

from __future__ import annotations

import pytest

from grantlog.cache import recall as recall_module
from grantlog.cache.clock import Clock
from grantlog.cache.recall import Recall, Recalled
from grantlog.cache.relations import RelationCache, name_of
from grantlog.engine.plan import build_plan
from grantlog.engine.rules import RuleProgram
from grantlog.model.attributes import parse_attribute
from grantlog.model.ids import Revision
from grantlog.model.tuples import parse_subject, parse_tuple
from grantlog.ports.facts import AttributeKey, DirectKey, FactKey, SubjectsKey, UsersetsKey
from grantlog.schema.compile import compile_schema
from grantlog.testing.fact_table import FactTable
from tests.unit.cache.making import clock, transaction, written

AT = Revision(5)
PLAN = build_plan(
    compile_schema("""
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation parent @folder
  relation viewer @user @group#member
  permission view = viewer or parent.view
}
entity doc {
  relation parent @folder
  relation viewer @user @group#member
  relation blocked @user
  attribute public boolean
  attribute level integer
  permission view = viewer or parent.view
  permission read = view not blocked
  permission open = public or view
  permission cleared = at_most(level) and viewer
}
rule at_most(level integer) { level <= context.data.clearance }
""")
)
FACTS = (
    "doc:1#parent@folder:1",
    "folder:1#viewer@group:1#member",
    "folder:1#parent@folder:2",
    "folder:2#viewer@group:2#member",
    "group:1#member@user:1",
    "group:2#member@group:1#member",
    "group:2#member@user:2",
)


class Memory:
    """A relation cache that was told about some facts, and what it says."""

    def __init__(self, *facts: str, attributes: tuple[str, ...] = (), whole_max: int = 250) -> None:
        self.table = FactTable(map(parse_tuple, facts), map(parse_attribute, attributes))
        self.cache = RelationCache(1 << 20, whole_subjects_max=whole_max)
        self.clock: Clock = clock(AT)

    def knows(self, *keys: FactKey) -> None:
        for key in keys:
            self.cache.keep(self.clock, AT, [key], [self.table.answer(key)])

    def knows_relations(self, *texts: str) -> None:
        for text in texts:
            head, _, name = text.partition("#")
            type_, _, id_ = head.partition(":")
            self.knows(SubjectsKey(type_, id_, name))

    def recall(self, subject: str, at: int = AT, data: object = None) -> Recall:
        return Recall(self.cache, self.clock, Revision(at), parse_subject(subject), data)

    def ask(self, text: str, depth: int = 20, data: object = None, at: int = AT) -> Recalled | None:
        fact = parse_tuple(text)
        recall = self.recall(str(fact.subject), at, data)
        return recall.decide(PLAN.find(fact.entity.type, fact.relation), fact.entity.id, depth)


ALL = (
    "doc:1#viewer", "doc:1#parent", "folder:1#viewer", "folder:1#parent", "folder:2#viewer",
    "folder:2#parent", "group:1#member", "group:2#member", "doc:1#blocked",
)  # fmt: skip


def full() -> Memory:
    memory = Memory(*FACTS)
    memory.knows_relations(*ALL)
    return memory


def allowed(found: Recalled | None) -> bool | None:
    return found.allowed if found is not None else None


def rests_on(found: Recalled | None) -> list[str]:
    assert found is not None
    return [f"{entry.key[1]}:{entry.key[2]}#{name_of(entry.key)[1]}" for entry in found.reads]


def test_a_chain_of_relations_is_followed_through_usersets_and_arrows():
    memory = full()
    assert allowed(memory.ask("doc:1#view@user:1")) is True
    assert allowed(memory.ask("doc:1#view@user:2")) is True
    assert allowed(memory.ask("doc:1#view@user:3")) is False
    assert allowed(memory.ask("doc:1#read@user:1")) is True


def test_an_allow_rests_on_its_own_chain_a_denial_on_all_that_was_looked_at():
    memory = full()
    chain = ["doc:1#parent", "folder:1#viewer", "group:1#member"]
    assert rests_on(memory.ask("doc:1#view@user:1")) == chain
    assert sorted({*rests_on(memory.ask("doc:1#view@user:3"))}) == sorted(
        {*ALL} - {"doc:1#blocked"}
    )
    assert sorted(rests_on(memory.ask("doc:1#read@user:1"))) == sorted([*chain, "doc:1#blocked"])


def test_the_cost_is_the_depth_that_is_enough():
    memory = full()
    found = memory.ask("doc:1#view@user:1")
    assert found is not None
    assert found.depth == 3
    assert memory.ask("doc:1#view@user:1", depth=3) == found
    assert memory.ask("doc:1#view@user:1", depth=2) is None
    denied, excluded = memory.ask("doc:1#view@user:3"), memory.ask("doc:1#read@user:1")
    assert denied is not None
    assert excluded is not None
    assert (denied.depth, excluded.depth) == (5, 4)


def test_an_answer_that_is_known_is_none_for_a_question_with_less_depth():
    recall, step = full().recall("user:3"), PLAN.find("doc", "view")
    assert allowed(recall.decide(step, "1", 5)) is False
    assert recall.decide(step, "1", 4) is None


def test_subjects_that_the_schema_version_does_not_admit_count_for_nothing():
    memory = Memory(
        "doc:1#viewer@folder:7", "doc:1#parent@group:1#member", "doc:1#blocked@folder:7"
    )
    memory.knows_relations("doc:1#viewer", "doc:1#parent")
    for relation in ("viewer", "blocked", "view"):
        assert allowed(memory.ask(f"doc:1#{relation}@folder:7")) is False, relation


def test_what_is_not_known_is_left_to_the_engine():
    for missing in ALL[:-1]:
        memory = Memory(*FACTS)
        memory.knows_relations(*(name for name in ALL if name != missing))
        assert memory.ask("doc:1#view@user:3") is None, missing


def test_that_a_large_relation_is_known_by_single_answers_is_enough():
    memory = Memory(*FACTS, whole_max=0)
    memory.knows_relations("doc:1#parent", "folder:1#parent", "folder:2#parent")
    for place in (("doc", "1"), ("folder", "1"), ("folder", "2")):
        memory.knows(DirectKey(*place, "viewer", "user", "2", ""), UsersetsKey(*place, "viewer"))
    for group in "12":
        place = ("group", group, "member")
        memory.knows(DirectKey(*place, "user", "2", ""), UsersetsKey(*place))
    assert allowed(memory.ask("doc:1#view@user:2")) is True
    assert memory.ask("doc:1#view@user:1") is None, "nobody asked for that one"
    denied = memory.ask("doc:1#viewer@user:2")
    assert allowed(denied) is False
    assert rests_on(denied) == ["doc:1#viewer", "usersets:doc#viewer"], "both of its answers"


def test_a_page_that_others_follow_is_not_all():
    memory = Memory("folder:1#viewer@group:1#member", "folder:1#viewer@group:2#member")
    memory.table.page_max = 1
    memory.knows(
        DirectKey("folder", "1", "viewer", "user", "1", ""),
        UsersetsKey("folder", "1", "viewer"),
        DirectKey("group", "1", "member", "user", "1", ""),
        UsersetsKey("group", "1", "member"),
    )
    assert memory.ask("folder:1#viewer@user:1") is None
    parents = Memory("doc:1#parent@folder:1", "doc:1#parent@folder:2")
    parents.table.page_max = 1
    parents.knows(SubjectsKey("doc", "1", "parent"))
    parents.knows_relations("doc:1#viewer", "folder:1#viewer", "folder:1#parent")
    assert parents.ask("doc:1#view@user:1") is None


def test_a_circle_is_left_to_the_engine_unless_an_allow_lies_before_it():
    memory = Memory("group:1#member@group:2#member", "group:2#member@group:1#member",
                    "group:2#member@user:2")  # fmt: skip
    memory.knows_relations("group:1#member", "group:2#member")
    assert memory.ask("group:1#member@user:1") is None
    assert allowed(memory.ask("group:1#member@user:2")) is True


def test_a_userset_holds_itself():
    assert allowed(Memory().ask("group:1#member@group:1#member")) is True


def test_attributes_and_rules_are_decided_by_what_is_known_of_them():
    memory = Memory(*FACTS, "doc:1#viewer@user:9", attributes=("doc:1$public|boolean:true",
                    "doc:1$level|integer:3"))  # fmt: skip
    memory.knows_relations(*ALL)
    assert memory.ask("doc:1#open@user:3") is None
    memory.knows(AttributeKey("doc", "1", "public"), AttributeKey("doc", "1", "level"))
    assert allowed(memory.ask("doc:1#open@user:3")) is True
    assert allowed(memory.ask("doc:1#cleared@user:9", data={"clearance": 3})) is True
    assert allowed(memory.ask("doc:1#cleared@user:9", data={"clearance": 2})) is False


def test_a_value_of_another_type_than_the_schema_version_declares_is_none():
    memory = Memory("doc:1#viewer@user:9", attributes=("doc:1$public|string:true",
                    "doc:1$level|string:x"))  # fmt: skip
    memory.knows_relations("doc:1#viewer", "doc:1#parent")
    memory.knows(AttributeKey("doc", "1", "public"), AttributeKey("doc", "1", "level"))
    assert allowed(memory.ask("doc:1#open@user:3")) is False
    assert allowed(memory.ask("doc:1#cleared@user:9", data={"clearance": 0})) is True


def test_a_rule_that_may_take_long_is_left_to_the_engine(monkeypatch: pytest.MonkeyPatch):
    memory = Memory("doc:1#viewer@user:9", attributes=("doc:1$level|integer:3",))
    memory.knows_relations("doc:1#viewer")
    memory.knows(AttributeKey("doc", "1", "level"))
    monkeypatch.setattr(RuleProgram, "is_heavy", lambda program, weight: weight > 0)
    assert memory.ask("doc:1#cleared@user:9", data={"clearance": 3}) is None


def test_a_rule_that_fails_is_left_to_the_engine():
    memory = Memory("doc:1#viewer@user:9", attributes=("doc:1$level|integer:3",))
    memory.knows_relations("doc:1#viewer")
    memory.knows(AttributeKey("doc", "1", "level"))
    assert memory.ask("doc:1#cleared@user:9", data={}) is None
    deep: object = 1
    for _ in range(200):
        deep = {"a": deep}
    assert memory.ask("doc:1#cleared@user:9", data=deep) is None


def test_what_was_touched_since_is_not_used_and_a_clock_that_is_behind_is_told():
    memory = full()
    assert memory.clock.follow(transaction(6, written("doc:2#viewer@user:1")))
    assert allowed(memory.ask("doc:1#view@user:1", at=6)) is True
    assert memory.clock.follow(transaction(7, written("group:1#member@user:3")))
    moved = memory.recall("user:1", 7)
    assert moved.decide(PLAN.find("doc", "view"), "1", 20) is None
    assert not moved.is_behind
    ahead = memory.recall("user:1", 8)
    assert ahead.decide(PLAN.find("doc", "view"), "1", 20) is None
    assert ahead.is_behind


def test_questions_of_one_subject_look_at_a_node_once():
    memory = Memory(*(f"doc:{n}#parent@folder:1" for n in range(3)), *FACTS)
    memory.knows_relations(*ALL, *(f"doc:{n}#parent" for n in range(3)))
    memory.knows_relations(*(f"doc:{n}#viewer" for n in range(3)))
    recall, step = memory.recall("user:3"), PLAN.find("doc", "view")
    first, second = recall.decide(step, "1", 20), recall.decide(step, "2", 20)
    assert first is not None
    assert second is not None
    assert first.looked == 8
    assert second.looked == 2, "itself and its viewers; the folder is known"
    again = recall.decide(step, "2", 20)
    assert again is not None
    assert again.looked == 1
    assert second.allowed is first.allowed
    assert {*rests_on(second)} == {*rests_on(memory.ask("doc:2#view@user:3"))}


@pytest.mark.parametrize(
    ("bound", "least"), [("LOOKS_MAX", 7), ("LEVELS_MAX", 4), ("READS_MAX", 8)]
)
def test_much_to_look_at_is_left_to_the_engine(
    monkeypatch: pytest.MonkeyPatch, bound: str, least: int
):
    memory = full()
    for most in range(least):
        monkeypatch.setattr(recall_module, bound, most)
        assert memory.ask("doc:1#view@user:3") is None, most
    monkeypatch.setattr(recall_module, bound, 1_000)
    assert allowed(memory.ask("doc:1#view@user:3")) is False


def test_what_many_chains_share_is_looked_at_and_kept_once():
    facts = [f"group:0#member@group:1{x}#member" for x in "ab"]
    for n in range(1, 20):
        facts += [f"group:{n}{x}#member@group:{n + 1}{y}#member" for x in "ab" for y in "ab"]
    memory = Memory(*facts)
    memory.knows_relations("group:0#member")
    memory.knows_relations(*(f"group:{n}{x}#member" for n in range(1, 21) for x in "ab"))
    found = memory.ask("group:0#member@user:1", depth=60)
    assert found is not None
    assert len(set(found.reads)) == 41
    assert len(found.reads) <= 512
