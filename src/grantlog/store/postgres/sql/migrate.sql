-- Numbered migrations, forward only.

-- name: lock_migrations
SELECT pg_advisory_lock($1);

-- name: unlock_migrations
SELECT pg_advisory_unlock($1);

-- name: create_table
CREATE TABLE IF NOT EXISTS migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: encoding
SELECT current_setting('server_encoding') AS encoding,
    current_setting('server_version_num')::integer AS version;

-- name: table_exists
SELECT to_regclass('migrations') IS NOT NULL;

-- name: applied
SELECT number FROM migrations ORDER BY number;

-- name: bounds
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true);

-- name: record
INSERT INTO migrations (number, name) VALUES ($1, $2);

-- name: put_meta
INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING;

-- name: mark_replica
-- Of a database that no primary began in: none will, from now on.
INSERT INTO meta (name, value)
SELECT 'replica', '' WHERE NOT EXISTS (SELECT FROM epochs)
ON CONFLICT (name) DO NOTHING;

-- name: put_meta_once
INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING true;
