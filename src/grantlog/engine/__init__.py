"""Evaluation of questions (check) over facts that the caller fetches. No I/O of its own."""
