"""What is measured: each case is a row of the table, in a world, with caches in a certain state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

HOT_DOCS: Final = 4_000
"""Questions with warm caches are about so many documents, however many more the world has."""
RESULT_WARM: Final = 10_000
"""So many questions are asked round and round where their answers are known."""
_RATE_MAX: Final = 25_000
_BULK_RATE_MAX: Final = 80_000
"""More distinct questions a second than these are not asked."""

NO_CACHES: Final = MappingProxyType(
    {"GRANTLOG_RESULT_CACHE_MB": "0", "GRANTLOG_RELATION_CACHE_MB": "0"}
)


@dataclass(frozen=True)
class Case:
    """A kind of load."""

    what: str
    """Kind of calls and what they ask."""
    warmth: str
    """cold: no caches; relation: facts known, no question asked before; result: all asked before;
    "" where it makes no difference."""
    kind: str
    """Of drive.Plan."""
    question: str = "mixed"
    protocol: str = "grpc"
    shape: str = "regular"
    in_flight: int = 64
    connections: int = 8
    sized: str = "all"
    """In which of the regular worlds: all, small (the first), large (the last)."""

    @property
    def name(self) -> str:
        """As the table shows it."""
        warmth = f", {self.warmth}-warm" if self.warmth in ("relation", "result") else ""
        cold = ", cold" if self.warmth == "cold" else ""
        return f"{self.protocol} {self.what}{warmth}{cold}"

    @property
    def docs(self) -> int:
        """So many documents are asked for; 0: all."""
        return HOT_DOCS if self.warmth in ("relation", "result") else 0

    def distinct(self, seconds: float) -> int:
        """So many questions are prepared for a run of that length."""
        if self.warmth == "result":
            return RESULT_WARM
        return int((_BULK_RATE_MAX if self.kind == "bulkcheck" else _RATE_MAX) * seconds)


def _checks() -> Iterator[Case]:
    for warmth in ("relation", "cold"):
        for question in ("direct", "3-level", "6-level", "denied", "attribute", "rule"):
            yield Case(f"check {question}", warmth, "check", question)
        for shape in ("wide", "huge"):
            yield Case(f"check {shape}", warmth, "check", shape, shape=shape)
    for protocol, connections in (("grpc", 8), ("rest", 64)):
        yield Case("check 3-level", "result", "check", "3-level", protocol, connections=connections)


CASES: Final = (
    *_checks(),
    Case("check 3-level", "relation", "check", "3-level", "rest", connections=64, sized="small"),
    Case("99% check 1% write", "result", "blend", "mixed"),
    Case("bulk check of 100", "relation", "bulkcheck", in_flight=8, sized="small"),
    Case("write of 1", "", "write", in_flight=64, connections=64, sized="small"),
    Case("write of 1", "", "write", "", "rest", in_flight=64, connections=64, sized="small"),
    Case("write of 1,000", "", "bulk", in_flight=4, connections=4, sized="small"),
)


@dataclass(frozen=True)
class Chosen:
    """Words that say which rows to measure: those whose name has all words of one of them."""

    groups: tuple[tuple[str, ...], ...]
    """None: everything."""

    def takes(self, name: str) -> bool:
        """Whether a row is to be measured; every word must be in its name, in whatever order."""
        return not self.groups or any(
            all(_is_in(word, name) for word in group) for group in self.groups
        )


def _is_in(word: str, name: str) -> bool:
    """A number is a whole word, with commas or without; anything else a part of the name."""
    word, name = word.lower(), name.lower()
    number = word.replace(",", "")
    if number.isdigit():
        return number in name.replace(",", "").split()
    return word in name


def chosen(texts: Iterable[str]) -> Chosen:
    """What `--only` says: words between spaces, each a part of the row's name."""
    return Chosen(tuple(tuple(text.split()) for text in texts))


def mistakes(texts: Iterable[str], names: Sequence[str]) -> Iterator[str]:
    """What is wrong with each `--only` that takes none of the rows with these names."""
    known = sorted({part.rstrip(",") for name in names for part in name.split()})
    for text in texts:
        if any(chosen([text]).takes(name) for name in names):
            continue
        strange = [word for word in text.split() if not any(_is_in(word, name) for name in names)]
        near = get_close_matches(strange[0].lower(), known, n=1) if strange else []
        because = f"none has {strange[0]!r}" if strange else "some have each of them, none all"
        meant = f"; did you mean {near[0]!r}?" if near else ""
        yield f"--only {text!r}: no row of this run has these words: {because}{meant}"
