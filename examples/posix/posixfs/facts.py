"""Entries and users as relation tuples and attributes, in the text forms of `data import`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from posixfs.accounts import User
from posixfs.ids import path_id
from posixfs.walk import Entry

FILESYSTEM: Final = "filesystem:host"
SUPERUSER_UID: Final = 0


def entity(entry: Entry) -> tuple[str, str]:
    """The type and id of an entry."""
    return ("directory" if entry.is_directory else "file", path_id(entry.path))


def facts(users: Iterable[User], entries: Iterable[Entry]) -> Iterator[str]:
    """All facts: the host, memberships, then four tuples and the mode of every entry."""
    yield f"{FILESYSTEM}#superuser@user:{SUPERUSER_UID}"
    yield f"{FILESYSTEM}$mounted|boolean:true"
    for user in users:
        for gid in sorted(user.groups):
            yield f"group:{gid}#member@user:{user.uid}"
    for entry in entries:
        yield from _entry_facts(entry)


def _entry_facts(entry: Entry) -> Iterator[str]:
    name = ":".join(entity(entry))
    parent = entry.parent
    above = FILESYSTEM if parent is None else f"directory:{path_id(parent)}"
    yield f"{name}#filesystem@{FILESYSTEM}"
    yield f"{name}#parent@{above}"
    yield f"{name}#owner@user:{entry.uid}"
    yield f"{name}#group@group:{entry.gid}"
    yield f"{name}$mode|integer:{entry.mode}"
