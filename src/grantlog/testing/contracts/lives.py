"""Lives of a tenant to be written, read and folded."""

from __future__ import annotations

from typing import Final

from grantlog.model.change import Transaction
from grantlog.testing.contracts.places import ACME, Primary

SCHEMA: Final = "entity user {}\nentity doc { relation viewer @user }"

DELETION: Final = 5
"""The revision at which `write_lives` ends the first life."""


async def write_lives(primary: Primary) -> list[Transaction]:
    """Two lives of a tenant, and the log of both as one sees it who follows from the beginning."""
    await write_a_life(primary)
    first = list(await primary.history())
    await write_another_life(primary)
    return [*first, *await primary.log.read(ACME, after=first[-1].revision, changes_max=1_000)]


async def write_a_life(primary: Primary) -> None:
    """A few revisions of every kind."""
    await primary.writer.create_tenant(ACME, "Acme", write_id=primary.new_id())
    await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=primary.new_id())
    await primary.put("doc:1#viewer@user:1", "doc:2#viewer@user:1", "doc:1$level|integer:1")
    await primary.put("doc:1$level|integer:2")


async def write_another_life(primary: Primary) -> None:
    """The end of that life, and some of the next one."""
    await primary.writer.delete_tenant(ACME, write_id=primary.new_id())
    await primary.writer.write_schema(ACME, SCHEMA, based_on=None, write_id=primary.new_id())
    await primary.put("doc:1#viewer@user:1", "doc:1#viewer@user:2", "doc:1$level|integer:3")
    await primary.remove("doc:1#viewer@user:1", "doc:1$level")
    await primary.put("doc:1#viewer@user:1")
