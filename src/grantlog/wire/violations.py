"""What a violated rule means: the field as the caller wrote it, and what it may hold.

The wire contract's own texts name messages and regular expressions; clients compare them, so they
stay, and this is told beside them.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_STEP: Final = re.compile(r"invalid \w+\.(\w+)((?:\[[^\]]*\])?): ")
_BELOW: Final = "embedded message failed validation | caused by: "
_WORD: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_MEANT: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (
        re.compile(r"\[a-zA-Z0-9_\\\\-@\\\\\.:\+\]\{1,128\}"),
        "must be 1 to 128 of the characters a-z A-Z 0-9 _ - @ . : + (or a single *)",
    ),
    (
        re.compile(r"\[a-zA-Z_\]\{1,64\}"),
        "must not be empty, and of the characters a-z A-Z _ alone",
    ),
    (re.compile(r"value is required"), "is required"),
    (re.compile(r"value must be greater than or equal to (.+)"), r"must be at least \1"),
    (re.compile(r"value length must be at most (.+)"), r"must have at most \1"),
)


class Violation(NamedTuple):
    """A field that breaks a rule.

    Attributes:
        field: its place in the request as JSON names it, `tuples[0].subject.id`; "" if unknown.
        words: what it is to be.
    """

    field: str
    words: str


def explain_violation(text: str) -> Violation:
    """What a text of `validate` says, in the caller's words; another text as it is."""
    steps: list[str] = []
    rest = text
    while step := _STEP.match(rest):
        steps.append(_WORD.sub("_", step[1]).lower() + step[2])
        rest = rest[step.end() :].removeprefix(_BELOW)
    field = ".".join(steps)
    if not field:
        return Violation("", text)
    for pattern, meant in _MEANT:
        if found := pattern.search(rest):
            return Violation(field, f"{field} {found.expand(meant)}")
    return Violation(field, f"{field}: {rest}")
