-- What processes that follow the log leave in the primary, and how one of them is chosen.

-- name: try_role
SELECT pg_try_advisory_lock($1);

-- name: beat
INSERT INTO followers (name, kind, beat_at, applied_through, detail)
VALUES ($1, $2, clock_timestamp(), $3, $4)
ON CONFLICT (name) DO UPDATE SET kind = EXCLUDED.kind, beat_at = EXCLUDED.beat_at,
    applied_through = EXCLUDED.applied_through, detail = EXCLUDED.detail;

-- name: forget_follower
DELETE FROM followers WHERE name = $1;

-- name: followers
SELECT name, kind, clock_timestamp() - beat_at AS age, applied_through, detail FROM followers
ORDER BY name
