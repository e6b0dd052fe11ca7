"""A load generator that costs little: raw sockets, frames encoded ahead, every answer verified.

A client library would measure itself: Python's grpcio client fills a core at about 4,000 calls/s.
"""
