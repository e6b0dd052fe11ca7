"""How far an import got, kept beside its input so that an interrupted one goes on there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

from grantlog.cli.importing.lines import Reject
from grantlog.errors import PreconditionError

_SAMPLE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Place:
    """Everything before it is stored or rejected."""

    offset: int = 0
    line: int = 0
    imported: int = 0
    rejected: int = 0
    rejects_bytes: int = 0
    """Length of the rejects file at this place."""


@dataclass(slots=True)
class Progress:
    """The progress file and the rejects file of an import."""

    file: Path | None
    """None for an input that cannot be read again."""
    rejects: Path
    marks: dict[str, str]
    """What tells this import from another: the input, the tenant, the server."""
    place: Place
    saved: Place

    def advance(self, offset: int, line: int, imported: int, rejects: Sequence[Reject]) -> None:
        """All lines up to `line` are done. Rejects are on the disk before the place passes them."""
        size = self.place.rejects_bytes
        if rejects:
            text = "".join(
                json.dumps({"line": r.number, "text": r.text, "reason": r.reason}) + "\n"
                for r in rejects
            )
            with self.rejects.open("a") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            size += len(text)  # json.dumps writes ASCII
        self.place = Place(
            offset, line, self.place.imported + imported, self.place.rejected + len(rejects), size
        )

    def save(self) -> None:
        """Note the place, whole or not at all."""
        if self.file is None or self.place == self.saved:
            return
        fresh = self.file.with_name(self.file.name + ".tmp")
        fresh.write_text(json.dumps({"marks": self.marks, "place": asdict(self.place)}))
        fresh.replace(self.file)
        self.saved = self.place

    def finish(self) -> None:
        """Nothing is left to resume."""
        if self.file:
            self.file.unlink(missing_ok=True)


def begin(file: Path | None, rejects: Path, marks: dict[str, str], *, restart: bool) -> Progress:
    """The progress of an import: at its beginning, or where an interrupted one stood.

    Raises:
        PreconditionError: the file is another import's.
    """
    place = Place() if restart or file is None else _read(file, marks)
    if place.rejects_bytes:
        os.truncate(rejects, place.rejects_bytes)
    else:
        rejects.unlink(missing_ok=True)
    return Progress(file, rejects, marks, place, place)


def marks_of(source: Path, tenant: str, address: str) -> dict[str, str]:
    """What tells an import of this file from another one."""
    size = source.stat().st_size
    total = blake2b(str(size).encode(), digest_size=16)
    with source.open("rb") as file:
        total.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, size - _SAMPLE_BYTES))
        total.update(file.read(_SAMPLE_BYTES))
    return {"input": total.hexdigest(), "tenant": tenant, "server": address}


def _read(file: Path, marks: dict[str, str]) -> Place:
    try:
        read = json.loads(file.read_text())
        theirs, place = read["marks"], Place(**{k: int(v) for k, v in read["place"].items()})
    except FileNotFoundError:
        return Place()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PreconditionError(
            f"{file} does not tell how far an import got: remove it or give --restart"
        ) from error
    if theirs != marks:
        changed = ", ".join(sorted(k for k in marks if theirs.get(k) != marks[k]))
        raise PreconditionError(
            f"{file} is of an interrupted import with another {changed}: "
            "finish that one, or give --restart to begin anew"
        )
    return place
