"""What clients note of their calls. Times are seconds of one clock that never goes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from grantlog.model.attributes import Attribute
from grantlog.model.change import Change
from grantlog.model.ids import TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject
from grantlog.ports.facts import AttributeFilter, TupleFilter


class Asked(NamedTuple):
    """One check."""

    entity: Entity
    permission: str
    subject: Subject


@dataclass(frozen=True, slots=True)
class Checks:
    """A check, or several in one call. Answer: a tuple of bools, in their order."""

    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Entities:
    """Which entities of a type may the subject …? Answer: a frozenset of ids, all pages."""

    entity_type: str
    permission: str
    subject: Subject

    def about(self, entity_id: str) -> Asked:
        """The same question about one entity."""
        return Asked(Entity(self.entity_type, entity_id), self.permission, self.subject)


@dataclass(frozen=True, slots=True)
class Tuples:
    """Which tuples hold? Answer: a frozenset of tuples, all pages."""

    filter: TupleFilter


@dataclass(frozen=True, slots=True)
class Attributes:
    """Which attributes hold? Answer: a frozenset of attributes, all pages."""

    filter: AttributeFilter


Question: TypeAlias = Checks | Entities | Tuples | Attributes
Answer: TypeAlias = (
    tuple[bool, ...] | frozenset[str] | frozenset[RelationTuple] | frozenset[Attribute]
)
Fact: TypeAlias = RelationTuple | Attribute
Filter: TypeAlias = TupleFilter | AttributeFilter


class Act(Enum):
    """What a write does."""

    FACTS = "changes facts"
    SCHEMA = "writes a schema"
    CREATION = "puts the tenant on the list"
    DELETION = "deletes the tenant"


@dataclass(frozen=True, slots=True)
class Write:
    """Facts that were to hold, or to cease, or another act; one atomic call."""

    client: str
    tenant: TenantId
    node: str
    invoked: float
    creates: tuple[Fact, ...] = ()
    deletes: tuple[RelationTuple, ...] = ()
    returned: float = math.inf
    """Infinity where nobody knows what became of it."""
    token: str = ""
    """Of the acknowledgement; "" where there was none, and of a deletion, which is told none."""
    where: tuple[Filter, ...] = ()
    """What they match was to cease."""
    act: Act = Act.FACTS
    denied: bool = False
    """Whether the caller was told that nothing was committed."""


class Why(Enum):
    """Why a call was refused."""

    NO_SCHEMA = "no schema is in force"
    LIFE_ENDED = "the tenant was deleted meanwhile"


@dataclass(frozen=True, slots=True)
class Refused:
    """A call that was told that the tenant is not there, or not any more."""

    client: str
    tenant: TenantId
    node: str
    invoked: float
    returned: float
    sent: str
    """As in `Answered`; of a write "", since writes are judged at the head."""
    why: Why


@dataclass(frozen=True, slots=True)
class Answered:
    """A question that was answered. A client that sends a token sends the last one that it has."""

    client: str
    tenant: TenantId
    node: str
    invoked: float
    returned: float
    question: Question
    sent: str
    """The snap token that came along; "" asks for the head."""
    token: str
    """Where the answer says that it stands."""
    source: str
    answer: Answer


class Told(NamedTuple):
    """A message to a watcher: the changes of one revision, or none: where it stands."""

    token: str
    changes: tuple[Change, ...]
    deleted: bool = False
    """Whether it tells that the tenant was deleted at this revision; it has no changes then."""


@dataclass(slots=True)
class Watched:
    """What one watcher was told, through all its connections, in order."""

    tenant: TenantId
    watcher: str
    start: str
    """The token that it began at; "" is before the first revision."""
    told: list[Told] = field(default_factory=list[Told])

    @property
    def last(self) -> str:
        """Where it stands, and would resume."""
        return self.told[-1].token if self.told else self.start


@dataclass(slots=True)
class History:
    """All that clients noted."""

    writes: list[Write] = field(default_factory=list[Write])
    answers: list[Answered] = field(default_factory=list[Answered])
    refused: list[Refused] = field(default_factory=list[Refused])
    watched: list[Watched] = field(default_factory=list[Watched])
