-- Following the log in the primary.

-- name: life
-- What a mark is good for: one server process's transaction numbers. Also its clock, read first.
SELECT clock_timestamp() AS now,
    control.system_identifier::text || ':' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
        || ':' || extract(epoch FROM pg_postmaster_start_time())::text AS life
FROM pg_control_system() AS control;

-- name: writers
-- Transactions that may be writing: from before it takes its commit time until it has ended, a writer
-- holds one of these locks on heads.
SELECT DISTINCT virtualtransaction AS writer
FROM pg_locks
WHERE locktype = 'relation' AND relation = 'heads'::regclass AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND mode IN ('RowShareLock', 'RowExclusiveLock');

-- name: moved
-- All of heads is looked at: an index on changed_xid would cost every write more than this saves.
-- A transaction that was under way at an earlier call had a number at or above that call's xmin.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin,
    h.tenant_id, h.epoch, h.revision, h.digest
FROM (VALUES (1)) AS always (row)
LEFT JOIN heads AS h ON h.changed_xid >= $1::text::xid8 AND h.revision > 0;

-- name: heads_of
-- By heads' primary key.
SELECT h.tenant_id, h.epoch, h.revision, h.digest, h.begins_rev
FROM unnest($1::text[]) AS k (tenant_id)
CROSS JOIN LATERAL (
    SELECT tenant_id, epoch, revision, digest, begins_rev
    FROM heads WHERE tenant_id = k.tenant_id AND revision > 0
    LIMIT 1
) AS h;

-- name: read
-- By the primary keys of heads and transactions. Of the lives that ended, the log may be purged in
-- part: it begins at the deletion that began the present one. $3 NULL is all.
SELECT tenant_id, revision, payload
FROM transactions
WHERE tenant_id = $1
    AND revision > greatest($2, (SELECT begins_rev - 1 FROM heads WHERE tenant_id = $1))
ORDER BY revision, part
LIMIT $3;

-- name: read_several
-- As read, one tenant after the other. The inner LIMIT has each one's rows come as they are asked for.
SELECT r.tenant_id, r.revision, r.payload
FROM unnest($1::text[], $2::bigint[]) AS k (tenant_id, revision)
CROSS JOIN LATERAL (
    SELECT tenant_id, revision, payload
    FROM transactions
    WHERE tenant_id = k.tenant_id
        AND revision > greatest(k.revision,
            (SELECT begins_rev - 1 FROM heads WHERE tenant_id = k.tenant_id))
    ORDER BY revision, part
    LIMIT $3
) AS r
LIMIT $3;
