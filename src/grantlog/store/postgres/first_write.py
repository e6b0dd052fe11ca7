"""The lock under which a tenant's head row is created."""

from typing import Final

FIRST_WRITE_LOCK: Final = 0x67726677
"""Class of the advisory locks ("grfw"); the second half of their key is a hash of the tenant."""
