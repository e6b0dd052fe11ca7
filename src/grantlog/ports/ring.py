"""Several nodes: who is there, and asking the one that holds what would have to be fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from grantlog.model.ids import TenantId
from grantlog.ports.facts import FactAnswer, FactKey
from grantlog.ports.heads import Head
from grantlog.ports.standing import Source


class Nodes(Protocol):
    """The nodes of a deployment, as one of them sees them; each is known by its address."""

    async def beat(self) -> Sequence[str]:
        """Say that this node is there; the addresses (`host:port`) of all that are.

        Its own is among them. Called about once a second: who stops is there no longer after a
        while.

        Raises:
            UnavailableError: what keeps the list does not answer. The last one still serves: a list
                that is old costs a hop, never an answer.
        """
        ...

    async def leave(self) -> None:
        """Say that this node is there no longer; that it cannot be said is no error."""
        ...


@dataclass(frozen=True, slots=True)
class FactQuestion:
    """Facts of one tenant, as of exactly the revision of a head, in its epoch and life.

    A stored fact at an exact place of the log is the same for every schema version and depth, so
    these are not part of it.
    """

    tenant: TenantId
    head: Head
    keys: Sequence[FactKey]


class Refusal(Enum):
    """Why a node did not answer another one; then the asker reads for itself."""

    BUSY = "busy"
    """It has as many questions as it takes."""
    FAILED = "failed"
    """Its store did not answer for exactly that place: behind, another epoch, a life that ended."""
    GONE = "gone"
    """The stream to it ended."""
    LARGE = "large"
    """The answer is larger than a message may be."""
    LATE = "late"
    """It took too long."""
    UNKNOWN = "unknown"
    """It does not know such a key: another version."""


class FactReply(NamedTuple):
    """The answers to all keys of a question, in order, and the copy that they were read from."""

    answers: Sequence[FactAnswer]
    source: Source


class SharedReads(Protocol):
    """Reads facts that this node does not know, from the nodes that own them and from the store."""

    async def read(self, tenant: TenantId, head: Head, keys: Sequence[FactKey]) -> FactReply:
        """The answer to every key, in order, at exactly the head's revision.

        The source is CACHE where no store was read, here or elsewhere.

        Raises:
            The errors of FactReader, from this node's own store: another node's never reach here.
        """
        ...
