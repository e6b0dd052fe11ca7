"""The change log read from the primary's transactions table: durable, nothing to install."""

from grantlog.changelog.postgres.log import PostgresChangeLog, open_change_log

__all__ = ["PostgresChangeLog", "open_change_log"]
