"""Use cases: what each call does, over ports and engine only."""
