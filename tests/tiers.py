"""The tiers of the tests: their order, and at the end which of them ran."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

FAULTS = "faults"
"""Takes minutes by itself, so it runs only where it is named: `make test-faults`."""
TIERS = (
    "unit", "property", "contract", "integration", "advisories", "conformance", "e2e", FAULTS,
)  # fmt: skip
KAFKA = "on Kafka"
"""Not a folder: tests of any tier that need a broker."""

_KAFKA_FIXTURES = {"kafka", "own_broker", "secured"}
_on_kafka: set[str] = set()
_TESTS = Path(__file__).parent
_OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")


def tier_of(path: Path) -> str:
    """The first folder below tests/, "" for a path outside."""
    return path.relative_to(_TESTS).parts[0] if _TESTS in path.parents else ""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the faults tier alone unless it was named."""
    named = any(FAULTS in Path(argument.split("::")[0]).parts for argument in config.args)
    return True if tier_of(collection_path) == FAULTS and not named else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick tiers first."""
    _on_kafka.update(
        item.nodeid for item in items if _KAFKA_FIXTURES & set(getattr(item, "fixturenames", ()))
    )
    order = {tier: place for place, tier in enumerate(TIERS)}
    items.sort(key=lambda item: order.get(tier_of(item.path), len(TIERS)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say of each tier what ran; one that did not is said to be so."""
    counted: dict[str, Counter[str]] = {tier: Counter() for tier in (*TIERS, KAFKA)}
    for outcome in _OUTCOMES:
        for report in terminalreporter.getreports(outcome):
            nodeid = str(getattr(report, "nodeid", ""))
            tier = tier_of(_TESTS.parent / nodeid.split("::", maxsplit=1)[0])
            if tier in counted:
                counted[tier][outcome] += 1
            if nodeid in _on_kafka:
                counted[KAFKA][outcome] += 1
    terminalreporter.section("tiers")
    for tier, counts in counted.items():
        hint = " (make test-faults)" if tier == FAULTS and not counts else ""
        terminalreporter.line(f"{tier:<12} {_said(counts)}{hint}")


def _said(counts: Counter[str]) -> str:
    ran = sum(count for outcome, count in counts.items() if outcome != "skipped")
    if not ran:
        return f"not run ({counts['skipped']} skipped)" if counts["skipped"] else "not run"
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES if counts[outcome])
