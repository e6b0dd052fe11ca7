"""What processes need: supervision, settings, logging, health, embedded Postgres."""
