"""Two caches that the log keeps right: results of checks, and facts of relations. Pure, no I/O."""
