"""Protocols between the domain and the adapters. No I/O."""
