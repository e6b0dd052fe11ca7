-- Signals to followers, outside of any write.

-- name: notify
SELECT pg_notify($1, $2);
