"""The code blocks of the pages: where each stands, what it is, which answer is shown for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"(`{3,})(.*)")
_LIST_ITEM = re.compile(r"\s*([-*+]|\d+[.)])\s")
_ANSWERS = ("json", "text")
_LANGUAGES = {"sh", "python", "js"}


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: fenced, or indented by four blanks (its `info` is then "indented")."""

    page: str
    line: int
    section: int
    """How many headings stand before it in its page."""
    info: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def language(self) -> str:
        return self.info[0] if self.info else ""

    @property
    def track(self) -> str | None:
        """Who runs it: curl, grpcurl, python, python-grpc, node, shell; None if nobody does."""
        match self.info:
            case ("sh", *_):
                return next(
                    (c for c in ("grpcurl", "curl") if re.search(rf"\b{c} ", self.text)), "shell"
                )
            case ("python", "grpc", *_):
                return "python-grpc"
            case ("python", *_):
                return "python"
            case ("js", *_):
                return "node"
        return None


@dataclass(frozen=True, slots=True)
class Step:
    """A block to run and what it must say; None where nothing is shown, so nothing may come."""

    block: Block
    answer: Block | None
    shared: bool
    """The answer is another command's to the same request: curl's, for a grpcurl block."""


def blocks_of(page: str) -> list[Block]:
    """Every code block of a page, a path below the root, in order."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8").split("\n")))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    section, number, last = 0, 0, ""
    while number < len(lines):
        line, begin = lines[number], number + 1
        number += 1
        fence = _FENCE.fullmatch(line)
        if fence:
            end = next(n for n in range(number, len(lines)) if lines[n] == fence[1])
            text = "\n".join(lines[number:end]) + "\n"
            yield Block(page, begin, section, tuple(fence[2].split()), text)
            number = end + 1
        elif line.startswith("    ") and not lines[begin - 2] and not _LIST_ITEM.match(last):
            end = begin
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
                end += 1
            text = "\n".join(row[4:] for row in lines[begin - 1 : end]).rstrip("\n") + "\n"
            yield Block(page, begin, section, ("indented",), text)
            number = end
        else:
            section += line.startswith("#")
            last = line if line and not line.startswith(" ") else last


def steps_of(page: str, tracks: set[str]) -> list[Step]:
    """What these tracks run of a page, with the answers that the page shows."""
    blocks = blocks_of(page)
    steps = []
    for block, following in pairwise([*blocks, None]):
        assert block is not None
        if block.track not in tracks:
            continue
        if following and following.language in _ANSWERS and following.section == block.section:
            steps.append(Step(block, following, shared=False))
        else:
            steps.append(Step(block, _of_section(block, blocks), shared=True))
    return steps


def _of_section(block: Block, blocks: list[Block]) -> Block | None:
    """A grpcurl block that shows no answer of its own gets the one of its section."""
    if block.track != "grpcurl":
        return None
    return next((b for b in blocks if b.section == block.section and b.language == "json"), None)
