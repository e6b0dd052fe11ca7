"""Several nodes: who owns what, and how one asks another. ADR 0030.

Ownership shares fetching and nothing else: whether an answer is right never depends on it.
"""
