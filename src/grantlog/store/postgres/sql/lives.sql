-- Which log a database holds, as the newest epoch of it: number, opening, system and timeline. A
-- primary and its physical copies have it in `epochs`; what a projector folds into has no epochs, and
-- carries what its projector wrote down in `meta`.

-- name: lives
SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
    (
        SELECT coalesce(array_agg(concat_ws('/', e.epoch, (extract(epoch FROM e.opened_at) * 1000000)::bigint,
            e.system_identifier, e.timeline) ORDER BY e.epoch DESC), '{}')
        FROM epochs AS e
    ) AS lives;

-- name: identity
SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
    pg_is_in_recovery() AS in_recovery,
    EXISTS (SELECT FROM epochs) AS has_log,
    coalesce((
        SELECT concat_ws('/', e.epoch, (extract(epoch FROM e.opened_at) * 1000000)::bigint,
            e.system_identifier, e.timeline)
        FROM epochs AS e ORDER BY e.epoch DESC LIMIT 1
    ), (SELECT value FROM meta WHERE name = 'follows'), '') AS life,
    EXISTS (SELECT FROM meta WHERE name IN ('replica', 'replica_id', 'follows')) AS was_replica;

-- name: in_recovery
SELECT pg_is_in_recovery();

-- name: followed
SELECT value FROM meta WHERE name = 'follows';

-- name: follow
INSERT INTO meta (name, value) VALUES ('follows', $1)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: unfollow
DELETE FROM meta WHERE name = 'follows';

-- name: end_readers
-- Those who read here believe to know what they read: each proves it anew when it connects again.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND application_name = 'grantlog replica reads';
