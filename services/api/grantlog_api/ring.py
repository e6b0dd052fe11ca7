"""Joins this node to the ring of nodes that ask each other for facts, if there is to be one."""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import SystemRandom
from typing import Final
from urllib.parse import urlsplit

from grantlog.app.answering import AnswerFacts
from grantlog.cluster.answering import AnswerLimits, AnswerService, answering
from grantlog.cluster.counts import RingCounts
from grantlog.cluster.named import ListedNodes, ResolvedNodes, addresses_of, joined
from grantlog.cluster.opening import Credentials, ring_key
from grantlog.cluster.peers import BEAT_S, Joining, following
from grantlog.cluster.sharing import RingReads
from grantlog.ports.facts import FactReader
from grantlog.ports.ring import Nodes
from grantlog.store.postgres.nodes import PostgresNodes
from grantlog.store.postgres.pool import Pool
from grantlog.store.postgres.tenants import read_mac_key
from grantlog_api.memory import Memory
from grantlog_api.settings import ApiSettings

_EVERY_INTERFACE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared, not bound
_ANY_PORT: Final = 9
_RESOLVE_S: Final = 5.0
"""Between questions to the name server."""
_LOOPBACK: Final = "127.0.0.1"


@asynccontextmanager
async def open_ring(
    settings: ApiSettings, kept: Memory, lookups: Pool, facts: FactReader
) -> AsyncGenerator[RingCounts | None]:
    """What the node's caches do not hold is shared with other nodes for the block, if asked for.

    Args:
        settings: whether, and who is there.
        kept: the node's caches, which other nodes are answered from, and what it knows of the log.
        lookups: connections to the primary.
        facts: this node's own store.

    Raises:
        UnavailableError: the primary does not answer.
        PreconditionError: the port cannot be listened on.
        InvalidInputError: the nodes that are named do not include this one.
    """
    if settings.ring == "off":
        yield None
        return
    counts = RingCounts()
    await kept.proof.look(lookups)  # streams prove by the log's name, from the first one on
    key = ring_key(await read_mac_key(lookups))
    credentials = Credentials(key, lambda: kept.proof.life, secrets.token_bytes)
    answer = AnswerFacts(facts, kept.caches)
    service = AnswerService(answer, credentials, counts, AnswerLimits())
    async with answering(service, settings.host, settings.ring_port) as port:
        own = joined(settings.ring_host or await _own_host(settings), port)
        beat_s = _RESOLVE_S if settings.ring == "dns" else BEAT_S
        joining = Joining(own, credentials, SystemRandom(), beat_s=beat_s)
        async with following(_nodes(settings, own, lookups), joining, counts) as peers:
            kept.caches = replace(kept.caches, shared=RingReads(facts, peers.view, counts))
            yield counts


def _nodes(settings: ApiSettings, own: str, lookups: Pool) -> Nodes:
    match settings.ring:
        case "static":
            return ListedNodes(own, settings.ring_addresses)
        case "dns":
            return ResolvedNodes(own, settings.ring_addresses[0], addresses_of)
        case _:
            return PostgresNodes(lookups, own, secrets.token_hex(8))


async def _own_host(settings: ApiSettings) -> str:
    """The address at which other nodes reach this one, where nobody said it."""
    if settings.host not in _EVERY_INTERFACE:
        return settings.host
    primary = urlsplit(settings.database_url.get_secret_value()).hostname
    if not primary:  # a Unix socket: the primary is here
        return _LOOPBACK
    try:
        return _towards((await addresses_of(primary))[0])
    except OSError:
        return _LOOPBACK


def _towards(address: str) -> str:
    """This machine's address on the way to another. Nothing is sent: only a route is chosen."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as chosen:
        chosen.connect((address, _ANY_PORT))
        return str(chosen.getsockname()[0])
