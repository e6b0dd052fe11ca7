"""What the faults tier says at its end."""

from __future__ import annotations

import pytest

from tests.faults import tally


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if tally.FAULTS:
        terminalreporter.section("faults")
        for line in tally.lines():
            terminalreporter.line(line)
