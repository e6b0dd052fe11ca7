from datetime import UTC, datetime

import pytest

from grantlog.app.as_of import parse_as_of
from grantlog.app.resolve import token_of
from grantlog.app.terms import NO_TERMS, Consistency, Terms
from grantlog.errors import (
    BehindWindowError,
    BeyondHeadError,
    ConflictError,
    InvalidInputError,
    InvalidTokenError,
    NotFoundError,
    SchemaError,
)
from grantlog.model.attributes import parse_attribute
from grantlog.model.ids import Revision
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.schema.edit import EntityEdits
from tests.unit.app.world import SCHEMA, T1, Node

WITHOUT_VIEWER = "entity user {} entity doc { relation owner @user  permission view = owner }"


async def node_with_schema(**how):
    node = Node(**how)
    await node.schemas.write(T1, SCHEMA)
    return node


async def test_a_write_is_seen_by_its_own_node_at_once_in_both_consistencies():
    for consistency in Consistency:
        node = await node_with_schema(consistency=consistency)
        await node.put("doc:1#viewer@user:ann")
        assert await node.allowed("doc:1", "view", "user:ann")
        assert not await node.allowed("doc:1", "view", "user:bob")


async def test_another_nodes_write_is_seen_without_a_token_where_consistency_is_head():
    one = await node_with_schema()
    other = Node(one.tables, writer=one.writer)
    assert not await other.allowed("doc:1", "view", "user:ann")
    await one.put("doc:1#viewer@user:ann")
    assert await other.allowed("doc:1", "view", "user:ann")


async def test_a_token_carries_a_write_to_a_node_that_would_not_ask():
    one = await node_with_schema()
    other = Node(one.tables, Consistency.NODE, one.writer)
    assert not await other.allowed("doc:1", "view", "user:ann")
    token = token_of(T1, await one.put("doc:1#viewer@user:ann"))
    assert not await other.allowed("doc:1", "view", "user:ann")
    assert await other.allowed("doc:1", "view", "user:ann", snap_token=token)
    assert await other.allowed("doc:1", "view", "user:ann")  # and it never goes back


async def test_a_fact_that_was_valid_when_checked_but_not_when_committed_is_refused():
    one = await node_with_schema()
    other = Node(one.tables, Consistency.NODE, one.writer)
    await other.put("doc:1#viewer@user:ann")  # other now knows the first schema
    await one.schemas.write(T1, WITHOUT_VIEWER)
    with pytest.raises(NotFoundError) as caught:
        await other.put("doc:1#viewer@user:bob")
    assert caught.value.reason == "ERROR_CODE_RELATION_DEFINITION_NOT_FOUND"
    assert (await other.put("doc:1#owner@user:bob")).revision == 4


async def test_a_caller_may_write_against_an_older_version_by_name():
    node = await node_with_schema()
    old = (await node.resolver.refresh(T1)).schema_version
    await node.schemas.write(T1, WITHOUT_VIEWER)
    await node.put("doc:1#viewer@user:ann", schema_version=old)
    assert await node.allowed("doc:1", "view", "user:ann", schema_version=old)
    assert not await node.allowed("doc:1", "view", "user:ann")


async def test_a_schema_that_does_not_check_changes_nothing():
    node = await node_with_schema()
    before = await node.resolver.refresh(T1)
    with pytest.raises(SchemaError):
        await node.schemas.write(T1, "entity doc {")
    assert await node.resolver.refresh(T1) == before


@pytest.mark.parametrize("version", ["nope", "\0", "v" * 20])
async def test_an_unknown_schema_version_is_not_found(version):
    node = await node_with_schema()
    with pytest.raises(NotFoundError):
        await node.allowed("doc:1", "view", "user:ann", schema_version=version)


async def test_a_tenant_without_a_schema_cannot_be_asked_or_written():
    node = Node()
    for call in (node.allowed("doc:1", "view", "user:ann"), node.put("doc:1#viewer@user:ann")):
        with pytest.raises(NotFoundError) as caught:
            await call
        assert caught.value.reason == "ERROR_CODE_SCHEMA_NOT_FOUND"


async def test_a_tuple_twice_is_one_and_of_an_attribute_twice_the_first_wins():
    node = await node_with_schema()
    values = [parse_attribute(f"doc:1$public|boolean:{value}") for value in ("true", "false")]
    await node.put("doc:1#viewer@user:ann", "doc:1#viewer@user:ann", attributes=values)
    tuples, _ = await node.lists.tuples(
        T1, TupleFilter(), terms=NO_TERMS, page_size=9, continuation=""
    )
    attributes, _ = await node.lists.attributes(
        T1, AttributeFilter(), terms=NO_TERMS, page_size=9, continuation=""
    )
    assert len(tuples) == 1
    assert attributes == values[:1]


