-- How many prefixes an allowlist may have; 0: none. The edge bears twice as many for the moment in which one is replaced.
ALTER TABLE tiers ADD COLUMN allowlist_entries_max BIGINT NOT NULL DEFAULT 0 CHECK (allowlist_entries_max BETWEEN 0 AND 1000);

UPDATE tiers SET allowlist_entries_max = 20 WHERE tier = 'pro';
UPDATE tiers SET allowlist_entries_max = 100 WHERE tier = 'enterprise';

-- Whether the addresses of callers are checked. Apart from the list: on with an empty list admits nobody.
ALTER TABLE services ADD COLUMN allowlist BIGINT NOT NULL DEFAULT 0 CHECK (allowlist IN (0, 1));

-- One row a prefix, in its one spelling (`edgeformat::Prefix`), so that equal texts are equal blocks.
CREATE TABLE allowlist_entries (
    customer_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    prefix TEXT NOT NULL CHECK (length(prefix) BETWEEN 4 AND 43),
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (customer_id, service, prefix),
    FOREIGN KEY (customer_id, service) REFERENCES services (customer_id, service)
);
