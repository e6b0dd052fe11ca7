#!/usr/bin/env python3
"""Compare a running Grantlog with the kernel on random (user, path, operation) questions."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from posixfs.accounts import User, read_accounts
from posixfs.ending import end_with
from posixfs.facts import entity
from posixfs.kernel import KernelError, ask_kernel, why_not
from posixfs.mounts import refuses_execution
from posixfs.questions import STRATA, Question, Sampler
from posixfs.server import Server, ServerError
from posixfs.walk import Skipped, walk

_SHOWN_MAX: Final = 10


def main() -> int:
    """Exit status: 0 no difference, 1 differences, 2 not run."""
    options = _options()
    reason = why_not()
    if reason:
        print(f"verify: not run: {reason}", file=sys.stderr)
        return 2
    try:
        return _verify(options)
    except (OSError, KernelError, ServerError) as error:
        print(f"verify: not run: {error}", file=sys.stderr)
        return 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", help="the tree that was exported")
    parser.add_argument("--passwd", type=Path, default=Path("/etc/passwd"))
    parser.add_argument("--group", type=Path, default=Path("/etc/group"))
    parser.add_argument("--url", default="http://127.0.0.1:3476", help="REST address")
    parser.add_argument("--tenant", default="posix")
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _verify(options: argparse.Namespace) -> int:
    users = read_accounts(options.passwd, options.group)
    entries = list(walk(options.root, Skipped()))
    if not entries:
        print(f"verify: not run: nothing of {options.root} can be exported", file=sys.stderr)
        return 2
    asked = Sampler(users, entries, options.seed).questions(options.questions)
    truth = _kernel_answers(asked, noexec=refuses_execution(options.root))
    decided = [(q, t) for q, t in zip(asked, truth, strict=True) if isinstance(t, bool)]
    undecided = Counter(t for t in truth if isinstance(t, str))
    started = time.perf_counter()
    server = Server(options.url, options.tenant)
    answers = server.check_all([q for q, _ in decided], connections=options.connections)
    seconds = time.perf_counter() - started
    wrong = [
        (q, truly) for (q, truly), said in zip(decided, answers, strict=True) if said is not truly
    ]
    _report(decided, wrong, undecided)
    print(
        f"{len(wrong)} differences in {len(decided)} questions about {len(entries)} entries "
        f"(seed {options.seed}; {len(decided) / seconds:.0f} questions/s)"
    )
    return 1 if wrong or not decided else 0


def _kernel_answers(asked: Sequence[Question], *, noexec: bool) -> list[bool | str]:
    """Answers in the order of the questions, from one child process per user."""
    by_user: dict[User, list[int]] = {}
    for index, question in enumerate(asked):
        by_user.setdefault(question.user, []).append(index)
    answers: list[bool | str] = [False] * len(asked)
    for user, indexes in by_user.items():
        said = ask_kernel(user, [asked[index].access for index in indexes])
        for index, answer in zip(indexes, said, strict=True):
            question = asked[index]
            hidden = noexec and question.operation == "execute" and not question.entry.is_directory
            answers[index] = "noexec mount" if hidden else answer
    return answers


def _report(
    decided: Sequence[tuple[Question, bool]],
    wrong: Sequence[tuple[Question, bool]],
    undecided: Counter[str],
) -> None:
    print(f"{'stratum':<10}{'asked':>8}{'allowed':>9}{'denied':>8}{'differ':>8}")
    for stratum in STRATA:
        truths = [truly for q, truly in decided if q.stratum == stratum]
        differ = sum(q.stratum == stratum for q, _ in wrong)
        allowed = sum(truths)
        print(f"{stratum:<10}{len(truths):>8}{allowed:>9}{len(truths) - allowed:>8}{differ:>8}")
    for reason, count in sorted(undecided.items()):
        print(
            f"passed over: {count} questions where the kernel answers {reason}, not the mode bits"
        )
    for question, truly in wrong[:_SHOWN_MAX]:
        entry = question.entry
        print(
            f"DIFFERS: user {question.user.uid} {question.operation} {entry.path!r}: kernel says "
            f"{'allowed' if truly else 'denied'}, server the opposite "
            f"({':'.join(entity(entry))}, mode {entry.mode:04o}, {entry.uid}:{entry.gid})"
        )


if __name__ == "__main__":
    end_with(main)
