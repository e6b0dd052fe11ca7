"""Reading facts at one revision: what the engine asks for, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from grantlog.model.attributes import AttributeValue
from grantlog.model.ids import ANY_EPOCH, Epoch, Revision, TenantId
from grantlog.model.tuples import Entity, RelationTuple, Subject


class DirectKey(NamedTuple):
    """Does exactly this tuple hold? Answer: bool."""

    entity_type: str
    entity_id: str
    relation: str
    subject_type: str
    subject_id: str
    subject_relation: str


class UsersetsKey(NamedTuple):
    """The usersets among the subjects of a relation. Answer: SubjectPage.

    Order: (relation, type, id) of the subject by bytes; `after` is the last one of the page before.
    """

    entity_type: str
    entity_id: str
    relation: str
    after: Subject | None = None


class SubjectsKey(NamedTuple):
    """All subjects of a relation, usersets included. Answer: SubjectPage, in the same order."""

    entity_type: str
    entity_id: str
    relation: str
    after: Subject | None = None


class MemberOfUsersetKey(NamedTuple):
    """Is the subject directly in some userset of the relation? Answer: bool.

    True if a tuple (entity, relation, U#r) holds with (r's type, r) = `userset_type`,
    `userset_relation` and the tuple (U, r, subject) holds. One join instead of reading every
    userset of a relation that has thousands.
    """

    entity_type: str
    entity_id: str
    relation: str
    userset_type: str
    userset_relation: str
    subject_type: str
    subject_id: str
    subject_relation: str


class AttributeKey(NamedTuple):
    """The value of an attribute. Answer: AttributeValue or None."""

    entity_type: str
    entity_id: str
    attribute: str


class SubjectPage(NamedTuple):
    """At most `PAGE_SUBJECTS_MAX` subjects; `more` says that others follow the last one."""

    subjects: tuple[Subject, ...]
    more: bool


PAGE_SUBJECTS_MAX = 1000

# Keys are tuples, so two of different classes can be equal: a map of them is keyed by (type, key).
FactKey: TypeAlias = DirectKey | UsersetsKey | SubjectsKey | MemberOfUsersetKey | AttributeKey
FactAnswer: TypeAlias = bool | SubjectPage | AttributeValue | None


class FactReader(Protocol):
    """Reads stored facts at an exact revision."""

    async def read(
        self,
        tenant: TenantId,
        revision: Revision,
        keys: Sequence[FactKey],
        *,
        epoch: Epoch = ANY_EPOCH,
    ) -> Sequence[FactAnswer]:
        """Answer every key, in order, as of exactly `revision`.

        Calls that run at the same time may share one statement; each is answered for its own
        tenant and revision. A tenant that was never written has no facts.

        Args:
            tenant: whose facts.
            revision: as of when.
            keys: what is asked.
            epoch: in which the revision was resolved. In another one the same number may name
                another history; whoever answers a client says it (a unit test looks).

        Raises:
            OtherEpochError: the primary's log is in another epoch: resolve anew.
            ProjectionLaggingError: the revision is not there within the wait, nor is the primary.
            BehindWindowError: history at the revision has been collected, or the tenant was
                deleted since.
            UnavailableError: the database does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class TupleFilter:
    """Conditions on tuples, ANDed; an empty field is no condition, id lists are ORed."""

    entity_type: str = ""
    entity_ids: tuple[str, ...] = ()
    relation: str = ""
    subject_type: str = ""
    subject_ids: tuple[str, ...] = ()
    subject_relation: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it has no condition at all."""
        return self == TupleFilter()

    def admits(self, fact: RelationTuple) -> bool:
        """Whether a tuple meets every condition."""
        entity, relation, subject = fact
        return (
            self.entity_type in ("", entity.type)
            and (not self.entity_ids or entity.id in self.entity_ids)
            and self.relation in ("", relation)
            and self.subject_type in ("", subject.type)
            and (not self.subject_ids or subject.id in self.subject_ids)
            and self.subject_relation in ("", subject.relation)
        )


@dataclass(frozen=True, slots=True)
class AttributeFilter:
    """Conditions on attributes, ANDed; an empty field is no condition, lists are ORed."""

    entity_type: str = ""
    entity_ids: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it has no condition at all."""
        return self == AttributeFilter()

    def admits(self, entity: Entity, name: str) -> bool:
        """Whether the attribute of that name on that entity meets every condition."""
        return (
            self.entity_type in ("", entity.type)
            and (not self.entity_ids or entity.id in self.entity_ids)
            and (not self.attributes or name in self.attributes)
        )
