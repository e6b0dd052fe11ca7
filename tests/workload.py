"""Random calls on a small world, for histories: who writes what, and who asks what.

A world is dense, so that answers change often: few users, groups and folders. Docs come and go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TypedDict

from grantlog.model.attributes import Attribute, AttributeType, AttributeValue
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, TupleFilter
from grantlog.testing.histories import (
    Asked,
    Attributes,
    Checks,
    Entities,
    Fact,
    Filter,
    Tuples,
)
from grantlog.testing.histories.record import Question

SCHEMA = """
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation viewer @user @group#member
  relation banned @user @group#member
  attribute open boolean
  attribute level integer
  permission view = (viewer or open) not banned
  permission rated = odd(level) not banned
}
entity doc {
  relation parent @folder
  relation owner @user
  permission view = owner or parent.view
  permission rated = parent.rated
}
rule odd(level integer) { level % 2 == 1 || level % 2 == -1 }
entity note { relation by @user }
"""

USERS = [Subject("user", name) for name in ("ann", "bob", "cid", "dan")]
GROUPS = [Entity("group", name) for name in ("g1", "g2")]
FOLDERS = [Entity("folder", name) for name in ("f1", "f2", "f3")]
PERMISSIONS = ("view", "view", "rated")
_DOCS_KEPT = 6


def flag(folder: Entity, *, is_open: bool) -> Attribute:
    """Whether a folder is open to everyone who is not banned."""
    return Attribute(folder, "open", AttributeValue(AttributeType.BOOLEAN, is_open))


def level(folder: Entity, number: int) -> Attribute:
    return Attribute(folder, "level", AttributeValue(AttributeType.INTEGER, number))


def members_of(group: Entity) -> Subject:
    return Subject(group.type, group.id, "member")


class Removal(TypedDict):
    """The filters of one call; an empty one matches nothing."""

    tuples: TupleFilter
    attributes: AttributeFilter


@dataclass(frozen=True)
class Change:
    """What one call is to write: facts to hold, or tuples and what filters match to cease."""

    creates: tuple[Fact, ...] = ()
    deletes: tuple[RelationTuple, ...] = ()
    where: tuple[Filter, ...] = ()
    """At most one of tuples and one of attributes."""

    def filters(self) -> Removal:
        """What one call removes by its filters."""
        tuples, attributes = TupleFilter(), AttributeFilter()
        for one in self.where:
            if isinstance(one, TupleFilter):
                tuples = one
            else:
                attributes = one
        return {"tuples": tuples, "attributes": attributes}


@dataclass
class Workload:
    """The calls of one client.

    Args:
        client: its name; what it writes bears it.
        rng: makes all choices.
    """

    client: str
    rng: Random
    docs: list[Entity] = field(default_factory=list)
    """Those that this client made and did not take away."""
    count: int = 0

    def grant(self) -> RelationTuple:
        """A tuple that says who may see or not see folders, or who belongs to a group."""
        rng = self.rng
        subject = rng.choice([*USERS, *USERS, *map(members_of, GROUPS)])
        match rng.randrange(5):
            case 0:
                return RelationTuple(rng.choice(GROUPS), "member", rng.choice(USERS))
            case 1:
                return RelationTuple(rng.choice(FOLDERS), "banned", subject)
            case _:
                return RelationTuple(rng.choice(FOLDERS), "viewer", subject)

    def note(self) -> RelationTuple:
        """A tuple that nobody writes twice: it marks the write."""
        self.count += 1
        return RelationTuple(Entity("note", f"{self.client}-{self.count}"), "by", USERS[0])

    def doc(self) -> Entity:
        """A doc that is not there yet."""
        self.count += 1
        return Entity("doc", f"{self.client}-{self.count}")

    def content(self, doc: Entity, folder: Entity) -> Change:
        """A new doc in a folder."""
        self.docs.append(doc)
        parent = RelationTuple(doc, "parent", Subject(folder.type, folder.id))
        return Change(creates=(parent, self.note()))

    def change(self) -> Change:
        """The next write."""
        rng = self.rng
        if len(self.docs) > _DOCS_KEPT:
            doc = self.docs.pop(rng.randrange(len(self.docs)))
            parents = [Subject(folder.type, folder.id) for folder in FOLDERS]
            return Change(deletes=tuple(RelationTuple(doc, "parent", p) for p in parents))
        choice = rng.randrange(14)
        if choice < 3:
            return self.content(self.doc(), rng.choice(FOLDERS))
        if choice < 6:
            return Change(creates=(self.grant(), self.note()))
        if choice < 9:
            return Change(creates=(self.attribute(), self.note()))
        if choice < 11:
            return Change(where=self.swath())
        return Change(deletes=(self.grant(),))

    def attribute(self) -> Attribute:
        """An attribute of a folder; most of them are there already, with another value."""
        folder = self.rng.choice(FOLDERS)
        if self.rng.random() < 0.5:
            return flag(folder, is_open=self.rng.random() < 0.4)
        return level(folder, self.rng.randrange(4))

    def swath(self) -> tuple[Filter, ...]:
        """Filters that match what several clients wrote, or an attribute."""
        rng = self.rng
        folder = rng.choice(FOLDERS)
        attributes = AttributeFilter(folder.type, (folder.id,), (rng.choice(["open", "level"]),))
        match rng.randrange(4):
            case 0:
                return (TupleFilter("folder", (folder.id,), "viewer", "user"),)
            case 1:
                users = tuple(user.id for user in rng.sample(USERS, 2))
                return (TupleFilter("folder", (), "banned", "user", users), attributes)
            case 2:
                return (TupleFilter("group", (rng.choice(GROUPS).id,)),)
            case _:
                return (attributes,)

    def question(self) -> Question:
        """The next question: several bits of state in each answer."""
        rng = self.rng
        permission = rng.choice(PERMISSIONS)
        match rng.randrange(7):
            case 0:
                return Entities("doc", permission, rng.choice(USERS))
            case 1:
                return Entities("folder", permission, rng.choice(USERS))
            case 6:
                return Attributes(AttributeFilter("folder"))
            case 2:
                return Tuples(TupleFilter(entity_type=rng.choice(["folder", "group"])))
            case 3:
                return Checks((self._asked(),))
            case _:
                return Checks(tuple(self._asked() for _ in range(6)))

    def _asked(self) -> Asked:
        things = [*FOLDERS, *self.docs]
        permission = self.rng.choice(PERMISSIONS)
        return Asked(self.rng.choice(things), permission, self.rng.choice(USERS))
