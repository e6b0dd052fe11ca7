"""A consistent store in memory behind every port: for tests, examples and throw-away servers."""
