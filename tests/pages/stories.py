"""Which pages are run together, in which order, and which blocks are run by nobody, and why."""

from __future__ import annotations

from tests.pages.blocks import Block, Step, blocks_of, steps_of

GUIDE = tuple(
    f"docs/api/{name}.md"
    for name in (
        "README", "tenancy", "schema", "data", "relationships", "permission", "lookup",
        "bundle", "watch", "health", "shared",
    )
)  # fmt: skip

STORIES: dict[str, tuple[str, ...]] = {
    "guide": GUIDE,
    "README.md": ("README.md",),
    "docs/bundles.md": ("docs/bundles.md",),
    "docs/coming-from-permify.md": ("docs/coming-from-permify.md",),
    "docs/freshness.md": ("docs/freshness.md",),
    "docs/schema-language.md": ("docs/schema-language.md",),
    "docs/watch.md": ("docs/watch.md",),
}
"""Each begins on tenants that hold nothing, once for each of its tracks, as its reader would."""

TOGETHER = "curl and grpcurl"
MIXED = frozenset({"docs/freshness.md"})
"""Pages whose lines for grpcurl go on from those for curl."""

SESSIONS: dict[str, frozenset[str]] = {
    TOGETHER: frozenset({"curl", "shell", "grpcurl"}),
    "curl": frozenset({"curl", "shell"}),
    "grpcurl": frozenset({"grpcurl"}),
    "python": frozenset({"python"}),
    "python-grpc": frozenset({"python-grpc"}),
    "node": frozenset({"node"}),
}
"""What one session runs of a story. Lines for the command line stand among those for curl."""


def steps(story: str, session: str) -> list[Step]:
    """What a session runs of a story, from top to bottom."""
    return [step for page in STORIES[story] for step in steps_of(page, SESSIONS[session])]


def sessions() -> list[tuple[str, str]]:
    """Every story with every session that has something to run in it."""
    return [
        (story, name)
        for story in STORIES
        for name in SESSIONS
        if (story in MIXED) == (name == TOGETHER) and steps(story, name)
    ]


def covered() -> set[Block]:
    """Every block that a story runs or compares."""
    ran = [step for story, session in sessions() for step in steps(story, session)]
    return {step.block for step in ran} | {step.answer for step in ran if step.answer}


def all_blocks(pages: list[str]) -> list[Block]:
    """Every block of these pages."""
    return [block for page in pages for block in blocks_of(page)]
