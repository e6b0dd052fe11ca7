"""What a deletion of the tenant means to questions under way, to tokens and to caches."""

from __future__ import annotations

import copy

import pytest

from grantlog.app.bundles import Bundles
from grantlog.app.continuation import Continuations
from grantlog.app.list_schemas import ListSchemas
from grantlog.app.lives import look_at_heads
from grantlog.app.lookup import Lookup, Window
from grantlog.app.places import Places
from grantlog.app.resolve import token_of
from grantlog.app.terms import NO_TERMS, Consistency
from grantlog.engine.lookup_entity.lookup import EntityQuery
from grantlog.engine.lookup_subject.lookup import SubjectQuery
from grantlog.errors import BehindWindowError, InvalidTokenError, NotFoundError, UnavailableError
from grantlog.model.bundle import Bundle
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Entity, Subject
from grantlog.ports.facts import TupleFilter
from grantlog.store.memory.heads import MemoryHeads
from grantlog.store.memory.reader import MemoryFactReader
from grantlog.store.memory.reverse import MemoryReverseReader
from tests.unit.app.world import SCHEMA, T1, Node

DOCS = EntityQuery("doc", "view", Subject("user", "ann"))
USERS = SubjectQuery(Entity("doc", "1"), "view", "user")
PAGES = Continuations(b"k" * 32)


async def filled(**node) -> Node:
    one = Node(**node)
    await one.schemas.write(T1, SCHEMA)
    await one.put(*(f"doc:{n}#viewer@user:ann" for n in range(4)), "doc:1#viewer@user:bob")
    return one


def another(node: Node, consistency=Consistency.HEAD) -> Node:
    """Another node over the same primary."""
    return Node(node.tables, consistency, node.writer)


def lookup_over_a_replica_that_lags(node: Node) -> Lookup:
    """The node's lookups, over a copy of the facts as they are now."""
    then = copy.deepcopy(node.tables)
    places = Places(node.resolver, node.cache, MemoryFactReader(then), MemoryReverseReader(then))
    return Lookup(places, PAGES, lambda: 0.0)


async def first_page_and_call(lookup: Lookup, kind: str):
    ask, query = {"entities": (lookup.entities, DOCS), "subjects": (lookup.subjects, USERS)}[kind]
    first = await ask(T1, query, Window(page_size=1))
    assert first.continuation
    return lambda: ask(T1, query, Window(page_size=1, continuation=first.continuation))


@pytest.mark.parametrize("kind", ["entities", "subjects"])
@pytest.mark.parametrize("again", [False, True], ids=["gone", "created anew"])
async def test_a_page_of_a_lookup_ends_with_the_life_even_where_the_replica_lags(kind, again):
    node = await filled()
    lookup = lookup_over_a_replica_that_lags(node)
    next_page = await first_page_and_call(lookup, kind)
    await next_page()
    kept = dict(node.cache._loaded.items())
    await node.tenants.delete(T1)
    for key, loaded in kept.items():
        node.cache._loaded.set(key, loaded)  # compiled meanwhile, and kept after the deletion
    if again:
        await node.schemas.write(T1, SCHEMA)
    with pytest.raises(BehindWindowError):
        await next_page()


@pytest.mark.parametrize("kind", ["entities", "subjects"])
@pytest.mark.parametrize("cached", [True, False])
async def test_a_page_asked_of_another_node_than_the_one_that_deleted(kind, cached):
    one = await filled()
    other = another(one)
    next_page = await first_page_and_call(other.lookup, kind)
    await one.tenants.delete(T1)
    if not cached:
        other.cache._loaded.clear()
    with pytest.raises(BehindWindowError):
        await next_page()


async def test_a_stream_of_a_deleted_tenant_ends_with_an_error_and_begins_anew_in_the_next_life():
    node = await filled()
    stream = node.lookup.stream_entities(T1, DOCS, Window(page_size=2))
    assert (await anext(stream))[0] == "0"
    await stream.aclose()
    token = (await node.lookup.entities(T1, DOCS, Window(page_size=1))).continuation
    await node.tenants.delete(T1)
    with pytest.raises(BehindWindowError):
        await anext(node.lookup.stream_entities(T1, DOCS, Window(continuation=token)))
    await node.schemas.write(T1, SCHEMA)
    assert [item async for item in node.lookup.stream_entities(T1, DOCS, Window())] == []


async def test_a_snap_token_of_a_life_that_ended_asks_for_at_least_as_fresh_in_the_next_one():
    one = await filled()
    token = token_of(T1, await one.put("doc:9#viewer@user:ann"))
    other = another(one)
    assert await other.allowed("doc:9", "view", "user:ann", snap_token=token)
    await one.tenants.delete(T1)
    await one.schemas.write(T1, SCHEMA)
    other.cache._loaded.clear()  # evicted: the version that it knew is nowhere any more
    for node in (one, other):
        assert not await node.allowed("doc:9", "view", "user:ann", snap_token=token)


