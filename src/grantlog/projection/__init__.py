"""The fold: transactions become row changes. Pure; primary and replicas share it."""
