-- Heads, schema versions and the list of tenants, read from the primary.

-- name: heads
-- By heads' primary key. The epoch stands in every row, also for a tenant without a head.
SELECT k.tenant_id, coalesce(head.epoch, (SELECT max(epoch) FROM epochs), 0) AS epoch,
    coalesce(head.revision, 0) AS revision, coalesce(head.schema_version, '') AS schema_version,
    coalesce(head.begins_rev, 0) AS begins_rev, head.digest
FROM unnest($1::text[]) AS k (tenant_id)
LEFT JOIN LATERAL (
    SELECT epoch, revision, schema_version, begins_rev, digest FROM heads WHERE tenant_id = k.tenant_id LIMIT 1
) AS head ON true;

-- name: recorded_head
-- By epoch_heads' primary key: what the epoch that followed $2 recorded. Of an epoch that this log never
-- was in nothing is known to have survived: it was another database's, from the same backup perhaps.
SELECT revision
FROM epoch_heads
WHERE tenant_id = $1 AND epoch = (SELECT min(epoch) FROM epochs WHERE epoch > $2)
    AND EXISTS (SELECT FROM epochs WHERE epoch = $2);

-- name: schema
-- By the primary keys of heads and schemas.
SELECT s.version, s.created_rev, s.created_at, s.source
FROM heads AS h JOIN schemas AS s ON s.tenant_key = h.tenant_key
WHERE h.tenant_id = $1 AND s.version = $2;

-- name: schemas
-- By the primary keys of heads and schemas; newest first.
SELECT s.version, s.created_rev, s.created_at, s.source
FROM heads AS h JOIN schemas AS s ON s.tenant_key = h.tenant_key
WHERE h.tenant_id = $1 AND ($2::text IS NULL OR s.version < $2)
ORDER BY s.version DESC
LIMIT $3;

-- name: tenants
-- By tenants' primary key.
SELECT tenant_id, name, created_at
FROM tenants
WHERE tenant_id > $1
ORDER BY tenant_id
LIMIT $2;

-- name: meta
SELECT value FROM meta WHERE name = $1;
