"""`grantlog projector status`: how far a replica is, and what the registered ones hold back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import orjson

from grantlog.app import replicas
from grantlog.app.replicas import Standing, TenantStatus
from grantlog.cli.databases import Databases
from grantlog.cli.projecting import Both, Say, opened
from grantlog.model.ids import TenantId
from grantlog.ports.copying import Copying, Stage
from grantlog.store.postgres.collect import REPLICA_SILENCE_MAX
from grantlog.store.postgres.copy_target import PostgresCopyTarget
from grantlog.store.postgres.epoch import newest_epoch
from grantlog.store.postgres.followers import (
    HOLD,
    MAINTENANCE,
    REPLICA,
    Follower,
    followers,
    lags,
    unpublished_tenants,
)
from grantlog.store.postgres.health import BEAT_AGE_S_MAX
from grantlog.store.postgres.lives import foreign_life

_TENANTS_SHOWN_MAX: Final = 50
_BEAT_AGE_MAX: Final = timedelta(seconds=BEAT_AGE_S_MAX)
_WRONG: Final = (Standing.AHEAD, Standing.DIFFERENT)


async def status(databases: Databases, say: Say, *, every_tenant: bool = False) -> bool:
    """Say how far the replica is and who holds what back; whether all is well.

    That is: no tenant stands wrong, and somebody beats.

    A replica of another primary's log stands wrong as a whole.

    Args:
        databases: the primary and the replica.
        say: takes lines.
        every_tenant: whether tenants that are current are listed too, however many there are.

    Raises:
        PreconditionError: the replica was run as a primary once.
    """
    if databases.replica is None:
        say("there is no replica: the primary's own tables are read")
        return True
    async with opened(databases, only_looks=True) as both:
        epoch = await newest_epoch(both.pool)
        if epoch is not None:
            say(epoch.line)
        await both.replica.refuse_run_as_primary()
        foreign = await foreign_life(both.pool, both.replica_pool)
        if foreign:
            say(foreign)
        tenants = await replicas.status(both.log, both.replica)
        copies = await PostgresCopyTarget(both.replica_pool).copies()
        behind = {row.tenant: row.applied.revision for row in tenants if row.lag}
        late = await lags(both.pool, behind)
        _say_summary(say, tenants, copies, late)
        few = every_tenant or len(tenants) <= _TENANTS_SHOWN_MAX
        shown = tenants if few else _worst(tenants)
        for row in shown:
            say(_line(row, copies.get(row.tenant), late.get(row.tenant)))
        if len(shown) < len(tenants):
            say(f"… {len(tenants) - len(shown)} more tenants; --all lists them")
        stopped = await _say_followers(say, both)
    return not (foreign or stopped) and not any(row.standing in _WRONG for row in tenants)


def _worst(tenants: Sequence[TenantStatus]) -> list[TenantStatus]:
    """The tenants to look at, those that stand wrong first."""
    not_current = [row for row in tenants if row.standing is not Standing.CURRENT]
    not_current.sort(key=lambda row: (row.standing not in _WRONG, -row.lag))
    return not_current[:_TENANTS_SHOWN_MAX]


def _say_summary(
    say: Say,
    tenants: Sequence[TenantStatus],
    copies: Mapping[TenantId, Copying],
    late: Mapping[TenantId, timedelta],
) -> None:
    counts = dict.fromkeys(Standing, 0)
    for row in tenants:
        counts[row.standing] += 1
    found = ", ".join(f"{count} {standing.value}" for standing, count in counts.items() if count)
    lag = sum(row.lag for row in tenants)
    say(
        f"{len(tenants)} tenants: {found or 'none'}; {len(copies)} being copied; "
        f"lag {lag} revisions, {_ms(max(late.values(), default=timedelta()))} ms"
    )


def _line(row: TenantStatus, copying: Copying | None, late: timedelta | None) -> str:
    text = (
        f"{row.tenant}: {row.standing.value}, "
        f"applied {row.applied.revision} of {row.head.revision}, "
        f"lag {row.lag} revisions, {_ms(late or timedelta())} ms"
    )
    if copying is None:
        return text
    stage = Stage(copying.stage).name.lower().replace("_", " ")
    return f"{text}; being copied at revision {copying.revision}: {copying.rows} rows, at {stage}"


def _ms(span: timedelta) -> int:
    return round(span / timedelta(milliseconds=1))


async def _say_followers(say: Say, both: Both) -> int:
    """Say who beats and what each holds back; how many things are wrong there."""
    stopped = 0
    everyone = await followers(both.pool)
    for follower in everyone:
        detail: dict[str, Any] = orjson.loads(follower.detail) if follower.detail else {}
        beat = f"beat {follower.age.total_seconds():.1f} s ago"
        say(f"{follower.kind} {follower.name}: {beat}{_held_back(follower)}")
        for tenant, why in detail.get("reasons", {}).items():
            say(f"  stopped at tenant {tenant}: {why}")
        stopped += int(detail.get("stopped", 0)) if follower.kind == REPLICA else 0
    if not any(each.kind != HOLD and each.age <= _BEAT_AGE_MAX for each in everyone):
        say("nobody beats: start `grantlog run projector`")
        stopped += 1
    waiting = await unpublished_tenants(both.pool)
    if waiting:
        say(f"the topic: {waiting} tenants are not published to their heads, which holds back "
            "what is behind")  # fmt: skip
    return stopped


def _held_back(follower: Follower) -> str:
    if follower.kind == MAINTENANCE:
        return ""
    if follower.age > REPLICA_SILENCE_MAX:
        return "; holds nothing back any more"
    if follower.applied_through is None:
        return "; has not caught up yet: holds all history back"
    return (
        f"; everything before {follower.applied_through:%Y-%m-%d %H:%M:%S.%f} is applied "
        f"({_ms(follower.applied_age or timedelta())} ms ago): holds back what expired since"
    )
