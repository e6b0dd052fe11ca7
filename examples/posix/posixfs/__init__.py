"""A file tree as Grantlog facts, and the kernel as the judge of them. Standard library only."""
