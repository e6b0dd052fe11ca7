"""Grantlog: an event-sourced authorization service that speaks Permify's API."""
