"""Oracle, strategies, contract suites and fakes; imported by tests only."""
