"""The change log read from the primary's transactions table: durable, nothing to install."""
