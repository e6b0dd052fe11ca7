"""What a plan consists of: one step for each name of each entity type, arrow and rule call.

Steps refer to one another as the schema's names do, cycles included. A step on an entity's id is a
node of a check. `number` tells steps of one plan apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from grantlog.engine.rules import RuleProgram
from grantlog.model.attributes import AttributeType

Kind: TypeAlias = tuple[str, str]
"""A kind of subject that a relation admits: (type, relation or "")."""


class _Named:
    """What all steps have.

    Attributes:
        type: the entity type.
        name: the name asked for; of an arrow `a.b`, which is no name, its source text.
        cost: how much depth a chain spends on going here.
        leads: whether it leads to other steps.
    """

    __slots__ = ("cost", "leads", "name", "number", "type")

    def __init__(self, number: int, type_: str, name: str) -> None:
        self.number = number
        self.type = type_
        self.name = name
        self.cost = 1
        self.leads = False


class RelationStep(_Named):
    """Is the subject in the relation, directly or through a userset?

    Attributes:
        kinds: what it admits.
        usersets: the step behind each kind of userset that it admits.
    """

    __slots__ = ("kinds", "usersets")

    def __init__(self, number: int, type_: str, name: str, kinds: frozenset[Kind]) -> None:
        super().__init__(number, type_, name)
        self.kinds = kinds
        self.usersets: Mapping[Kind, RelationStep] = {}


class ArrowStep(_Named):
    """Is `b` held on some subject of `a`? It costs no depth itself, each subject costs one.

    Attributes:
        relation: the step of `a`.
        targets: the step of `b` on each type of subject that has it.
        followed: the same by what `a` admits: other subjects, of another schema version, count for
            nothing.
    """

    __slots__ = ("followed", "relation", "targets")

    def __init__(self, number: int, relation: RelationStep, computed: str) -> None:
        super().__init__(number, relation.type, f"{relation.name}.{computed}")
        self.cost = 0
        self.leads = True
        self.relation = relation
        self.targets: Mapping[str, Step] = {}
        self.followed: Mapping[Kind, Step] = {}


class UnionStep(_Named):
    """A permission that is one operand or a chain of `or`: any operand allows it."""

    __slots__ = ("operands",)

    def __init__(self, number: int, type_: str, name: str) -> None:
        super().__init__(number, type_, name)
        self.leads = True
        self.operands: tuple[Step, ...] = ()


class ExpressionStep(_Named):
    """Any other permission: a postfix program over its operands (see `algebra`)."""

    __slots__ = ("operands", "program")

    def __init__(self, number: int, type_: str, name: str) -> None:
        super().__init__(number, type_, name)
        self.leads = True
        self.operands: tuple[Step, ...] = ()
        self.program: tuple[int, ...] = ()


class AttributeStep(_Named):
    """Is the boolean attribute true? One that is not set is not."""

    __slots__ = ("value_type",)

    def __init__(self, number: int, type_: str, name: str, value_type: AttributeType) -> None:
        super().__init__(number, type_, name)
        self.value_type = value_type


class RuleStep(_Named):
    """Does the rule hold for attributes of the entity, which bind to parameters by name?"""

    __slots__ = ("arguments", "program")

    def __init__(
        self, number: int, type_: str, program: RuleProgram, arguments: tuple[str, ...]
    ) -> None:
        super().__init__(number, type_, program.name)
        self.program = program
        self.arguments = arguments


Step: TypeAlias = RelationStep | ArrowStep | UnionStep | ExpressionStep | AttributeStep | RuleStep
