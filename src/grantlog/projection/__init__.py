"""The fold: a transaction becomes row changes. Pure."""
