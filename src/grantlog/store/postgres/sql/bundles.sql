-- Bundles, by their primary key; through heads to the tenant's present life.

-- name: bundle
SELECT b.definition
FROM heads AS h JOIN bundles AS b ON b.tenant_key = h.tenant_key
WHERE h.tenant_id = $1 AND b.name = $2;

-- name: stored
SELECT b.name, b.definition
FROM unnest($2::text[]) AS k (name)
CROSS JOIN LATERAL (
    SELECT name, definition FROM bundles WHERE tenant_key = $1 AND name = k.name LIMIT 1
) AS b;

-- name: count
SELECT count(*) FROM (SELECT FROM bundles WHERE tenant_key = $1 LIMIT $2) AS counted;

-- name: put
INSERT INTO bundles (tenant_key, name, created_rev, definition)
SELECT $1, k.name, k.created_rev, k.definition
FROM unnest($2::text[], $3::bigint[], $4::text[]) AS k (name, created_rev, definition)
ON CONFLICT (tenant_key, name)
DO UPDATE SET created_rev = EXCLUDED.created_rev, definition = EXCLUDED.definition;

-- name: remove
DELETE FROM bundles WHERE tenant_key = $1 AND name = $2
