-- Named templates of data writes, kept in the primary alone; the log has them too.
CREATE TABLE bundles (
    tenant_key bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    created_rev bigint NOT NULL,               -- the revision that wrote this definition
    definition text NOT NULL,                  -- the JSON of base.v1.DataBundle
    PRIMARY KEY (tenant_key, name)
);
