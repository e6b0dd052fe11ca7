"""Making a tree on which only a right model passes: random modes, owners, groups and odd names."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Final

_UIDS: Final = range(41_000, 41_012)
_GIDS: Final = range(42_000, 42_008)
_ACCOUNTLESS: Final = 2
"""So many of the last uids and gids appear in no account file."""
_DIRECTORY_SHARE: Final = 0.22
_SEARCHABLE_SHARE: Final = 0.82
_SPECIAL_BITS_SHARE: Final = 0.1
_DEPTH_MAX: Final = 9
_ODD_NAMES: Final = (
    b"with blank", b"new\nline", b"colon:plus+2b", b"#$|@", b"\xff\xfe not utf-8",
    "größe".encode(), b"...", b"-rf", b"x" * 200,
)  # fmt: skip


class TreeMaker:
    """Makes `BASE/tree`, and the account files `BASE/passwd` and `BASE/group` that go with it."""

    def __init__(self, base: Path, *, entries: int, seed: int) -> None:
        self._base = base
        self._count = entries
        self._rng = random.Random(seed)
        self._directories: list[tuple[Path, int]] = []
        self._files: list[Path] = []
        self._made = 0

    def make(self) -> None:
        """Make everything. The same seed gives the same tree; needs root, to give files away."""
        self._base.mkdir(mode=0o755, parents=True)
        self._base.chmod(0o755)
        self._write_accounts()
        tree = self._base / "tree"
        tree.mkdir()
        tree.chmod(0o755)
        self._directories.append((tree, 0))
        while self._made < self._count:
            self._make_one()
        self._make_oddities(tree)
        self._give_away()

    def _write_accounts(self) -> None:
        named = _UIDS[:-_ACCOUNTLESS]
        groups = _GIDS[:-_ACCOUNTLESS]
        passwd = ["root:x:0:0:root:/root:/bin/sh"]
        passwd += [f"u{u}:x:{u}:{self._rng.choice(groups)}::/:/bin/false" for u in named]
        group = ["root:x:0:"]
        for gid in groups:
            members = self._rng.sample(named, k=self._rng.randint(0, 4))
            group.append(f"g{gid}:x:{gid}:{','.join(f'u{uid}' for uid in members)}")
        (self._base / "passwd").write_text("\n".join(passwd) + "\n", encoding="ascii")
        (self._base / "group").write_text("\n".join(group) + "\n", encoding="ascii")

    def _make_one(self) -> None:
        parent, depth = self._rng.choice(self._directories)
        path = parent / os.fsdecode(self._name())
        if self._rng.random() < _DIRECTORY_SHARE and depth < _DEPTH_MAX:
            path.mkdir()
            self._directories.append((path, depth + 1))
        else:
            path.touch(exist_ok=False)
            self._files.append(path)
        self._made += 1

    def _name(self) -> bytes:
        plain = f"n{self._made}".encode()
        odd = self._rng.random() < 1 / 20
        return plain + self._rng.choice(_ODD_NAMES) if odd else plain

    def _make_oddities(self, tree: Path) -> None:
        """Two hard links, and what an exporter must leave out."""
        for number in range(2):
            (tree / f"hard{number}").hardlink_to(self._rng.choice(self._files))
        (tree / "symlink").symlink_to(self._files[0])
        os.mkfifo(tree / "pipe")

    def _give_away(self) -> None:
        """Owners, groups and modes; the root of the tree stays searchable for all."""
        for path in self._files:
            self._give(path, self._rng.randrange(0o1000))
        for path, _ in self._directories[1:]:
            mode = self._rng.randrange(0o1000)
            if self._rng.random() < _SEARCHABLE_SHARE:
                mode |= 0o111
            self._give(path, mode)

    def _give(self, path: Path, mode: int) -> None:
        owners = (0, *_UIDS)
        groups = (0, *_GIDS)
        os.chown(path, self._rng.choice(owners), self._rng.choice(groups))
        if self._rng.random() < _SPECIAL_BITS_SHARE:
            mode |= self._rng.choice((0o1000, 0o2000, 0o4000, 0o6000))
        path.chmod(mode)
