"""Many checks at once are the checks one by one; Expand names whoever a check allows."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from grantlog.engine.algebra import EXCLUSION, INTERSECTION, UNION, combine
from grantlog.engine.bounds import UNAFFORDABLE, Value, combine_values, spent
from grantlog.engine.check import check
from grantlog.engine.expand import ExpandQuery, expand
from grantlog.engine.lookup_subject.sets import EVERYONE, SubjectSet, union
from grantlog.engine.many import FactMemo, check_many
from grantlog.engine.plan import build_plan
from grantlog.engine.tree import Branch, SubjectsLeaf, Tree, ValueLeaf, ValuesLeaf
from grantlog.errors import GrantlogError, LimitError
from grantlog.schema.compile import compile_schema
from grantlog.schema.compiled import Operator
from grantlog.testing.fact_table import FactTable
from grantlog.testing.worlds import Asked, World, questions, worlds
from tests.property.asking import context_of, query_of, run_now

ANY_WORLD = worlds() | worlds(layered=True)
SOME = st.lists(questions(), min_size=12, max_size=12)


def outcome(answer) -> object:
    try:
        return run_now(answer)
    except GrantlogError as error:
        return (type(error), str(error))


@settings(max_examples=150, deadline=None)
@given(ANY_WORLD, SOME, st.sampled_from((200_000, 5)))
def test_many_checks_at_once_answer_as_each_alone(world: World, some: list[Asked], facts_max: int):
    plan = build_plan(compile_schema(world.schema))
    queries = [query_of(world, one) for one in some]
    facts = FactTable(world.tuples, world.attributes)
    together = run_now(check_many(plan, queries, FactMemo(facts.fetch, facts_max=facts_max)))
    batches = facts.batches
    if facts_max > 5:
        keys = [(type(key), key) for batch in batches for key in batch]
        assert len(keys) == len(set(keys)), "a fact is read once"
    alone = [outcome(check(plan, query, facts.fetch)) for query in queries]
    assert [(type(v), str(v)) if isinstance(v, GrantlogError) else v for v in together] == alone


def leaves(tree: Tree) -> Iterator[Tree]:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node.content, Branch):
            pending += node.content.children
        else:
            yield node


def may_allow(tree: Tree, subject) -> bool:
    """Whether the tree can allow a subject: what a leaf cannot tell is taken for yes."""
    content = tree.content
    match content:
        case Branch(Operator.UNION, children):
            return any(may_allow(child, subject) for child in children)
        case Branch(Operator.INTERSECTION, children):
            return all(may_allow(child, subject) for child in children)
        case Branch(_, children):
            return may_allow(children[0], subject)
        case SubjectsLeaf(subjects):
            # A leaf that names itself closes a cycle: what is behind it stands above it.
            return subject in subjects
        case ValueLeaf(value):
            return value.data is True
        case _:
            assert isinstance(content, ValuesLeaf)
            return True


@settings(max_examples=200, deadline=None)
@given(ANY_WORLD, SOME)
def test_a_tree_names_whoever_a_check_allows(world: World, some: list[Asked]):
    plan = build_plan(compile_schema(world.schema))
    facts = FactTable(world.tuples, world.attributes, page_max=3)
    for one in some:
        query = ExpandQuery(one.entity, one.name, context=context_of(world))
        tree = outcome(expand(plan, query, facts.fetch))
        if not isinstance(tree, Tree):
            assert tree[0] is LimitError, tree
            continue
        for leaf in leaves(tree):
            if isinstance(leaf.content, SubjectsLeaf):
                subjects = list(leaf.content.subjects)
                assert subjects == sorted(set(subjects), key=lambda s: (bool(s.relation), s))
        allowed = outcome(check(plan, query_of(world, one), facts.fetch))
        if not isinstance(allowed, tuple) and allowed.allowed and not one.subject.relation:
            assert may_allow(tree, one.subject), one


VALUES = st.none() | st.integers(0, 5) | st.integers(-6, -1) | st.just(~UNAFFORDABLE)
OPERATORS = st.sampled_from((UNION, INTERSECTION, EXCLUSION))


def as_outcome(value: Value, budget: int) -> bool | None:
    if value is None:
        return None
    need = value if value >= 0 else ~value
    return value >= 0 if need <= budget else None


@given(OPERATORS, VALUES, VALUES, st.integers(0, 6), st.integers(0, 2))
def test_a_value_claims_no_more_than_its_operands_do(operator, left, right, budget, price):
    value = as_outcome(combine_values(operator, left, right), budget)
    if value is not None:
        sides = as_outcome(left, budget), as_outcome(right, budget)
        assert combine(operator, *sides) is value
    assert as_outcome(spent(left, price), budget + price) is as_outcome(left, budget)


IDS = st.frozensets(st.sampled_from("abcd"))
SETS = st.builds(SubjectSet, IDS, st.booleans())


@given(SETS, SETS, st.lists(SETS, max_size=4), st.sampled_from("abcde"))
def test_the_algebra_of_sets_is_that_of_membership(one, other, more, id_):
    inside, too = id_ in one, id_ in other
    assert (id_ in (one | other)) == (inside or too)
    assert (id_ in (one & other)) == (inside and too)
    assert (id_ in (one - other)) == (inside and not too)
    assert (id_ in ~one) == (not inside)
    assert (id_ in union([one, other, *more])) == any(id_ in s for s in (one, other, *more))
    assert id_ in EVERYONE
