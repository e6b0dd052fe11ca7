"""Random lives of tenants: writes, overwrites, removals by filter, schemas, deletion, rebirth."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from grantlog.errors import NotFoundError
from grantlog.model.attributes import parse_attribute
from grantlog.model.change import Transaction
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import (
    AttributeFilter,
    AttributeKey,
    DirectKey,
    FactKey,
    MemberOfUsersetKey,
    SubjectsKey,
    TupleFilter,
    UsersetsKey,
)
from grantlog.ports.writer import PutFacts, RemoveFacts, RemoveWhere, Step
from grantlog.testing.contracts.places import Primary
from tests.contract.memory import memory_primary

DOCS = ("1", "2")
GROUPS = ("a", "b")
RELATIONS = ("owner", "viewer")
ATTRIBUTES = ("level", "tags")
SUBJECTS = (
    Subject("user", "1"),
    Subject("user", "2"),
    Subject("group", "a"),
    Subject("group", "a", "member"),
    Subject("group", "b", "member"),
)
VALUES = (
    "level|integer:1",
    "level|integer:2",
    "level|double:1.0",
    "level|boolean:true",
    "tags|string[]:",
    "tags|string[]:x,y",
    "tags|string:",
)


@dataclass(frozen=True)
class Schema:
    """Write a schema version."""


@dataclass(frozen=True)
class Create:
    """Put the tenant on the list, if it is not there."""


@dataclass(frozen=True)
class Delete:
    """Delete the tenant, if it is there."""


Act = Sequence[Step] | Schema | Create | Delete

doc_tuples = st.builds(
    lambda id_, relation, subject: RelationTuple(Entity("doc", id_), relation, subject),
    st.sampled_from(DOCS),
    st.sampled_from(RELATIONS),
    st.sampled_from(SUBJECTS),
)
group_tuples = st.builds(
    lambda id_, subject: RelationTuple(Entity("group", id_), "member", subject),
    st.sampled_from(GROUPS),
    st.sampled_from(SUBJECTS),
)
tuples = st.one_of(doc_tuples, group_tuples)
attributes = st.builds(
    lambda id_, value: parse_attribute(f"doc:{id_}${value}"),
    st.sampled_from(DOCS),
    st.sampled_from(VALUES),
)
names = st.tuples(
    st.sampled_from([Entity("doc", id_) for id_ in DOCS]), st.sampled_from(ATTRIBUTES)
)
maybe = st.sampled_from(("", "doc", "group"))
tuple_filters = st.builds(
    TupleFilter,
    entity_type=maybe,
    entity_ids=st.sampled_from([(), ("1",), ("1", "a")]),
    relation=st.sampled_from(("", "viewer", "member")),
    subject_type=st.sampled_from(("", "user", "group")),
    subject_ids=st.sampled_from([(), ("1",), ("a", "2")]),
    subject_relation=st.sampled_from(("", "", "member")),
)
attribute_filters = st.builds(
    AttributeFilter,
    entity_type=st.sampled_from(("", "doc")),
    entity_ids=st.sampled_from([(), ("1",), ("2", "1")]),
    attributes=st.sampled_from([(), ("level",), ("tags", "level")]),
)
steps = st.one_of(
    st.builds(
        PutFacts,
        st.lists(tuples, max_size=3).map(tuple),
        st.lists(attributes, max_size=2).map(tuple),
    ),
    st.builds(
        RemoveFacts,
        st.lists(tuples, max_size=3).map(tuple),
        st.lists(names, max_size=2).map(tuple),
    ),
    st.builds(RemoveWhere, tuple_filters, attribute_filters),
)
writes = st.lists(steps, min_size=1, max_size=3)
acts = st.one_of(
    writes, writes, writes, writes, st.just(Schema()), st.just(Create()), st.just(Delete())
)
histories = st.lists(acts, min_size=1, max_size=14)


async def live(primary: Primary, tenant: TenantId, history: Sequence[Act]) -> list[Transaction]:
    """Do a history; the log it leaves."""
    listed = False
    for act in history:
        match act:
            case Schema():
                await primary.writer.write_schema(
                    tenant, "entity user {}", based_on=None, write_id=primary.new_id()
                )
            case Create():
                if not listed:
                    await primary.writer.create_tenant(tenant, "T", write_id=primary.new_id())
                listed = True
            case Delete():
                with contextlib.suppress(NotFoundError):
                    await primary.writer.delete_tenant(tenant, write_id=primary.new_id())
                listed = False
            case _:
                await primary.apply(*act, tenant=tenant)
    return list(await primary.history(tenant))


def lived(tenant: TenantId, history: Sequence[Act]) -> tuple[Primary, list[Transaction]]:
    """A memory primary that lived a history, and its log."""
    primary = memory_primary()
    return primary, asyncio.run(live(primary, tenant, history))


def every_key() -> list[FactKey]:
    """All there is to ask in this small world."""
    keys: list[FactKey] = []
    places = [("doc", id_, relation) for id_ in DOCS for relation in RELATIONS]
    places += [("group", id_, "member") for id_ in GROUPS]
    for place in places:
        keys += [UsersetsKey(*place), SubjectsKey(*place), SubjectsKey(*place, SUBJECTS[1])]
        keys += [DirectKey(*place, *subject) for subject in SUBJECTS]
        keys += [MemberOfUsersetKey(*place, "group", "member", *s) for s in SUBJECTS]
    keys += [AttributeKey("doc", id_, name) for id_ in DOCS for name in ATTRIBUTES]
    return keys
