-- What processes that follow the log leave in the primary, and how one of them is chosen.

-- name: try_role
SELECT pg_try_advisory_lock($1);

-- name: beat
INSERT INTO followers (name, kind, beat_at, applied_through, detail)
VALUES ($1, $2, clock_timestamp(), $3, $4)
ON CONFLICT (name) DO UPDATE SET kind = EXCLUDED.kind, beat_at = EXCLUDED.beat_at,
    applied_through = EXCLUDED.applied_through, detail = EXCLUDED.detail;

-- name: beat_as
-- A name is its holder's until that one has not beaten for so long.
INSERT INTO followers AS f (name, kind, beat_at, applied_through, detail, instance, session)
VALUES ($1, $2, clock_timestamp(), $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET kind = EXCLUDED.kind, beat_at = EXCLUDED.beat_at,
    applied_through = EXCLUDED.applied_through, detail = EXCLUDED.detail,
    instance = EXCLUDED.instance, session = EXCLUDED.session
WHERE f.session IN ('', EXCLUDED.session)
    OR f.beat_at < clock_timestamp() - make_interval(secs => $7::float8);

-- name: holder
SELECT instance, session, beat_at FROM followers WHERE name = $1;

-- name: release_name
UPDATE followers SET session = '' WHERE name = $1 AND session = $2;

-- name: put_instance
INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING;

-- name: instance
SELECT value FROM meta WHERE name = $1;

-- name: forget_follower
DELETE FROM followers WHERE name = $1;

-- name: followers
SELECT name, kind, clock_timestamp() - beat_at AS age, applied_through,
    clock_timestamp() - applied_through AS applied_age, detail
FROM followers
ORDER BY name;

-- By transactions_pkey.
-- name: lags
SELECT k.tenant_id, clock_timestamp() - next.commit_time AS lag
FROM unnest($1::text[], $2::bigint[]) AS k (tenant_id, revision)
CROSS JOIN LATERAL (
    SELECT t.commit_time FROM transactions AS t
    WHERE t.tenant_id = k.tenant_id AND t.revision > k.revision
    ORDER BY t.revision, t.part
    LIMIT 1
) AS next;

-- name: unpublished_tenants
-- All of heads is looked at: it is asked by people.
SELECT count(*)
FROM heads AS h
LEFT JOIN published AS p ON p.tenant_id = h.tenant_id
WHERE EXISTS (SELECT FROM change_topic) AND h.revision > coalesce(p.revision, 0)
