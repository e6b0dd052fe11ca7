-- Forgetting: history that no read may see any more, and the rows of lives that ended. Rows of both
-- kinds never change again, so that batches need no lock against anybody.

-- name: raise_floor
UPDATE heads SET floor_rev = $2
WHERE tenant_id = $1 AND floor_rev < $2 AND revision >= $2;

-- name: floor_of
SELECT tenant_key, floor_rev FROM heads WHERE tenant_id = $1;

-- By relation_tuples_history_by_expiry and attributes_history_by_expiry.
-- name: collect_tuples
DELETE FROM relation_tuples_history
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM relation_tuples_history
    WHERE tenant_key = $1 AND expired_rev <= $2
    LIMIT $3
));

-- name: collect_attributes
DELETE FROM attributes_history
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM attributes_history
    WHERE tenant_key = $1 AND expired_rev <= $2
    LIMIT $3
));

-- The time up to which history may go: the window, or the slowest replica that still beats; none
-- at all while such a replica has not caught up once, or somebody holds all of it.
-- name: horizon
SELECT least(
    clock_timestamp() - $1::interval,
    (SELECT min(coalesce(applied_through, to_timestamp(0))) FROM followers
        WHERE kind IN ('replica', 'hold') AND beat_at > clock_timestamp() - $2::interval)
);

-- Tenants behind $1 that hold history; by the same indexes, one probe each. Where the log is on a
-- topic, what is not there yet is not collected either: it is still to be told to others.
-- name: collectable
SELECT heads.tenant_id, greatest(heads.floor_rev, heads.begins_rev) AS floor_rev,
    CASE WHEN topic.only_row THEN least(heads.revision, coalesce(published.revision, 0))
        ELSE heads.revision END AS revision
FROM heads
LEFT JOIN change_topic AS topic ON true
LEFT JOIN published ON published.tenant_id = heads.tenant_id
WHERE heads.tenant_id > $1
    AND (EXISTS (SELECT FROM relation_tuples_history AS past
            WHERE past.tenant_key = heads.tenant_key AND past.expired_rev <= heads.revision)
        OR EXISTS (SELECT FROM attributes_history AS past
            WHERE past.tenant_key = heads.tenant_key AND past.expired_rev <= heads.revision))
ORDER BY heads.tenant_id
LIMIT $2;

-- By transactions_pkey.
-- name: commit_time
SELECT commit_time FROM transactions WHERE tenant_id = $1 AND revision = $2 AND part = 0;

-- name: floors
SELECT tenant_id, floor_rev FROM heads WHERE tenant_id > $1 AND floor_rev > 0
ORDER BY tenant_id
LIMIT $2;

-- Of the tenants and floors given, those that this copy has reached and not yet taken over.
-- name: behind_floors
SELECT heads.tenant_id, f.floor_rev
FROM unnest($1::text[], $2::bigint[]) AS f (tenant_id, floor_rev)
JOIN heads ON heads.tenant_id = f.tenant_id
    AND heads.floor_rev < f.floor_rev AND heads.revision >= f.floor_rev;

-- name: dead_lives
SELECT tenant_key, tenant_id, died_rev FROM dead_lives ORDER BY tenant_key LIMIT $1;

-- name: purge_tuples
DELETE FROM relation_tuples
WHERE ctid = ANY (ARRAY(SELECT ctid FROM relation_tuples WHERE tenant_key = $1 LIMIT $2));

-- name: purge_tuples_history
DELETE FROM relation_tuples_history
WHERE ctid = ANY (ARRAY(SELECT ctid FROM relation_tuples_history WHERE tenant_key = $1 LIMIT $2));

-- name: purge_attributes
DELETE FROM attributes
WHERE ctid = ANY (ARRAY(SELECT ctid FROM attributes WHERE tenant_key = $1 LIMIT $2));

-- name: purge_attributes_history
DELETE FROM attributes_history
WHERE ctid = ANY (ARRAY(SELECT ctid FROM attributes_history WHERE tenant_key = $1 LIMIT $2));

-- name: purge_schemas
DELETE FROM schemas
WHERE ctid = ANY (ARRAY(SELECT ctid FROM schemas WHERE tenant_key = $1 LIMIT $2));

-- name: purge_bundles
DELETE FROM bundles
WHERE ctid = ANY (ARRAY(SELECT ctid FROM bundles WHERE tenant_key = $1 LIMIT $2));

-- By transactions_pkey. The deletion itself stays: with it the log of the present life begins.
-- name: purge_log
DELETE FROM transactions
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM transactions WHERE tenant_id = $1 AND revision < $2 LIMIT $3
));

-- name: forget_life
DELETE FROM dead_lives WHERE tenant_key = $1
