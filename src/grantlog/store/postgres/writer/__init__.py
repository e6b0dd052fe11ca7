"""Commits transactions in the primary: queues, groups, the log's next place, lost COMMITs."""

from grantlog.store.postgres.writer.limits import WriterLimits
from grantlog.store.postgres.writer.writer import PostgresWriter, open_writer

__all__ = ["PostgresWriter", "WriterLimits", "open_writer"]
