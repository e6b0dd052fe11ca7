-- Replicas: copies of tenants that are under way, and who beats under a replica's name.

-- In a replica, one row a tenant that is being copied from the primary: what the copy will stand on,
-- and how far it is. Rows of the copy have a key of their own, which no head names before it is whole.
CREATE TABLE copying (
    tenant_id text COLLATE "C" PRIMARY KEY,
    tenant_key bigint NOT NULL,                -- of the copied rows, here
    source_key bigint NOT NULL,                -- of the same life, in the primary
    epoch bigint NOT NULL,
    revision bigint NOT NULL,                  -- the copy is of this revision
    digest bytea NOT NULL,
    salt bytea NOT NULL,
    commit_time timestamptz NOT NULL,
    begins_rev bigint NOT NULL,
    floor_rev bigint NOT NULL,
    schema_version text COLLATE "C" NOT NULL,
    stage smallint NOT NULL,
    place text[] COLLATE "C" NOT NULL,         -- the last key, or revision, that has been copied
    bound_rev bigint NOT NULL,                 -- the head when all live rows had been copied, or 0
    copied_rows bigint NOT NULL
) WITH (fillfactor = 50);

-- Two replicas under one name would hide from each other what they hold back.
ALTER TABLE followers ADD COLUMN instance text NOT NULL DEFAULT '';   -- which replica it is
ALTER TABLE followers ADD COLUMN session text NOT NULL DEFAULT '';    -- which process beats for it
