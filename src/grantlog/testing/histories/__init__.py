"""Histories of concurrent calls, and whether they kept what design §5 promises.

`record` is what clients note, `truth` is what the log says, `check` compares. Revisions are dense
and every answer names its own, so nothing is searched: each answer has one right value.
"""

from grantlog.testing.histories.check import violations
from grantlog.testing.histories.promises import Promise, Violation
from grantlog.testing.histories.record import (
    Act,
    Answered,
    Asked,
    Attributes,
    Checks,
    Entities,
    Fact,
    Filter,
    History,
    Refused,
    Told,
    Tuples,
    Watched,
    Why,
    Write,
)
from grantlog.testing.histories.truth import Truth

__all__ = [
    "Act",
    "Answered",
    "Asked",
    "Attributes",
    "Checks",
    "Entities",
    "Fact",
    "Filter",
    "History",
    "Promise",
    "Refused",
    "Told",
    "Truth",
    "Tuples",
    "Violation",
    "Watched",
    "Why",
    "Write",
    "violations",
]
