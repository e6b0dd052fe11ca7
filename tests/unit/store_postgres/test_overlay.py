import pytest

from grantlog.errors import LimitError
from grantlog.model.attributes import parse_attribute
from grantlog.model.change import AttributeChange, Operation
from grantlog.model.ids import SchemaVersion, TenantId
from grantlog.model.tuples import parse_tuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.writer import DataIntent, PutFacts, RemoveWhere
from grantlog.store.postgres.writer.overlay import Overlay, StoredFacts
from grantlog.store.postgres.writer.plan import plan_data
from grantlog.store.postgres.writer.tail import Tail
from tests.unit.store_postgres.test_tail import head

A, B = (parse_attribute(f"doc:1${name}|integer:1") for name in "ab")
OF_DOCS = AttributeFilter(entity_type="doc")


def test_the_order_of_changes_is_the_steps_order_whatever_came_and_went_before():
    steps = (RemoveWhere(attributes=OF_DOCS), PutFacts(attributes=(B, A)))
    fresh = Overlay(StoredFacts(attribute_matches={OF_DOCS: []}))
    worn = Overlay(StoredFacts(attribute_matches={OF_DOCS: []}))
    worn.keep([AttributeChange(Operation.CREATE, A)])
    worn.keep([AttributeChange(Operation.DELETE, A)])
    changes = fresh.net(steps, changes_max=10)
    assert [change.attribute for change in changes] == [B, A]
    assert worn.net(steps, changes_max=10) == changes


def test_facts_that_several_filters_match_count_once():
    facts = [parse_tuple(f"doc:{n}#viewer@user:1") for n in range(4)]
    where = TupleFilter(entity_type="doc")
    stored = StoredFacts(tuples=set(facts), tuple_matches={where: facts})
    twice = (RemoveWhere(where), RemoveWhere(where))
    assert len(Overlay(stored).net(twice, changes_max=4)) == 4
    with pytest.raises(LimitError):
        Overlay(stored).net(twice, changes_max=3)


def test_filters_that_match_too_much_are_refused_even_if_all_of_it_comes_back():
    facts = tuple(parse_tuple(f"doc:{n}#viewer@user:1") for n in range(4))
    where = TupleFilter(entity_type="doc")
    stored = StoredFacts(tuples=set(facts), tuple_matches={where: facts})
    with pytest.raises(LimitError):
        Overlay(stored).net((RemoveWhere(where), PutFacts(facts)), changes_max=3)


def test_a_tuple_that_is_put_twice_stands_where_it_was_put_last():
    one, other = (parse_tuple(f"doc:{n}#viewer@user:1") for n in range(2))
    for steps in ((PutFacts((one, other, one)),), (PutFacts((one,)), PutFacts((other, one)))):
        changes = Overlay(StoredFacts()).net(steps, changes_max=10)
        assert [change.tuple for change in changes] == [other, one]


def test_what_an_earlier_write_of_the_group_put_is_no_change():
    fact = parse_tuple("doc:1#viewer@user:1")
    write = DataIntent(TenantId("acme"), (PutFacts((fact,)),), SchemaVersion(""))
    tail = Tail(head())
    outcomes = plan_data(tail, StoredFacts(), [write, write, write], changes_max=10)
    assert [outcome.revision for outcome in outcomes] == [1, 1, 1]
    assert len(tail.transactions) == 1
