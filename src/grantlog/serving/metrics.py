"""Numbers of a process as Prometheus reads them: its text format, version 0.0.4, and no more.

Whoever has numbers keeps them in its own attributes and makes families of them when it is asked:
nothing is counted twice, and a call pays for its count alone. Names and labels are ours
(`grantlog_…`); no label holds an id of a tenant, an entity or a subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often a number was how large; it only grows.

    Attributes:
        bounds: upper ends of buckets, ascending, each in its bucket.
        counts: of each bucket, and of what is above all of them.
        total: of all numbers.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


@dataclass(frozen=True, slots=True)
class Family:
    """Numbers of one meaning.

    Attributes:
        name: with its unit at the end, and `_total` if it only grows.
        kind: a counter begins at 0 with the process and only grows; a histogram is of
            distributions, the others of numbers.
        text: what it is, in one line.
        samples: labels, and the number.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    samples: Sequence[tuple[Mapping[str, str], float | Distribution]]


def labelled(families: Iterable[Family], labels: Mapping[str, str]) -> Sequence[Family]:
    """The families with labels that say whose numbers they are."""
    return [
        replace(family, samples=[({**labels, **of}, number) for of, number in family.samples])
        for family in families
    ]


def exposition(families: Iterable[Family]) -> str:
    """The families in Prometheus's text format; those without samples are left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.text}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for of, number in family.samples:
            if isinstance(number, Distribution):
                lines += _distribution(family.name, of, number)
            else:
                lines.append(f"{family.name}{_labels(of)} {number}")
    return "\n".join(lines) + "\n" if lines else ""


def _distribution(name: str, labels: Mapping[str, str], numbers: Distribution) -> Iterable[str]:
    """Each bucket counts those below it too, as the format has it."""
    below = 0
    ends = [*map(str, numbers.bounds), "+Inf"]
    for end, count in zip(ends, numbers.counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels({**labels, 'le': end})} {below}"
    yield f"{name}_sum{_labels(labels)} {numbers.total}"
    yield f"{name}_count{_labels(labels)} {below}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
