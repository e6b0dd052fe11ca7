"""Random questions, spread evenly over what can decide them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from posixfs.accounts import User
from posixfs.facts import SUPERUSER_UID
from posixfs.kernel import ACCESS_MODES, Access
from posixfs.walk import Entry

STRATA: Final = ("owner", "group", "other", "root", "blocked")
_TRIES_PER_QUESTION: Final = 200

Draw: TypeAlias = Callable[[], "tuple[User, Entry] | None"]


class Question(NamedTuple):
    """May the user do this?"""

    user: User
    entry: Entry
    operation: str
    stratum: str

    @property
    def access(self) -> Access:
        """The question as the kernel takes it."""
        return Access(self.entry.path, self.operation)


class Sampler:
    """Draws users and entries.

    A stratum is what settles a question first: root, a directory above that the user may not
    search ("blocked"), else the class whose bits count. It only steers the drawing; the answers
    come from the kernel and from the server.
    """

    def __init__(self, users: Mapping[int, User], entries: Sequence[Entry], seed: int) -> None:
        self._rng = random.Random(seed)
        self._entries = entries
        self._by_path = {entry.path: entry for entry in entries}
        self._users = dict(users)
        self._members: dict[int, list[User]] = {}
        self._add_strangers()
        self._everyone = [user for user in self._users.values() if user.uid != SUPERUSER_UID]
        for user in self._everyone:
            for gid in user.groups:
                self._members.setdefault(gid, []).append(user)
        self._searchable: dict[tuple[int, bytes], bool] = {}

    def _add_strangers(self) -> None:
        """Give owners without an account a group of their own that owns nothing."""
        taken = {entry.gid for entry in self._entries}.union(
            *(u.groups for u in self._users.values())
        )
        gid = next(number for number in range(60_000, 65_536) if number not in taken)
        for uid in sorted({entry.uid for entry in self._entries} - set(self._users)):
            self._users[uid] = User(uid, gid, frozenset({gid}))

    def questions(self, count: int) -> list[Question]:
        """`count` questions, as even over STRATA as the tree allows, in random order.

        What a stratum cannot give, the others give; fewer come only if there is nothing to ask.
        """
        drawn: list[Question] = []
        barren: set[str] = set()
        while len(drawn) < count and len(barren) < len(STRATA):
            fertile = [stratum for stratum in STRATA if stratum not in barren]
            share = -(-(count - len(drawn)) // len(fertile))
            for stratum in fertile:
                wanted = min(share, count - len(drawn))
                found = self._draw(stratum, wanted)
                drawn += found
                if len(found) < wanted:
                    barren.add(stratum)
        self._rng.shuffle(drawn)
        return drawn

    def _draw(self, stratum: str, wanted: int) -> list[Question]:
        draw = self._draws()[stratum]
        found: list[Question] = []
        for _ in range(wanted * _TRIES_PER_QUESTION):
            if len(found) == wanted:
                break
            pair = draw()
            if pair is not None and self.stratum(*pair) == stratum:
                found.append(Question(*pair, self._rng.choice(list(ACCESS_MODES)), stratum))
        return found

    def _draws(self) -> dict[str, Draw]:
        return {
            "owner": self._draw_owner,
            "group": self._draw_member,
            "other": self._draw_anyone,
            "root": self._draw_root,
            "blocked": self._draw_anyone,
        }

    def _draw_owner(self) -> tuple[User, Entry] | None:
        entry = self._rng.choice(self._entries)
        return (self._users[entry.uid], entry)

    def _draw_member(self) -> tuple[User, Entry] | None:
        entry = self._rng.choice(self._entries)
        members = self._members.get(entry.gid)
        return (self._rng.choice(members), entry) if members else None

    def _draw_anyone(self) -> tuple[User, Entry] | None:
        if not self._everyone:
            return None
        return (self._rng.choice(self._everyone), self._rng.choice(self._entries))

    def _draw_root(self) -> tuple[User, Entry] | None:
        root = self._users.get(SUPERUSER_UID)
        return (root, self._rng.choice(self._entries)) if root else None

    def stratum(self, user: User, entry: Entry) -> str:
        """What settles a question of this user about this entry first."""
        if user.uid == SUPERUSER_UID:
            return "root"
        if entry.parent is not None and not self._may_climb(user, entry.parent):
            return "blocked"
        return _class_of(user, entry)

    def _may_climb(self, user: User, path: bytes) -> bool:
        """Whether the user may search a directory and all above it."""
        key = (user.uid, path)
        known = self._searchable.get(key)
        if known is None:
            directory = self._by_path[path]
            shift = {"owner": 6, "group": 3, "other": 0}[_class_of(user, directory)]
            above = directory.parent
            known = bool(directory.mode >> shift & 1) and (
                above is None or self._may_climb(user, above)
            )
            self._searchable[key] = known
        return known


def _class_of(user: User, entry: Entry) -> str:
    if user.uid == entry.uid:
        return "owner"
    return "group" if entry.gid in user.groups else "other"
