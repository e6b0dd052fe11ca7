"""Generated worlds: users in groups, groups that view folders, documents in folders.

Of 100 tuples 40 are memberships, 20 let a group view a folder, 40 put a document into a folder. A
world of any size has the same shape around a question (20 members a group, 2 groups a user, 2
groups a folder), so that what grows with the size is the store and nothing else. `Wide` and `Huge`
are worlds of their own for what the regular one has not: users in many groups, and a group of many.
What is asked of a world, and the right answers, are in questions.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, NamedTuple

SCHEMA: Final = """entity user {}

entity group {
    relation member @user
}

entity org {
    relation team @group#member
    permission reach = team
}

entity region {
    relation org @org
    permission reach = org.reach
}

entity site {
    relation region @region
    permission reach = region.reach
}

entity folder {
    relation viewer @user @group#member
    relation site @site
    permission view = viewer
    permission reach = site.reach
}

entity doc {
    relation folder @folder
    attribute public boolean
    attribute level integer
    permission view = folder.view
    permission reach = folder.reach
    permission open = public
    permission odd_level = odd(level)
}

rule odd(level integer) {
    level % 2 == 1 || level % 2 == -1
}
"""
MEMBERS: Final = 20
LEVELS: Final = 10
"""Documents have levels below this one in turn."""
DESCRIBED_MAX: Final = 10_000
"""So many documents of a world have attributes."""
_VIEWERS: Final = 2
_SPREAD: Final = (7_368_787, 15_485_863, 32_452_843)
"""Primes larger than any count here: multiplying by one permutes the numbers below the count."""


class Fact(NamedTuple):
    """A tuple in pieces."""

    entity_type: str
    entity_id: str
    relation: str
    subject_type: str
    subject_id: str
    subject_relation: str = ""


class Trait(NamedTuple):
    """An attribute of a document: a boolean or an integer."""

    doc: str
    name: str
    value: bool | int


class World:
    """A world of `size` tuples, a multiple of 100; all of it follows from the size.

    Beside them stand the chains from folders to organisations, 12 for 100 tuples, and attributes.
    """

    def __init__(self, size: int) -> None:
        if size < 100 or size % 100:
            raise ValueError(f"a world has a multiple of 100 tuples, not {size}")
        scale = size // 100
        self.size = size
        self.users, self.groups = 20 * scale, 2 * scale
        self.folders, self.docs = 10 * scale, 40 * scale
        self.sites, self.regions = scale, -(-scale // 10)
        self.described = min(self.docs, DESCRIBED_MAX)

    def members(self, group: int) -> list[int]:
        """The users of a group; each user is in two groups, or twice in one of a tiny world."""
        half, place = divmod(group, self.groups // 2)
        seats = range(place * MEMBERS, (place + 1) * MEMBERS)
        return [seat * (_SPREAD[0] if half else 1) % self.users for seat in seats]

    def viewers(self, folder: int) -> list[int]:
        """The groups that view a folder."""
        seats = range(folder * _VIEWERS, (folder + 1) * _VIEWERS)
        return [seat * _SPREAD[1] % self.groups for seat in seats]

    def folder(self, doc: int) -> int:
        """Where a document lies."""
        return doc * _SPREAD[2] % self.folders

    def team(self, folder: int) -> int:
        """The group of the organisation that a folder's site belongs to, over its region."""
        return folder % self.sites % self.regions % self.groups

    def facts(self) -> Iterator[Fact]:
        """All tuples but the chains."""
        for group in range(self.groups):
            for user in self.members(group):
                yield Fact("group", f"g{group}", "member", "user", f"u{user}")
        for folder in range(self.folders):
            for group in self.viewers(folder):
                yield Fact("folder", f"f{folder}", "viewer", "group", f"g{group}", "member")
        for doc in range(self.docs):
            yield Fact("doc", f"d{doc}", "folder", "folder", f"f{self.folder(doc)}")

    def chains(self) -> Iterator[Fact]:
        """What leads from a folder over site and region to an organisation with a team."""
        for folder in range(self.folders):
            yield Fact("folder", f"f{folder}", "site", "site", f"s{folder % self.sites}")
        for site in range(self.sites):
            yield Fact("site", f"s{site}", "region", "region", f"r{site % self.regions}")
        for region in range(self.regions):
            yield Fact("region", f"r{region}", "org", "org", f"o{region}")
            yield Fact("org", f"o{region}", "team", "group", f"g{region % self.groups}", "member")

    def all_facts(self) -> Iterator[Fact]:
        """Every tuple."""
        return chain(self.facts(), self.chains())

    def traits(self) -> Iterator[Trait]:
        """Attributes of the documents that have them."""
        for doc in range(self.described):
            yield Trait(f"d{doc}", "public", doc % 2 == 0)
            yield Trait(f"d{doc}", "level", doc % LEVELS)


class _Corner:
    """4,000 documents in 1,000 folders, and no attributes."""

    docs: Final = 4_000
    folders: Final = 1_000

    @staticmethod
    def traits() -> Iterator[Trait]:
        """None."""
        return iter(())

    def _documents(self) -> Iterator[Fact]:
        for doc in range(self.docs):
            yield Fact("doc", f"d{doc}", "folder", "folder", f"f{doc % self.folders}")


class Wide(_Corner):
    """Users in each of `size` groups, of which two view each folder."""

    users: Final = 10

    def __init__(self, size: int) -> None:
        self.size = size

    def all_facts(self) -> Iterator[Fact]:
        """Every tuple."""
        for group in range(self.size):
            for user in range(self.users):
                yield Fact("group", f"g{group}", "member", "user", f"u{user}")
        for folder in range(self.folders):
            for seat in (2 * folder, 2 * folder + 1):
                group = f"g{seat % self.size}"
                yield Fact("folder", f"f{folder}", "viewer", "group", group, "member")
        yield from self._documents()


class Huge(_Corner):
    """One group of `size` members views every folder."""

    def __init__(self, size: int) -> None:
        self.size = size

    def all_facts(self) -> Iterator[Fact]:
        """Every tuple."""
        for user in range(self.size):
            yield Fact("group", "all", "member", "user", f"u{user}")
        for folder in range(self.folders):
            yield Fact("folder", f"f{folder}", "viewer", "group", "all", "member")
        yield from self._documents()


AnyWorld = World | Wide | Huge


def world_of(shape: str, size: int) -> AnyWorld:
    """The world of a shape: regular, wide or huge."""
    return {"regular": World, "wide": Wide, "huge": Huge}[shape](size)
