"""Answering another node's question for facts: from memory, else from this node's own store."""

from __future__ import annotations

from dataclasses import replace

from grantlog.app.cached import CachedFacts, Caches
from grantlog.ports.facts import FactReader
from grantlog.ports.ring import FactQuestion, FactReply
from grantlog.ports.standing import Source, follow_standing, source_noted


class AnswerFacts:
    """What this node says to other nodes.

    It never asks a third one: whoever is asked has no way to. And it answers as it does its own
    checks: for exactly the revision asked, in the epoch and life in which the asker resolved it.
    """

    def __init__(self, facts: FactReader, caches: Caches) -> None:
        self._facts = facts
        self._caches = replace(caches, shared=None)

    async def __call__(self, question: FactQuestion) -> FactReply:
        """The answers to all keys, in order; to be called in a task of its own.

        Raises:
            The errors of FactReader: the asker then reads for itself.
        """
        follow_standing()
        facts = CachedFacts(self._facts, self._caches, question.tenant, question.head)
        answers = await facts.fetch(question.keys)
        return FactReply(answers, source_noted() if facts.reads else Source.CACHE)
