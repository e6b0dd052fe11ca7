-- Whether the parts that a node depends on are alive.

-- name: beats
-- By followers' primary key, or all of its few rows: kinds that beat within the last $1 seconds.
SELECT DISTINCT kind
FROM followers
WHERE beat_at > clock_timestamp() - make_interval(secs => $1::float8);

-- name: has_beaten
-- By followers' primary key: whether the follower $2 beat within the last $1 seconds.
SELECT EXISTS (
    SELECT FROM followers
    WHERE name = $2 AND beat_at > clock_timestamp() - make_interval(secs => $1::float8)
);
