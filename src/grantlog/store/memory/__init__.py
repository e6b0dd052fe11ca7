"""The store ports in memory: for tests and for trying things out."""
