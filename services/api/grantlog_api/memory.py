"""What a node keeps in memory of the log, and how it drops what a later epoch may have lost."""

from __future__ import annotations

from collections.abc import Mapping

from grantlog.app.cached import NO_CACHES, Caches
from grantlog.app.known import KnownHeads
from grantlog.app.schema_cache import SchemaCache
from grantlog.model.ids import Epoch, Revision, TenantId
from grantlog.ports.heads import SchemaReader
from grantlog.store.postgres.epoch import Seen
from grantlog.store.postgres.proof import Proof, later_of
from grantlog.store.postgres.writer.acknowledged import Acknowledged


class Memory:
    """The heads and schemas that this node knows, and what it acknowledged.

    All of it is a witness of the log: `proof` holds it against every server that is connected to.

    Attributes:
        caches: answers and facts with the clocks that say where they hold; none until they are set.
    """

    def __init__(self) -> None:
        self.acknowledged = Acknowledged()
        self.known = KnownHeads(life_began=self._life_began)
        self.proof = Proof(self._seen, self.enter, moved=self._begin_anew, who="an API node")
        self.caches: Caches = NO_CACHES
        self._cache: SchemaCache | None = None

    def open_cache(self, reader: SchemaReader) -> None:
        """Keep compiled schemas from now on, read from the primary."""
        self._cache = SchemaCache(reader)

    @property
    def cache(self) -> SchemaCache:
        """The compiled schemas."""
        assert self._cache is not None, "opened with the first pool"
        return self._cache

    def _seen(self) -> Mapping[TenantId, Seen]:
        heads = self.known.heads()
        read = {t: Seen(head.epoch, head.revision, head.digest) for t, head in heads.items()}
        followed = {t: Seen(*place) for t, place in self.caches.clocks.places().items()}
        return later_of(later_of(read, followed), self.acknowledged.seen())

    def enter(self, epoch: Epoch) -> None:
        """Drop what is known from earlier epochs only: a later one may have lost it."""
        self.known.forget_before(epoch)
        self.caches.clocks.forget_before(epoch)
        if self._cache is not None:
            self._cache.clear()

    def _begin_anew(self) -> None:
        """Keep no answer, fact or schema of another run of the server.

        That run may have been put back to an earlier state, and somebody who remembers nothing may
        have written there what is taken for what this node saw.
        """
        self.caches.clocks.forget_all()
        if self._cache is not None:
            self._cache.clear()

    def _life_began(self, tenant: TenantId, begins: Revision) -> None:
        if self._cache is not None:
            self._cache.forget_before(tenant, begins)
