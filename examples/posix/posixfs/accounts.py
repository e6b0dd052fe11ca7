"""Who belongs to which groups, by number, from passwd(5) and group(5) files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_PASSWD_FIELDS_MIN: Final = 4
_GROUP_FIELDS: Final = 4


class User(NamedTuple):
    """A user as the kernel knows one: numbers only."""

    uid: int
    gid: int
    """The primary group."""
    groups: frozenset[int]
    """All groups, the primary one included."""


def read_accounts(passwd: Path, group: Path) -> dict[int, User]:
    """Users by uid.

    Two names with one number are one user to the kernel's files: that user has the groups of both
    and the primary group of the first. Lines that are not accounts (NIS markers, blanks) are
    passed over.
    """
    primary, members = _read_passwd(passwd), _read_groups(group)
    users: dict[int, User] = {}
    for name, uid, gid in primary:
        known = users.get(uid)
        groups = frozenset({gid}) | members.get(name, frozenset())
        users[uid] = User(
            uid, known.gid if known else gid, groups | (known.groups if known else groups)
        )
    return users


def _read_passwd(path: Path) -> list[tuple[str, int, int]]:
    return [
        (fields[0], int(fields[2]), int(fields[3]))
        for fields in _records(path)
        if len(fields) >= _PASSWD_FIELDS_MIN and fields[2].isdigit() and fields[3].isdigit()
    ]


def _read_groups(path: Path) -> Mapping[str, frozenset[int]]:
    groups: dict[str, frozenset[int]] = {}
    for fields in _records(path):
        if len(fields) >= _GROUP_FIELDS and fields[2].isdigit():
            for name in filter(None, fields[3].split(",")):
                groups[name] = groups.get(name, frozenset()) | {int(fields[2])}
    return groups


def _records(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        yield line.split(":")
