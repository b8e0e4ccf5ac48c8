-- The master key groups, never their secrets: the check value tells only whether two places hold the same one. A row stays
-- when its group is removed, so that a number is never used for two secrets.
CREATE TABLE key_groups (
    key_group BIGINT NOT NULL PRIMARY KEY CHECK (key_group BETWEEN 0 AND 31),
    check_value TEXT NOT NULL CHECK (length(check_value) = 8),
    -- wanted: every edge must hold it; retired: so, too, but nothing is minted in it; removed: no edge may hold it.
    state TEXT NOT NULL CHECK (state IN ('wanted', 'retired', 'removed')),
    added_at_ms BIGINT NOT NULL,
    -- When every edge had confirmed it; nothing is minted in it before.
    confirmed_at_ms BIGINT,
    retired_at_ms BIGINT,
    removed_at_ms BIGINT,
    CHECK ((state = 'wanted') = (retired_at_ms IS NULL)),
    CHECK ((state = 'removed') = (removed_at_ms IS NOT NULL))
);
