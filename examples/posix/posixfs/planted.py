"""Wrong models, to show that the verifier catches them."""

from __future__ import annotations

from typing import Final

MISTAKES: Final = {
    "no-ancestors": ((" and parent.search", ""),),
    "no-classes": (
        ("(group.member not owner)", "group.member"),
        ("((other_read(mode) not owner) not group.member)", "other_read(mode)"),
        ("((other_write(mode) not owner) not group.member)", "other_write(mode)"),
        ("((other_execute(mode) not owner) not group.member)", "other_execute(mode)"),
    ),
}
"""By name: the pieces of the right schema that the mistake replaces.

no-ancestors forgets that the directories above must be searchable; no-classes takes the owner's,
the group's and the others' bits together instead of the first class that fits.
"""


def plant(schema: str, mistake: str) -> str:
    """The schema with the mistake in it."""
    for right, wrong in MISTAKES[mistake]:
        if right not in schema:
            raise ValueError(f"the schema has no {right!r} to plant {mistake} in")
        schema = schema.replace(right, wrong)
    return schema