async def test_too_many_facts_in_one_write_are_refused_after_duplicates_are_gone():
    node = await node_with_schema()
    await node.put(*["doc:1#viewer@user:ann"] * 9)
    with pytest.raises(InvalidInputError) as caught:
        await node.put(*[f"doc:{n}#viewer@user:ann" for n in range(6)])
    assert caught.value.reason == "ERROR_CODE_MAX_DATA_PER_WRITE_EXCEEDED"


async def test_writing_what_holds_takes_no_revision():
    node = await node_with_schema()
    first = await node.put("doc:1#viewer@user:ann")
    assert await node.put("doc:1#viewer@user:ann") == first


async def test_removing_with_empty_filters_is_refused():
    node = await node_with_schema()
    with pytest.raises(InvalidInputError):
        await node.data.remove(T1, tuples=TupleFilter(), attributes=AttributeFilter())


async def test_a_deleted_tenant_is_gone_for_the_node_that_knew_it_and_for_others():
    one = await node_with_schema()
    other = Node(one.tables, Consistency.NODE, one.writer)
    token = token_of(T1, await one.put("doc:1#viewer@user:ann"))
    assert await other.allowed("doc:1", "view", "user:ann")
    await one.tenants.delete(T1)
    for node in (one, other):
        with pytest.raises(NotFoundError):
            await node.allowed("doc:1", "view", "user:ann")
        with pytest.raises(NotFoundError):
            await node.allowed("doc:1", "view", "user:ann", snap_token=token)
    await one.schemas.write(T1, SCHEMA)
    assert not await one.allowed("doc:1", "view", "user:ann", snap_token=token)


async def test_pages_stand_at_the_revision_of_the_first():
    node = await node_with_schema()
    await node.put(*[f"doc:{n}#viewer@user:ann" for n in range(5)])
    where = TupleFilter(relation="viewer")
    page, token = await node.lists.tuples(T1, where, terms=NO_TERMS, page_size=3, continuation="")
    assert [fact.entity.id for fact in page] == ["0", "1", "2"]
    await node.data.remove(T1, tuples=where, attributes=AttributeFilter())
    rest, end = await node.lists.tuples(T1, where, terms=NO_TERMS, page_size=3, continuation=token)
    assert ([fact.entity.id for fact in rest], end) == (["3", "4"], "")


async def test_a_page_token_is_refused_with_another_filter_or_after_the_tenant_is_gone():
    node = await node_with_schema()
    await node.put("doc:1#viewer@user:ann", "doc:2#viewer@user:ann")
    _, token = await node.lists.tuples(
        T1, TupleFilter(), terms=NO_TERMS, page_size=1, continuation=""
    )
    with pytest.raises(InvalidTokenError):
        await node.lists.tuples(
            T1, TupleFilter(relation="viewer"), terms=NO_TERMS, page_size=1, continuation=token
        )
    await node.tenants.delete(T1)
    with pytest.raises(BehindWindowError):
        await node.lists.tuples(T1, TupleFilter(), terms=NO_TERMS, page_size=1, continuation=token)


async def test_a_check_as_of_a_revision_sees_the_facts_and_the_schema_of_then():
    node = await node_with_schema()
    put = await node.put("doc:1#viewer@user:ann")
    await node.data.remove(T1, tuples=TupleFilter(relation="viewer"), attributes=AttributeFilter())
    await node.schemas.write(T1, WITHOUT_VIEWER)
    assert await node.allowed("doc:1", "view", "user:ann", as_of=put.revision)
    assert not await node.allowed("doc:1", "view", "user:ann", as_of=put.revision + 1)
    assert not await node.allowed("doc:1", "view", "user:ann")


async def test_an_as_of_before_the_first_schema_is_told_so():
    node = Node()
    await node.tenants.create(T1, "one")
    await node.schemas.write(T1, SCHEMA)
    with pytest.raises(NotFoundError, match="had no schema yet at revision 1"):
        await node.allowed("doc:1", "view", "user:ann", as_of=Revision(1))


async def test_an_as_of_goes_with_no_token_and_no_later_schema_version():
    node = await node_with_schema()
    head = await node.put("doc:1#viewer@user:ann")
    later = (await node.schemas.write(T1, WITHOUT_VIEWER)).version
    for more in ({"snap_token": token_of(T1, head)}, {"schema_version": later}):
        with pytest.raises(InvalidInputError):
            await node.allowed("doc:1", "view", "user:ann", as_of=head.revision, **more)


