"""Adapters of the change log port."""
