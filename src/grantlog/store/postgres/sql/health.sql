-- Whether the parts that a node depends on are alive.

-- name: beats
-- By followers' primary key, or all of its few rows: kinds that beat within the last $1 seconds.
SELECT DISTINCT kind
FROM followers
WHERE beat_at > clock_timestamp() - make_interval(secs => $1::float8);