async def test_an_as_of_beyond_head_or_before_a_deletion_is_refused():
    node = await node_with_schema()
    head = await node.put("doc:1#viewer@user:ann")
    with pytest.raises(BeyondHeadError):
        await node.allowed("doc:1", "view", "user:ann", as_of=head.revision + 1)
    await node.tenants.delete(T1)
    with pytest.raises(BehindWindowError):
        await node.allowed("doc:1", "view", "user:ann", as_of=head.revision)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-11-21T20:26:00", "-1", "1.5", "9" * 40, "0001-01-01T00:00:00+23:59",
     "9999-12-31T23:59:59-23:59"],
)  # fmt: skip
def test_what_is_neither_a_revision_nor_a_time_with_an_offset_is_no_as_of(text):
    with pytest.raises(InvalidInputError):
        parse_as_of(text)


def test_an_as_of_is_a_revision_or_a_time():
    assert parse_as_of("42") == 42
    assert parse_as_of("2026-11-21T21:26:00+01:00") == datetime(2026, 11, 21, 20, 26, tzinfo=UTC)


async def test_a_schema_version_of_a_life_that_ended_is_gone_on_every_node():
    one = await node_with_schema()
    other = Node(one.tables, writer=one.writer)
    old = (await one.resolver.refresh(T1)).schema_version
    await one.put("doc:1#viewer@user:ann")
    assert await other.allowed("doc:1", "view", "user:ann", schema_version=old)
    await one.tenants.delete(T1)
    for node in (one, other):
        with pytest.raises(NotFoundError):
            await node.allowed("doc:1", "view", "user:ann", schema_version=old)
        with pytest.raises(NotFoundError):
            await node.put("doc:1#viewer@user:ann", schema_version=old)
    await one.schemas.write(T1, SCHEMA)
    assert not await one.allowed("doc:1", "view", "user:ann")


class Overtaken:
    """A writer that lets somebody else write a schema first, so many times."""

    def __init__(self, writer, times):
        self.writer = writer
        self.times = times

    def __getattr__(self, name):
        return getattr(self.writer, name)

    async def write_schema(self, tenant, text, *, based_on, write_id):
        if self.times and based_on is not None:
            self.times -= 1
            more = SCHEMA.replace("user {}", f"user {{ attribute a{'x' * self.times} boolean }}")
            await self.writer.write_schema(tenant, more, based_on=None, write_id=write_id)
        return await self.writer.write_schema(tenant, text, based_on=based_on, write_id=write_id)


EDITORS = {"doc": EntityEdits(write=("relation editor @user",))}


async def test_an_edit_is_made_anew_on_what_came_into_force_meanwhile():
    one = await node_with_schema()
    node = Node(one.tables, writer=Overtaken(one.writer, 2))
    await node.schemas.write_in_part(T1, EDITORS, "")
    schema = await node.schemas.read(T1, NO_TERMS)
    assert "editor" in schema.entities["doc"].relations
    assert "a" in schema.entities["user"].attributes


async def test_an_edit_of_a_named_version_is_refused_once_another_is_in_force():
    node = await node_with_schema()
    first = (await node.resolver.refresh(T1)).schema_version
    second = (await node.schemas.write_in_part(T1, EDITORS, first)).version
    more = {"doc": EntityEdits(delete=("editor",))}
    with pytest.raises(ConflictError):
        await node.schemas.write_in_part(T1, EDITORS, first)
    await node.schemas.write_in_part(T1, more, second)
    assert "editor" not in (await node.schemas.read(T1, NO_TERMS)).entities["doc"].relations


async def test_an_edit_that_never_comes_through_is_a_conflict():
    one = await node_with_schema()
    node = Node(one.tables, writer=Overtaken(one.writer, 100))
    with pytest.raises(ConflictError):
        await node.schemas.write_in_part(T1, EDITORS, "")


async def test_an_edit_needs_a_schema_and_a_result_that_compiles():
    node = Node()
    for version in ("", "nope", "0" * 20, "\0"):
        with pytest.raises(NotFoundError) as caught:
            await node.schemas.write_in_part(T1, EDITORS, version)
        assert caught.value.reason == "ERROR_CODE_SCHEMA_NOT_FOUND"
    await node.schemas.write(T1, SCHEMA)
    with pytest.raises(SchemaError):
        await node.schemas.write_in_part(T1, {"doc": EntityEdits(delete=("viewer",))}, "")
    assert (await node.resolver.refresh(T1)).revision == 1


async def test_an_edit_of_nothing_is_a_new_version_of_the_same_text():
    node = await node_with_schema()
    first = (await node.resolver.refresh(T1)).schema_version
    second = (await node.schemas.write_in_part(T1, {}, "")).version
    assert second > first
    assert (await node.schemas.read(T1, Terms(schema_version=second))).text == SCHEMA
