"""The change log in memory."""
