"""A node of a check: one step on one entity, looked at once per question."""

from __future__ import annotations

from grantlog.engine.algebra import Outcome
from grantlog.engine.steps import Step

IDLE, QUEUED, OPENED = range(3)


class Node:
    """What is known of one step on one entity.

    Attributes:
        budget: the largest number of further steps that any chain leading here has left; below 0
            the node may not be looked at.
        outcome: True, False, an error, or None while it is open.
        state: IDLE (nobody needs it), QUEUED (to be opened) or OPENED.
        waiting: of all but expressions, facts and open children that are still to come.
        failed: of unions, whether a child ended in an error.
        children: what it depends on; of permissions one per operand, in their order.
        parents: the nodes to tell about the outcome, open when they began to wait.
    """

    __slots__ = (
        "budget",
        "children",
        "failed",
        "id",
        "outcome",
        "parents",
        "state",
        "step",
        "waiting",
    )

    def __init__(self, step: Step, id_: str, budget: int) -> None:
        self.step = step
        self.id = id_
        self.budget = budget
        self.outcome: Outcome = None
        self.state = IDLE
        self.waiting = 0
        self.failed = False
        self.children: list[Node] = []
        self.parents: list[Node] = []

    @property
    def order(self) -> tuple[str, str, str]:
        """Where it stands among the subjects of a relation or arrow."""
        return (self.step.type, self.id, self.step.name)
