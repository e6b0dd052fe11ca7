"""What the stories of these tests have in common: a log, and what clients noted of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from grantlog.model.change import Transaction
from grantlog.model.ids import Epoch, TenantId
from grantlog.model.token import SnapToken, encode_token
from grantlog.testing.histories import Answered, History, Promise, violations
from grantlog.testing.histories.record import Answer, Question

ACME = TenantId("acme")


@dataclass
class Noted:
    """A tenant's log and the history that is held against it."""

    log: list[Transaction] = field(default_factory=list)
    history: History = field(default_factory=History)

    def token(self, revision: int, epoch: int = 1) -> str:
        return encode_token(ACME, SnapToken(Epoch(epoch), revision))

    def ask(
        self, question: Question, answer: Answer, *, at: int, sent: int = 0, when: float = 100
    ) -> None:
        self.history.answers.append(
            Answered(
                "r", ACME, "b", when, when + 5, question, self.token(sent) if sent else "",
                self.token(at), "replica", answer,
            )
        )  # fmt: skip

    def broken(self) -> set[Promise]:
        return {found.promise for found in violations(self.history, {ACME: self.log})}
