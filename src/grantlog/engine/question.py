"""What a check is asked and what it answers, with the bounds it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from grantlog.errors import InvalidInputError
from grantlog.model.attributes import Attribute
from grantlog.model.tuples import Entity, RelationTuple, Subject

DEPTH_MAX: Final = 1_000
"""The largest depth a request may carry."""

DEPTH_DEFAULT: Final = 100
"""The depth of a question that names none."""


def require_depth(depth: int) -> None:
    """Refuse a depth that no question may carry.

    Raises:
        InvalidInputError: it is not from 0 to `DEPTH_MAX`.
    """
    if not 0 <= depth <= DEPTH_MAX:
        raise InvalidInputError(f"depth is {depth}; it may be at most {DEPTH_MAX}")


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Facts and data sent with one question; they exist for that question alone.

    Attributes:
        tuples: held beside the stored ones; those the schema does not admit count for nothing.
        attributes: win over stored ones; of two for the same name the first counts.
        data: what rules see as `context.data`: a mapping as from JSON.
    """

    tuples: tuple[RelationTuple, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    data: object = None


NO_CONTEXT: Final = RequestContext()


class CheckQuery(NamedTuple):
    """Does the subject hold the permission on the entity?

    A NamedTuple as its entity is: bulk checks make a hundred of them (benchmarks/bulk_pieces.py).

    Attributes:
        permission: a permission, relation or attribute of the entity's type, or a rule.
        arguments: names of attributes, for a rule asked by its own name only.
        depth: steps that a chain may go beyond the question itself, 0 to `DEPTH_MAX`.
    """

    entity: Entity
    permission: str
    subject: Subject
    arguments: tuple[str, ...] = ()
    context: RequestContext = NO_CONTEXT
    depth: int = DEPTH_DEFAULT


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The answer; `check_count` is how many distinct steps were looked at, at least 1."""

    allowed: bool
    check_count: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one check; reaching one is a `LimitError`.

    Attributes:
        nodes_max: distinct (entity, name) pairs.
        usersets_max: usersets that one relation of one entity is searched through.
        fanout_max: subjects that one arrow of one entity is followed to.
        keys_max: facts asked for in one batch.
    """

    nodes_max: int = 100_000
    usersets_max: int = 20_000
    fanout_max: int = 20_000
    keys_max: int = 50_000


DEFAULT_LIMITS: Final = Limits()
