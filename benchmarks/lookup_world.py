"""The worlds that lookups are measured in.

The world of a size has that many documents, a hundred to a folder. The user `asking` is in groups
of groups that view a tenth of the folders, `some` sees one folder of 30, `most` one of 3; `reader`
views one folder with its hundred documents. A tenth as many users as documents are in a hundred
groups that view the folder of `doc:crowded`; a hundred are in the one that views the folder of
`doc:quiet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

PER_FOLDER: Final = 100
FEW: Final = 100
ONE_OF: Final = MappingProxyType({"some": 30, "most": 3})
"""Users, and of how many folders each sees one."""
_GROUPS: Final = 10
_CROWDS: Final = 100

SCHEMA: Final = """
entity user {}
entity group { relation member @user @group#member }
entity folder {
  relation parent @folder
  relation viewer @group#member
  permission view = viewer or parent.view
}
entity doc {
  relation parent @folder
  relation banned @user
  attribute level integer
  permission view = parent.view
  permission edit = view not banned
  permission read = view and is_low(level)
  permission open = is_low(level)
}
rule is_low(level integer) { level < 3 }
"""


def seen_by(user: str, size: int) -> int:
    """So many documents of a world does `some` or `most` see."""
    return size // PER_FOLDER // ONE_OF[user] * PER_FOLDER


def world(size: int) -> Iterator[dict[str, Any]]:
    """Its tuples, as REST writes them."""
    folders = size // PER_FOLDER
    for number in range(size):
        yield _fact(f"doc:{number:08}", "parent", f"folder:{number % folders}")
    for number in range(folders // 10):
        yield _fact(f"folder:{10 * number}", "viewer", f"group:{number % _GROUPS}#member")
    for number in range(_GROUPS):
        yield _fact(f"group:{number}", "member", f"group:root{number % 2}#member")
    for number in range(2):
        yield _fact(f"group:root{number}", "member", "user:asking")
    yield _fact("doc:crowded", "parent", "folder:crowded")
    for number in range(_CROWDS):
        yield _fact("folder:crowded", "viewer", f"group:crowd{number}#member")
    for number in range(size // 10):
        yield _fact(f"group:crowd{number % _CROWDS}", "member", f"user:{number:08}")
    for user, one_of in ONE_OF.items():
        for number in range(folders // one_of):
            yield _fact(f"folder:{one_of * number}", "viewer", f"group:{user}#member")
        yield _fact(f"group:{user}", "member", f"user:{user}")
    yield _fact("folder:1", "viewer", "group:few#member")
    yield _fact("group:few", "member", "user:reader")
    yield _fact("doc:quiet", "parent", "folder:quiet")
    yield _fact("folder:quiet", "viewer", "group:quiet#member")
    for number in range(FEW):
        yield _fact("group:quiet", "member", f"user:{number:08}")


def _fact(entity: str, relation: str, subject: str) -> dict[str, Any]:
    type_, _, id_ = entity.partition(":")
    kind, _, rest = subject.partition(":")
    subject_id, _, userset = rest.partition("#")
    return {
        "entity": {"type": type_, "id": id_},
        "relation": relation,
        "subject": {"type": kind, "id": subject_id, "relation": userset},
    }
