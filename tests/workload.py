"""Random calls on a small world, for histories: who writes what, and who asks what.

A world is dense, so that answers change often: few users, groups and folders. Docs come and go.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import TupleFilter
from grantlog.testing.histories import Asked, Checks, Entities, Tuples
from grantlog.testing.histories.record import Question

SCHEMA = """
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation viewer @user @group#member
  relation banned @user @group#member
  permission view = viewer not banned
}
entity doc {
  relation parent @folder
  relation owner @user
  permission view = owner or parent.view
}
entity note { relation by @user }
"""

USERS = [Subject("user", name) for name in ("ann", "bob", "cid", "dan")]
GROUPS = [Entity("group", name) for name in ("g1", "g2")]
FOLDERS = [Entity("folder", name) for name in ("f1", "f2", "f3")]
_DOCS_KEPT = 6


def members_of(group: Entity) -> Subject:
    return Subject(group.type, group.id, "member")


@dataclass(frozen=True)
class Change:
    """What one call is to write: tuples to hold, or tuples to cease."""

    creates: tuple[RelationTuple, ...] = ()
    deletes: tuple[RelationTuple, ...] = ()


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
        choice = rng.randrange(10)
        if choice < 3:
            return self.content(self.doc(), rng.choice(FOLDERS))
        if choice < 6:
            return Change(creates=(self.grant(), self.note()))
        return Change(deletes=(self.grant(),))

    def question(self) -> Question:
        """The next question: several bits of state in each answer."""
        rng = self.rng
        match rng.randrange(6):
            case 0:
                return Entities("doc", "view", rng.choice(USERS))
            case 1:
                return Entities("folder", "view", rng.choice(USERS))
            case 2:
                return Tuples(TupleFilter(entity_type=rng.choice(["folder", "group"])))
            case 3:
                return Checks((self._asked(),))
            case _:
                return Checks(tuple(self._asked() for _ in range(6)))

    def _asked(self) -> Asked:
        things = [*FOLDERS, *self.docs]
        return Asked(self.rng.choice(things), "view", self.rng.choice(USERS))
