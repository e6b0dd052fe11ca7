"""Names of log keys and metrics, said once."""