async def test_revisions_of_the_next_life_are_higher():
    node = await filled()
    before = await node.put("doc:9#viewer@user:ann")
    await node.tenants.delete(T1)
    await node.schemas.write(T1, SCHEMA)
    after = await node.put("doc:9#viewer@user:ann")
    assert (after.revision, after.begins) == (before.revision + 3, before.revision + 1)


async def test_a_head_read_before_the_deletion_does_not_bring_the_dead_life_back():
    node = await filled(consistency=Consistency.NODE)
    stale = await node.resolver.refresh(T1)
    await node.tenants.delete(T1)
    assert node.known.learn(T1, stale, 0.0).head.begins == stale.revision + 1
    with pytest.raises(NotFoundError):
        await node.allowed("doc:1", "view", "user:ann")


async def test_a_bundle_write_teaches_the_node_where_the_life_began():
    """What it learns of a head must not let a dead schema version pass, cached as it may be."""
    one = await filled()
    other = another(one, Consistency.NODE)
    old = (await other.resolver.refresh(T1)).schema_version
    assert await other.allowed("doc:1", "view", "user:ann", schema_version=old)
    await one.tenants.delete(T1)
    bundles = Bundles(
        writer=other.writer, reader=MemoryHeads(other.tables), write_data=other.data,
        known=other.known, new_id=lambda: b"i" * 16,
    )  # fmt: skip
    await bundles.write(T1, [Bundle("b", (), ())])
    assert other.known.head(T1).begins == 3
    with pytest.raises(NotFoundError):
        await other.allowed("doc:1", "view", "user:ann", schema_version=old)


async def test_a_node_drops_what_it_kept_of_a_dead_life_when_it_hears_of_it():
    one = await filled()
    other = another(one)
    assert await other.allowed("doc:1", "view", "user:ann")
    await one.tenants.delete(T1)
    assert (one.cache.tenants(), other.cache.tenants()) == (set(), {T1})
    await look_at_heads(other.resolver, other.cache)
    assert other.cache.tenants() == set()


async def test_looking_at_heads_keeps_the_living_and_bears_a_primary_that_is_gone():
    node = await filled()

    class Gone:
        async def head(self, tenant):
            raise UnavailableError("no")

    heads, node.resolver._heads = node.resolver._heads, Gone()
    await look_at_heads(node.resolver, node.cache)
    node.resolver._heads = heads
    await look_at_heads(node.resolver, node.cache)
    assert node.cache.tenants() == {T1}


async def test_a_failed_deletion_leaves_nothing_known():
    node = await filled()
    with pytest.raises(NotFoundError):
        await node.tenants.delete(TenantId("nobody"))
    assert await node.allowed("doc:1", "view", "user:ann")


def schema_list(node: Node) -> ListSchemas:
    return ListSchemas(node.resolver, MemoryHeads(node.tables), PAGES)


async def test_pages_of_schema_versions_stand_at_the_revision_of_the_first():
    node = await filled()
    for _ in range(4):
        await node.schemas.write(T1, SCHEMA)
    listing = schema_list(node)
    whole = await listing(T1, page_size=0, continuation="")
    assert (len(whole.records), whole.continuation) == (5, "")
    for size in (1, 2, 4, 5, 6):
        records, token, heads = [], "", set()
        while True:
            page = await listing(T1, page_size=size, continuation=token)
            records += page.records
            heads.add(page.in_force)
            token = page.continuation
            if not token:
                break
            await node.schemas.write(T1, SCHEMA)
        assert heads == {records[0].version}
        assert records[-len(whole.records) :] == whole.records
        whole = await listing(T1, page_size=0, continuation="")


async def test_pages_of_schema_versions_end_with_the_life():
    node = await filled()
    await node.schemas.write(T1, SCHEMA)
    listing = schema_list(node)
    token = (await listing(T1, page_size=1, continuation="")).continuation
    for wrong in (token[:-2], token + "A", "x", "é"):
        with pytest.raises(InvalidTokenError):
            await listing(T1, page_size=1, continuation=wrong)
    with pytest.raises(InvalidTokenError):
        await listing(TenantId("t2"), page_size=1, continuation=token)
    await node.tenants.delete(T1)
    with pytest.raises(BehindWindowError):
        await listing(T1, page_size=1, continuation=token)
    await node.schemas.write(T1, SCHEMA)
    with pytest.raises(BehindWindowError):
        await listing(T1, page_size=1, continuation=token)


async def test_pages_of_facts_end_with_the_life():
    node = await filled()
    _, token = await node.lists.tuples(
        T1, TupleFilter(), terms=NO_TERMS, page_size=1, continuation=""
    )
    await node.tenants.delete(T1)
    await node.schemas.write(T1, SCHEMA)
    with pytest.raises(BehindWindowError):
        await node.lists.tuples(T1, TupleFilter(), terms=NO_TERMS, page_size=1, continuation=token)
