"""What every TransactionWriter keeps, with the HeadReader that shows it."""

from __future__ import annotations

import asyncio

import pytest

from grantlog.errors import ConflictError, InvalidInputError, NotFoundError, StaleSchemaError
from grantlog.model.attributes import AttributeType, AttributeValue
from grantlog.model.change import (
    AttributeChange,
    DataWritten,
    Operation,
    SchemaWritten,
    TenantCreated,
    TenantDeleted,
    TupleChange,
)
from grantlog.model.ids import SchemaVersion
from grantlog.model.tuples import Entity, parse_tuple
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.ports.writer import DataIntent, PutFacts, RemoveWhere
from grantlog.testing.contracts.places import (
    ACME,
    NO_SCHEMA,
    OTHER,
    Primary,
    absences,
    attribute,
    direct,
    facts,
    listed,
)

SCHEMA = "entity user {}\nentity doc { relation viewer @user }"


class WriterContract:
    """Writes become dense revisions with exactly their net changes."""

    async def test_revisions_are_dense_for_each_tenant(self, primary: Primary) -> None:
        revisions = [(await primary.put(f"doc:{n}#viewer@user:1")).revision for n in range(1, 4)]
        other = await primary.put("doc:1#viewer@user:1", tenant=OTHER)
        assert revisions == [1, 2, 3]
        assert other.revision == 1

    async def test_concurrent_writes_take_one_revision_each(self, primary: Primary) -> None:
        async with asyncio.TaskGroup() as group:
            writes = [group.create_task(primary.put(f"doc:{n}#viewer@user:1")) for n in range(30)]
        assert sorted(write.result().revision for write in writes) == list(range(1, 31))
        assert len(await listed(primary, (await primary.heads.head(ACME)).revision)) == len(writes)

    async def test_a_head_names_the_transaction_that_it_stands_at(self, primary: Primary) -> None:
        for number in range(2):
            await primary.put(f"doc:{number}#viewer@user:1")
        head = await primary.heads.head(ACME)
        assert head.digest == (await primary.history())[-1].digest
        anew = await primary.put("doc:2#viewer@user:1")
        again = await primary.put("doc:2#viewer@user:1")
        digest = (await primary.history())[-1].digest
        assert (anew.digest, again.digest) == (digest, digest)

    async def test_writing_what_holds_takes_no_revision(self, primary: Primary) -> None:
        first = await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1")
        again = await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1")
        absent = await primary.remove("doc:2#viewer@user:1", "doc:2$level")
        assert again.revision == absent.revision == first.revision

    async def test_a_write_that_changes_nothing_of_an_unknown_tenant_stands_at_zero(
        self, primary: Primary
    ) -> None:
        assert (await primary.remove("doc:1#viewer@user:1")).revision == 0
        assert (await primary.heads.head(ACME)).revision == 0

    async def test_overwriting_an_attribute_is_a_delete_and_a_create(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1$level|integer:1")
        await primary.put("doc:1$level|double:1")
        body = (await primary.history())[-1].body
        assert isinstance(body, DataWritten)
        delete, create = body.changes
        assert isinstance(delete, AttributeChange)
        assert isinstance(create, AttributeChange)
        assert (delete.operation, create.operation) == (Operation.DELETE, Operation.CREATE)
        assert delete.attribute.value == AttributeValue(AttributeType.INTEGER, 1)
        assert create.attribute.value.type is AttributeType.DOUBLE

    async def test_steps_take_effect_in_order_and_only_their_net_change_is_logged(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        done = await primary.apply(
            facts("doc:1#viewer@user:2", "doc:1#viewer@user:3", "doc:1$level|integer:1"),
            absences("doc:1#viewer@user:2", "doc:1$level"),
            absences("doc:1#viewer@user:1"),
            facts("doc:1#viewer@user:1"),
        )
        body = (await primary.history())[-1].body
        assert isinstance(body, DataWritten)
        created = TupleChange(Operation.CREATE, parse_tuple("doc:1#viewer@user:3"))
        assert body.changes == (created,)
        assert await listed(primary, done.revision) == [
            "doc:1#viewer@user:1",
            "doc:1#viewer@user:3",
        ]

    async def test_removal_by_filter_sees_earlier_steps_and_logs_concrete_deletes(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1#viewer@user:1", "doc:2#viewer@user:1", "doc:1$level|integer:1")
        done = await primary.apply(
            facts("doc:1#viewer@user:2"),
            RemoveWhere(
                TupleFilter(entity_type="doc", entity_ids=("1",)),
                AttributeFilter(entity_type="doc", attributes=("level",)),
            ),
        )
        body = (await primary.history())[-1].body
        assert isinstance(body, DataWritten)
        assert {change.operation for change in body.changes} == {Operation.DELETE}
        assert len(body.changes) == len(("doc:1#viewer@user:1", "doc:1$level"))
        assert await listed(primary, done.revision) == ["doc:2#viewer@user:1"]
        asked = [attribute("doc:1$level")]
        assert list(await primary.facts.read(ACME, done.revision, asked)) == [None]

    async def test_an_empty_filter_removes_nothing(self, primary: Primary) -> None:
        first = await primary.put("doc:1#viewer@user:1")
        assert (await primary.apply(RemoveWhere())).revision == first.revision

    async def test_two_concurrent_removals_both_take_effect(self, primary: Primary) -> None:
        await primary.put("doc:1#viewer@user:1", "doc:1#viewer@user:2")
        async with asyncio.TaskGroup() as group:
            one = group.create_task(primary.remove("doc:1#viewer@user:1"))
            two = group.create_task(primary.remove("doc:1#viewer@user:2"))
        at = max(one.result().revision, two.result().revision)
        assert await listed(primary, at) == []

    async def test_facts_validated_against_a_schema_that_left_force_are_refused(
        self, primary: Primary
    ) -> None:
        old = await primary.writer.write_schema(
            ACME, SCHEMA, based_on=NO_SCHEMA, write_id=primary.new_id()
        )
        await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=primary.new_id())
        stale = DataIntent(
            ACME,
            (facts("doc:1#viewer@user:1"),),
            schema_version=old.schema_version,
            write_id=primary.new_id(),
        )
        with pytest.raises(StaleSchemaError):
            await primary.writer.write(stale)
        pinned = DataIntent(
            ACME,
            (facts("doc:1#viewer@user:1"),),
            schema_version=old.schema_version,
            schema_pinned=True,
            write_id=primary.new_id(),
        )
        assert (await primary.writer.write(pinned)).revision == old.revision + 2

    async def test_commit_times_increase_and_digests_chain(self, primary: Primary) -> None:
        for number in range(5):
            await primary.put(f"doc:{number}#viewer@user:1")
        log = await primary.history()
        times = [entry.commit_time for entry in log]
        assert times == sorted(set(times))
        digests = [entry.digest for entry in log]
        assert [entry.previous_digest for entry in log[1:]] == digests[:-1]

    async def test_a_transaction_keeps_actor_metadata_and_write_id(self, primary: Primary) -> None:
        intent = DataIntent(
            ACME,
            (facts("doc:1#viewer@user:1"),),
            schema_version=NO_SCHEMA,
            write_id=primary.new_id(),
            actor="ann",
            metadata={"ticket": "7"},
        )
        await primary.writer.write(intent)
        (entry,) = await primary.history()
        assert entry.write_id == intent.write_id
        assert (entry.actor, dict(entry.metadata)) == ("ann", {"ticket": "7"})


class SchemaAndTenantContract:
    """Schemas and tenants are written through the same log."""

    async def test_schema_versions_sort_in_the_order_of_writing(self, primary: Primary) -> None:
        written: list[SchemaVersion] = []
        for _ in range(3):
            done = await primary.writer.write_schema(
                ACME, SCHEMA, based_on=None, write_id=primary.new_id()
            )
            written.append(done.schema_version)
        assert written == sorted(set(written))
        head = await primary.heads.head(ACME)
        assert (head.revision, head.schema_version) == (3, written[-1])
        records = await primary.schemas.schemas(ACME, limit=2)
        assert [record.version for record in records] == written[:0:-1]
        rest = await primary.schemas.schemas(ACME, limit=2, before=records[-1].version)
        assert [record.version for record in rest] == written[:1]

    async def test_a_schema_is_read_back_as_it_was_written(self, primary: Primary) -> None:
        text = "// by hand\n" + SCHEMA
        done = await primary.writer.write_schema(
            ACME, text, based_on=None, write_id=primary.new_id()
        )
        record = await primary.schemas.schema(ACME, done.schema_version)
        assert record is not None
        assert (record.text, record.revision) == (text, done.revision)
        body = (await primary.history())[-1].body
        assert body == SchemaWritten(done.schema_version, text)
        assert await primary.schemas.schema(OTHER, done.schema_version) is None

    async def test_a_schema_based_on_another_than_the_one_in_force_is_a_conflict(
        self, primary: Primary
    ) -> None:
        await primary.writer.write_schema(
            ACME, SCHEMA, based_on=NO_SCHEMA, write_id=primary.new_id()
        )
        with pytest.raises(ConflictError):
            await primary.writer.write_schema(
                ACME, SCHEMA, based_on=NO_SCHEMA, write_id=primary.new_id()
            )

    async def test_a_write_pinned_to_a_schema_of_a_life_that_ended_is_refused(
        self, primary: Primary
    ) -> None:
        old = await primary.writer.write_schema(
            ACME, SCHEMA, based_on=None, write_id=primary.new_id()
        )
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        intent = DataIntent(
            tenant=ACME,
            steps=(PutFacts((parse_tuple("doc:1#viewer@user:1"),)),),
            schema_version=old.schema_version,
            schema_pinned=True,
            schema_revision=old.revision,
            write_id=primary.new_id(),
        )
        with pytest.raises(NotFoundError):
            await primary.writer.write(intent)
        again = await primary.writer.write_schema(
            ACME, SCHEMA, based_on=None, write_id=primary.new_id()
        )
        assert again.begins == old.revision + 1
        assert await listed(primary, again.revision) == []

    async def test_a_tenant_works_before_it_is_listed_and_keeps_its_data(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        assert ACME not in [record.id for record in await primary.tenants.tenants(limit=50)]
        created = await primary.writer.create_tenant(ACME, "Acme", write_id=primary.new_id())
        assert created in await primary.tenants.tenants(limit=50)
        head = await primary.heads.head(ACME)
        assert await listed(primary, head.revision) == ["doc:1#viewer@user:1"]
        assert (await primary.history())[-1].body == TenantCreated("Acme")

    async def test_a_tenant_is_created_once(self, primary: Primary) -> None:
        await primary.writer.create_tenant(ACME, "Acme", write_id=primary.new_id())
        with pytest.raises(InvalidInputError) as caught:
            await primary.writer.create_tenant(ACME, "Acme", write_id=primary.new_id())
        assert caught.value.reason == "ERROR_CODE_UNIQUE_CONSTRAINT"

    async def test_a_tenant_that_was_never_there_cannot_be_deleted(self, primary: Primary) -> None:
        with pytest.raises(NotFoundError):
            await primary.writer.delete_tenant(ACME, write_id=primary.new_id())

    async def test_a_deleted_tenant_cannot_be_deleted_again_until_it_lives_again(
        self, primary: Primary
    ) -> None:
        await primary.put("doc:1#viewer@user:1")
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        with pytest.raises(NotFoundError):
            await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        await primary.writer.create_tenant(ACME, "Acme", write_id=primary.new_id())
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        assert (await primary.heads.head(ACME)).revision == (await primary.history())[-1].revision

    async def test_deletion_ends_a_life_and_revisions_go_on(self, primary: Primary) -> None:
        await primary.writer.create_tenant(ACME, "Acme", write_id=primary.new_id())
        await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=primary.new_id())
        before = await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:1")
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        head = await primary.heads.head(ACME)
        assert (head.revision, head.schema_version) == (before.revision + 1, NO_SCHEMA)
        assert ACME not in [record.id for record in await primary.tenants.tenants(limit=50)]
        assert await primary.schemas.schema(ACME, before.schema_version) is None
        assert await primary.schemas.schemas(ACME, limit=10) == []
        asked = [direct("doc:1#viewer@user:1"), attribute("doc:1$level")]
        assert list(await primary.facts.read(ACME, head.revision, asked)) == [False, None]
        again = await primary.put("doc:1#viewer@user:1", "doc:1$level|integer:2")
        assert again.revision == head.revision + 1
        assert list(await primary.facts.read(ACME, again.revision, asked)) == [
            True,
            AttributeValue(AttributeType.INTEGER, 2),
        ]
        log = await primary.history()
        assert [entry.revision for entry in log] == [before.revision + 1, before.revision + 2]
        assert log[0].body == TenantDeleted()

    async def test_tenants_are_listed_by_id_in_pages(self, primary: Primary) -> None:
        for tenant in (OTHER, ACME):
            await primary.writer.create_tenant(tenant, tenant, write_id=primary.new_id())
        everyone = [record.id for record in await primary.tenants.tenants(limit=50)]
        assert everyone == sorted(everyone)
        first = await primary.tenants.tenants(limit=1)
        rest = await primary.tenants.tenants(limit=50, after=first[-1].id)
        assert [record.id for record in (*first, *rest)] == everyone

    async def test_an_epoch_records_where_the_one_before_ended(self, primary: Primary) -> None:
        done = await primary.put("doc:1#viewer@user:1")
        await primary.open_epoch()
        head = await primary.heads.head(ACME)
        assert head.epoch > done.epoch
        assert head.revision == done.revision
        assert await primary.heads.recorded_head(ACME, done.epoch) == done.revision
        assert await primary.heads.recorded_head(OTHER, done.epoch) == 0
        assert (await primary.put("doc:2#viewer@user:1")).epoch == head.epoch

    async def test_removed_attributes_are_named_by_entity(self, primary: Primary) -> None:
        await primary.put("doc:1$level|integer:1", "doc:2$level|integer:1")
        done = await primary.remove("doc:1$level")
        asked = [attribute("doc:1$level"), attribute("doc:2$level")]
        gone, kept = await primary.facts.read(ACME, done.revision, asked)
        assert gone is None
        assert kept == AttributeValue(AttributeType.INTEGER, 1)
        page = await primary.lister.attributes(ACME, done.revision, AttributeFilter(), limit=10)
        assert [held.entity for held in page] == [Entity("doc", "2")]
