DROP TABLE allowlist_entries;
ALTER TABLE services DROP COLUMN allowlist;
ALTER TABLE tiers DROP COLUMN allowlist_entries_max;
