"""The change log read from the transactions table."""
