"""Embedded SpiceDB, asked the questions of a plan: JSON in its argument, JSON out.

Runs in an environment of its own (`.venv-peer`), with this repository's benchmarks on the path. Not
SpiceDB at its best: its store is the one in memory, on one core with the threads that ask. It is
called by functions, so nothing of gRPC's price is in its numbers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final

from percentiles import percentile
from questions import questions
from world import Fact, World

_SCHEMA: Final = """
definition user {}
definition group {
  relation member: user
}
definition org {
  relation team: group#member
  permission reach = team
}
definition region {
  relation org: org
  permission reach = org->reach
}
definition site {
  relation region: region
  permission reach = region->reach
}
definition folder {
  relation viewer: user | group#member
  relation site: site
  permission view = viewer
  permission reach = site->reach
}
definition doc {
  relation folder: folder
  permission view = folder->view
  permission reach = folder->reach
}
"""
_FACTS_PER_WRITE: Final = 500
_PREPARED: Final = 20_000


class Peer:
    """A running SpiceDB that holds a world."""

    def __init__(self, world: World) -> None:
        # Imported here: the library sees how many cores there are when it is loaded.
        from authzed.api import v1  # noqa: PLC0415 - see above
        from spicedb_embedded import EmbeddedSpiceDB  # noqa: PLC0415 - see above

        self._v1 = v1
        self._spicedb = EmbeddedSpiceDB.start(_SCHEMA)
        self._permissions = self._spicedb.permissions()
        self._world = world
        facts = world.all_facts()
        while batch := list(islice(facts, _FACTS_PER_WRITE)):
            updates = [self._update(fact) for fact in batch]
            self._permissions.WriteRelationships(v1.WriteRelationshipsRequest(updates=updates))

    def _update(self, fact: Fact) -> Any:
        v1 = self._v1
        subject = v1.ObjectReference(object_type=fact.subject_type, object_id=fact.subject_id)
        return v1.RelationshipUpdate(
            operation=v1.RelationshipUpdate.OPERATION_TOUCH,
            relationship=v1.Relationship(
                resource=v1.ObjectReference(object_type=fact.entity_type, object_id=fact.entity_id),
                relation=fact.relation,
                subject=v1.SubjectReference(
                    object=subject, optional_relation=fact.subject_relation
                ),
            ),
        )

    def ask(self, kind: str, plan: dict[str, Any]) -> dict[str, Any]:
        """Ask questions of a kind from several threads; what was seen."""
        made = cycle(list(islice(self._requests(kind), _PREPARED)))
        begin = time.perf_counter() + plan["warmup_s"]
        until = begin + plan["seconds"]
        lock, times, wrong = Lock(), list[float](), list[int]()

        def work() -> None:
            own, mistakes = list[float](), 0
            while (asked := time.perf_counter()) < until:
                with lock:
                    request, allowed = next(made)
                answer = self._permissions.CheckPermission(request)
                done = time.perf_counter()
                mistakes += (answer.permissionship == _HAS) is not allowed
                if begin <= done <= until:
                    own.append(done - asked)
            with lock:
                times.extend(own)
                wrong.append(mistakes)

        threads = [Thread(target=work) for _ in range(plan["threads"])]
        started, busy = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cores = (time.process_time() - busy) / (time.perf_counter() - started)
        times.sort()
        return {
            "question": kind, "size": self._world.size, "rate": len(times) / plan["seconds"],
            "p50_ms": percentile(times, 50) * 1e3, "p99_ms": percentile(times, 99) * 1e3,
            "errors": sum(wrong), "cores": cores, "memory_mb": _memory_mb(),
        }  # fmt: skip

    def _requests(self, kind: str) -> Iterator[tuple[Any, bool]]:
        v1 = self._v1
        for question in questions(self._world, kind, seed=1):
            user = v1.ObjectReference(object_type="user", object_id=question.user)
            yield (
                v1.CheckPermissionRequest(
                    resource=v1.ObjectReference(
                        object_type=question.entity_type, object_id=question.entity_id
                    ),
                    permission=question.permission,
                    subject=v1.SubjectReference(object=user),
                ),
                question.allowed,
            )


_HAS: Final = 2
"""PERMISSIONSHIP_HAS_PERMISSION."""


def _memory_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Answer the plan in the first argument."""
    plan = json.loads(sys.argv[1])
    if plan["core"] is not None:
        os.sched_setaffinity(0, {plan["core"]})
    peer = Peer(World(plan["size"]))
    json.dump([peer.ask(kind, plan) for kind in plan["questions"]], sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # its threads of Go do not end by themselves


if __name__ == "__main__":
    main()
