-- Where a tenant stood at a revision or a time, read from the primary.

-- name: clock
SELECT clock_timestamp() AS now;

-- name: lock_head
-- Waits for the writer under way, if there is one: its commit time may be before the time asked for.
SELECT true FROM heads WHERE tenant_id = $1 FOR SHARE;

-- name: lock_first_write
-- Waits for the writer under way that creates the tenant's head, if there is one.
SELECT pg_advisory_xact_lock_shared($1::int, hashtext($2::text));

-- name: standing
-- By the primary keys of heads and schemas: versions sort as the revisions that wrote them.
SELECT h.epoch, h.revision, h.begins_rev, h.floor_rev, coalesce(s.version, '') AS schema_version
FROM heads AS h
LEFT JOIN LATERAL (
    SELECT version FROM schemas
    WHERE schemas.tenant_key = h.tenant_key AND schemas.created_rev <= $2
    ORDER BY version DESC
    LIMIT 1
) AS s ON true
WHERE h.tenant_id = $1;

-- name: revision_at
-- By the transactions' primary key, halving: commit times increase with revisions, and an index on
-- them would cost every write something. 0 if nothing was committed by then; below the deletion that
-- began the present life if that was later, for the log of earlier lives goes away.
WITH RECURSIVE search (low, high) AS (
    SELECT greatest(begins_rev - 1, 0), revision FROM heads WHERE tenant_id = $1
    UNION ALL
    SELECT CASE WHEN t.commit_time <= $2 THEN s.middle ELSE s.low END,
        CASE WHEN t.commit_time <= $2 THEN s.high ELSE s.middle - 1 END
    FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM search WHERE low < high) AS s
    CROSS JOIN LATERAL (
        SELECT commit_time FROM transactions
        WHERE tenant_id = $1 AND revision = s.middle AND part = 0
        LIMIT 1
    ) AS t
)
SELECT low AS revision FROM search WHERE low >= high;
