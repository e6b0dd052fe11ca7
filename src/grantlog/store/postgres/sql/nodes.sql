-- Who is in the ring of API nodes.

-- The whole table is read: it has a row a node. A row that ended long ago goes with the next beat.
-- name: beat
WITH mine AS (
    INSERT INTO nodes AS n (address, session, started_at, lease_until)
    VALUES ($1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $3::float8))
    ON CONFLICT (address) DO UPDATE SET session = EXCLUDED.session,
        lease_until = EXCLUDED.lease_until,
        started_at = CASE n.session WHEN EXCLUDED.session THEN n.started_at
            ELSE EXCLUDED.started_at END
), forgotten AS (
    DELETE FROM nodes
    WHERE address <> $1 AND lease_until < clock_timestamp() - interval '1 hour'
)
SELECT address FROM nodes
WHERE lease_until >= clock_timestamp() AND address <> $1
ORDER BY address;

-- name: leave
DELETE FROM nodes WHERE address = $1 AND session = $2;
