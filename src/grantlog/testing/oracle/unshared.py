"""The verdict by plain recursion: every chain spends its own budget and nothing is shared.

This is how Permify counts depth. It knows no cycles: they run out of depth. Whatever it decides,
sharing must decide alike; where it runs out of depth, sharing may know more.
"""

from __future__ import annotations

from grantlog.testing.oracle.judge import Key, Question, Verdict, World, parts_of, value_of
from grantlog.testing.oracle.language import Language


def judge_unshared(language: Language, question: Question) -> Verdict:
    """The verdict on a question that names something known."""
    world = World(language, question)
    known: dict[tuple[Key, int], Verdict] = {}
    return _verdict(world, world.root, question.depth, known)


def _verdict(world: World, key: Key, budget: int, known: dict[tuple[Key, int], Verdict]) -> Verdict:
    if budget < 0:
        return "depth"
    if (key, budget) not in known:
        tree = world.tree(key)
        parts = {
            part: _verdict(world, part, budget - (0 if "." in part[2] else 1), known)
            for part in parts_of(tree)
        }
        verdict = value_of(tree, parts)
        if verdict is None:
            raise ValueError("every part of it was decided")
        known[key, budget] = verdict
    return known[key, budget]
