"""The store ports on Postgres."""
