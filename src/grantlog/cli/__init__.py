"""The grantlog command."""
