"""What every writer and reader of bundles keeps."""

from __future__ import annotations

import pytest

from grantlog.errors import LimitError, NotFoundError
from grantlog.model.change import BundleDeleted, BundleWritten
from grantlog.ports.bundles import BUNDLES_MAX
from grantlog.testing.contracts.places import ACME, OTHER, Primary


class BundleContract:
    """Bundles are written through the same log and live as long as their tenant."""

    async def test_a_bundle_is_read_back_as_it_was_written(self, primary: Primary) -> None:
        definitions = {"one": '{"name":"one"}', "two": '{"name":"two, wörtlich"}'}
        done = await primary.writer.write_bundles(ACME, definitions, write_id=primary.new_id())
        assert done.revision == len(definitions)
        for name, definition in definitions.items():
            assert await primary.bundles.bundle(ACME, name) == definition
        assert await primary.bundles.bundle(ACME, "three") is None
        assert await primary.bundles.bundle(OTHER, "one") is None
        bodies = [transaction.body for transaction in await primary.history()]
        assert bodies == [BundleWritten(*item) for item in definitions.items()]

    async def test_only_a_bundle_that_changes_takes_a_revision(self, primary: Primary) -> None:
        first = {"one": "1", "two": "2"}
        await primary.writer.write_bundles(ACME, first, write_id=primary.new_id())
        same = await primary.writer.write_bundles(ACME, first, write_id=primary.new_id())
        assert (same.revision, same.commit_time) == (2, None)
        changed = await primary.writer.write_bundles(
            ACME, first | {"two": "another"}, write_id=primary.new_id()
        )
        assert changed.revision == len(first) + 1
        assert await primary.bundles.bundle(ACME, "two") == "another"

    async def test_a_bundle_is_deleted_once(self, primary: Primary) -> None:
        await primary.writer.write_bundles(ACME, {"one": "1"}, write_id=primary.new_id())
        done = await primary.writer.delete_bundle(ACME, "one", write_id=primary.new_id())
        assert done.revision == len(await primary.history())
        assert (await primary.history())[-1].body == BundleDeleted("one")
        assert await primary.bundles.bundle(ACME, "one") is None
        for name in ("one", "never"):
            with pytest.raises(NotFoundError) as caught:
                await primary.writer.delete_bundle(ACME, name, write_id=primary.new_id())
            assert caught.value.reason == "ERROR_CODE_BUNDLE_NOT_FOUND"

    async def test_bundles_end_with_their_tenant(self, primary: Primary) -> None:
        await primary.writer.write_bundles(ACME, {"one": "1"}, write_id=primary.new_id())
        await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
        assert await primary.bundles.bundle(ACME, "one") is None
        again = await primary.writer.write_bundles(ACME, {"one": "1"}, write_id=primary.new_id())
        assert again.commit_time is not None

    async def test_a_tenant_has_only_so_many(self, primary: Primary) -> None:
        many = {f"b{number}": "x" for number in range(BUNDLES_MAX)}
        done = await primary.writer.write_bundles(ACME, many, write_id=primary.new_id())
        with pytest.raises(LimitError):
            await primary.writer.write_bundles(ACME, {"more": "x"}, write_id=primary.new_id())
        await primary.writer.write_bundles(ACME, {"b0": "y"}, write_id=primary.new_id())
        assert (await primary.heads.head(ACME)).revision == done.revision + 1

    async def test_bundles_and_facts_share_one_order(self, primary: Primary) -> None:
        await primary.put("doc:1#viewer@user:1")
        await primary.writer.write_bundles(ACME, {"one": "1"}, write_id=primary.new_id())
        done = await primary.put("doc:2#viewer@user:1")
        assert [transaction.revision for transaction in await primary.history()] == [1, 2, 3]
        await primary.projection.digest(ACME, done.revision)
