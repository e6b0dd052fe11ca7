"""Whether what came is what a page shows. What differs from run to run counts by its presence."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.pages.blocks import Block, Step

RUN_DEPENDENT = frozenset(
    {"snap_token", "continuous_token", "schema_version", "version", "head", "created_at"}
)
_EMPTY: tuple[Any, ...] = ("", 0, None)
_SHOWN_VALUES = re.compile(
    r"(?P<stamp>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| \+0000 UTC)?)"
    r"|(?P<took>in \d+\.\d s \([\d,]+/s\))"
    r"|(?P<age>(?<=-age-ms: )\d+)"
    r"|(?P<token>\bA[A-Za-z0-9_-]{31}\b)"
    r"|(?P<version>\b00[0-9a-v]{18}\b)"
)
_COMMENT = {"python": "#", "python-grpc": "#", "node": "//"}


def difference(step: Step, said: str) -> str:
    """What is not as the page shows it, "" if all is."""
    comment = _COMMENT.get(step.block.track or "")
    if comment:
        return _unequal(_commented(step.block, comment), said.splitlines())
    answer = step.answer
    if answer is None:
        return _unequal("", said.strip())
    if answer.language == "text":
        return _unequal(_normalised(answer.text), _normalised(said))
    want, got = _documents(answer.text), _documents(said)
    if step.shared:
        want, got = _without_empty(_unwrapped(want)), _without_empty(got)
    partly = "part" in answer.info
    if len(want) == len(got) and all(map(lambda w, g: _fits(w, g, partly), want, got)):
        return ""
    return _shown_and_come(want, got)


def _commented(block: Block, comment: str) -> list[str]:
    """What a program's lines that print say that they print: behind two blanks and the comment."""
    lines = [
        line for line in block.text.splitlines() if re.search(r"\b(print|console\.log)\(", line)
    ]
    return [line.partition(f"  {comment} ")[2] for line in lines]


def _documents(text: str) -> list[Any]:
    """Every JSON document of a text; what is none is left as text."""
    found, decoder = [], json.JSONDecoder()
    text = text.strip()
    while text:
        try:
            document, end = decoder.raw_decode(text)
        except ValueError:
            return [*found, text]
        found.append(document)
        text = text[end:].lstrip()
    return found


def _fits(want: Any, got: Any, partly: bool) -> bool:
    """Whether a value is the one shown; `partly`, objects may have more members than shown."""
    if isinstance(want, dict) and isinstance(got, dict):
        if not (want.keys() <= got.keys() if partly else want.keys() == got.keys()):
            return False
        return all(
            bool(want[key]) == bool(got[key])
            if key in RUN_DEPENDENT and isinstance(got[key], str)
            else _fits(want[key], got[key], partly)
            for key in want
        )
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(lambda w, g: _fits(w, g, partly), want, got))
    return type(want) is type(got) and want == got


def _unwrapped(documents: list[Any]) -> list[Any]:
    return [d["result"] if isinstance(d, dict) and d.keys() == {"result"} else d for d in documents]


def _without_empty(value: Any) -> Any:
    """A value without members that grpcurl leaves out, since they are what an unset field is."""
    if isinstance(value, dict):
        kept = {key: _without_empty(member) for key, member in value.items()}
        return {key: member for key, member in kept.items() if not _is_empty(member)}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value


def _is_empty(value: Any) -> bool:
    return value in _EMPTY or value in ([], False) or str(value).endswith("_UNSPECIFIED")


def _normalised(text: str) -> str:
    shown = _SHOWN_VALUES.sub(lambda match: f"<{match.lastgroup}>", text)
    return "\n".join(line.rstrip() for line in shown.strip().splitlines())


def _unequal(want: Any, got: Any) -> str:
    return "" if want == got else _shown_and_come(want, got)


def _shown_and_come(want: Any, got: Any) -> str:
    return f"shown:\n{_laid_out(want)}\ncame:\n{_laid_out(got)}"


def _laid_out(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1)
