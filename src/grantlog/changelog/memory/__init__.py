"""The change log of one process, in memory."""
