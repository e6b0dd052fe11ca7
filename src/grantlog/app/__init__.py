"""Use cases: what each call does, over ports and the engine only. No transport, no SQL."""
