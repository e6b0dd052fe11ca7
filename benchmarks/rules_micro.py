"""How long the slowest rules take with as much input as each may be given.

    python benchmarks/rules_micro.py

A rule runs on the event loop, and nobody else is answered meanwhile: no row may take 50 ms. The
constants of `grantlog.schema.cel_cost` are judged by this table.
"""

from __future__ import annotations

import sys
import time

from grantlog.engine.rules import RuleProgram, context_data
from grantlog.errors import GrantlogError
from grantlog.schema.compiled import RuleDef
from grantlog.testing.slow_rules import slow_rules

BAR_MS = 50.0
RUNS = 3


def main() -> int:
    """Exit status: 1 if a rule took longer than the bar."""
    print(f"{'rule':<30} {'given':>7} {'ms':>8}  outcome")
    worst = 0.0
    for rule in slow_rules():
        program = RuleProgram(RuleDef("slow", {}, rule.body, b""))
        data = context_data(rule.data(program.input_max))
        spent = []
        for _ in range(RUNS):
            begun = time.thread_time()
            outcome = program.run({}, data)
            spent.append((time.thread_time() - begun) * 1e3)
        word = type(outcome).__name__ if isinstance(outcome, GrantlogError) else outcome
        print(f"{rule.name:<30} {data.weight:>7,} {min(spent):>8.2f}  {word}")
        worst = max(worst, min(spent))
    print(f"- the slowest took {worst:.1f} ms, bar {BAR_MS:.0f} ms")
    return 1 if worst > BAR_MS else 0


if __name__ == "__main__":
    sys.exit(main())
