"""Generated worlds: users in groups, groups that view folders, documents in folders.

Of 100 tuples 40 are memberships, 20 let a group view a folder, 40 put a document into a folder. A
world of any size has the same shape around a question (20 members a group, 2 groups a user, 2
groups a folder), so that what grows with the size is the store and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

SCHEMA: Final = """entity user {}

entity group {
    relation member @user
}

entity folder {
    relation viewer @user @group#member
    permission view = viewer
}

entity doc {
    relation folder @folder
    permission view = folder.view
}
"""
_MEMBERS: Final = 20
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


class Question(NamedTuple):
    """May the user view the document, and the right answer."""

    doc: str
    user: str
    allowed: bool


class World:
    """A world of `size` tuples, a multiple of 100; all of it follows from the size."""

    def __init__(self, size: int) -> None:
        if size < 100 or size % 100:
            raise ValueError(f"a world has a multiple of 100 tuples, not {size}")
        scale = size // 100
        self.size = size
        self.users, self.groups = 20 * scale, 2 * scale
        self.folders, self.docs = 10 * scale, 40 * scale

    def members(self, group: int) -> list[int]:
        """The users of a group; each user is in two groups, or twice in one of a tiny world."""
        half, place = divmod(group, self.groups // 2)
        seats = range(place * _MEMBERS, (place + 1) * _MEMBERS)
        return [seat * (_SPREAD[0] if half else 1) % self.users for seat in seats]

    def viewers(self, folder: int) -> list[int]:
        """The groups that view a folder."""
        seats = range(folder * _VIEWERS, (folder + 1) * _VIEWERS)
        return [seat * _SPREAD[1] % self.groups for seat in seats]

    def folder(self, doc: int) -> int:
        """Where a document lies."""
        return doc * _SPREAD[2] % self.folders

    def facts(self) -> Iterator[Fact]:
        """All tuples."""
        for group in range(self.groups):
            for user in self.members(group):
                yield Fact("group", f"g{group}", "member", "user", f"u{user}")
        for folder in range(self.folders):
            for group in self.viewers(folder):
                yield Fact("folder", f"f{folder}", "viewer", "group", f"g{group}", "member")
        for doc in range(self.docs):
            yield Fact("doc", f"d{doc}", "folder", "folder", f"f{self.folder(doc)}")

    def questions(self, seed: int) -> Iterator[Question]:
        """Endless random questions, allowed and denied in turn."""
        rng = random.Random(seed)
        while True:
            doc = rng.randrange(self.docs)
            groups = self.viewers(self.folder(doc))
            user = rng.choice(self.members(rng.choice(groups)))
            yield Question(f"d{doc}", f"u{user}", allowed=True)
            inside = {user for group in groups for user in self.members(group)}
            user = rng.randrange(self.users)
            while user in inside and len(inside) < self.users:
                user = rng.randrange(self.users)
            yield Question(f"d{doc}", f"u{user}", allowed=user in inside)
