"""Lines gathered into requests."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from grantlog.api.v1 import base_pb2
from grantlog.cli.importing.lines import Fact, Line, Reject, parse_line

BYTES_MAX: Final = 1_048_576
"""Of a request's facts; servers refuse messages beyond 4 MiB."""

Key: TypeAlias = tuple[str, str, str]


@dataclass(slots=True)
class Batch:
    """Facts for one request, with the lines they come from, and where the input then stands."""

    facts: list[tuple[Line, Fact]] = field(default_factory=list[tuple[Line, Fact]])
    rejects: list[Reject] = field(default_factory=list[Reject])
    attributes: set[Key] = field(default_factory=set[Key])
    """The attributes set. Order matters for them, so no two in one request, nor in two at once."""
    last: Line | None = None
    size: int = 0

    def add(self, line: Line, fact: Fact) -> None:
        """Take a fact in."""
        self.facts.append((line, fact))
        self.size += fact.ByteSize()
        key = _key(fact)
        if key:
            self.attributes.add(key)

    def takes(self, fact: Fact, facts_max: int) -> bool:
        """Whether there is room for it and no earlier value of the same attribute."""
        room = len(self.facts) < facts_max and self.size < BYTES_MAX
        return room and _key(fact) not in self.attributes


def gather(lines: Iterable[Line], facts_max: int) -> Generator[Batch]:
    """Batches in the order of the lines; each ends where the next begins."""
    batch = Batch()
    for line in lines:
        fact = parse_line(line)
        if isinstance(fact, Reject):
            batch.rejects.append(fact)
        elif fact is not None:
            if not batch.takes(fact, facts_max):
                yield batch
                batch = Batch()
            batch.add(line, fact)
        batch.last = line
    if batch.last:
        yield batch


def _key(fact: Fact) -> Key | None:
    if isinstance(fact, base_pb2.Attribute):
        return fact.entity.type, fact.entity.id, fact.attribute
    return None
