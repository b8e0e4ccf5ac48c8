CREATE TABLE old_api_keys (
    fingerprint BIGINT NOT NULL PRIMARY KEY,
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    service TEXT NOT NULL CHECK (service IN ('seal', 'grpc', 'graphql')),
    key_group BIGINT NOT NULL CHECK (key_group BETWEEN 0 AND 31),
    derivation BIGINT NOT NULL CHECK (derivation BETWEEN 1 AND 1023),
    version BIGINT NOT NULL CHECK (version IN (0, 1)),
    created_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT,
    expires_at_s BIGINT CHECK (expires_at_s > 0)
);

INSERT INTO old_api_keys
    SELECT fingerprint, customer_id, service, key_group, derivation, version, created_at_ms, revoked_at_ms, expires_at_s
    FROM api_keys;
DROP TABLE api_keys;
ALTER TABLE old_api_keys RENAME TO api_keys;
CREATE INDEX api_keys_of_customer ON api_keys (customer_id, service);

DROP INDEX services_pending;
DROP INDEX services_by_plan;

CREATE TABLE old_services (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    service TEXT NOT NULL CHECK (service IN ('seal', 'grpc', 'graphql')),
    state TEXT NOT NULL CHECK (state IN (
        'not_provisioned', 'disabled', 'enabled', 'suspended_no_payment', 'suspended_spending_limit',
        'suspended_operator', 'cancellation_pending'
    )),
    state_before_suspension TEXT CHECK (state_before_suspension IN (
        'disabled', 'enabled', 'suspended_no_payment', 'suspended_spending_limit', 'cancellation_pending'
    )),
    tier TEXT NOT NULL CHECK (tier IN ('starter', 'pro', 'enterprise')),
    plan BIGINT NOT NULL REFERENCES plans (number),
    source TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    allowlist BIGINT NOT NULL DEFAULT 0 CHECK (allowlist IN (0, 1)),
    PRIMARY KEY (customer_id, service),
    CHECK ((state = 'suspended_operator') = (state_before_suspension IS NOT NULL))
);

INSERT INTO old_services
    SELECT customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist
    FROM services;

CREATE TABLE old_allowlist_entries (
    customer_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    prefix TEXT NOT NULL CHECK (length(prefix) BETWEEN 4 AND 43),
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (customer_id, service, prefix),
    FOREIGN KEY (customer_id, service) REFERENCES old_services (customer_id, service)
);

INSERT INTO old_allowlist_entries
    SELECT customer_id, service, prefix, created_at_ms FROM allowlist_entries;
DROP TABLE allowlist_entries;
DROP TABLE services;
ALTER TABLE old_services RENAME TO services;
ALTER TABLE old_allowlist_entries RENAME TO allowlist_entries;

DROP TABLE credit_entries;
CREATE TABLE old_derivation_counters (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    key_group BIGINT NOT NULL CHECK (key_group BETWEEN 0 AND 31),
    next BIGINT NOT NULL CHECK (next BETWEEN 1 AND 1001),
    PRIMARY KEY (customer_id, key_group)
);

INSERT INTO old_derivation_counters
    SELECT customer_id, key_group, CASE WHEN next > 1001 THEN 1001 ELSE next END FROM derivation_counters;
DROP TABLE derivation_counters;
ALTER TABLE old_derivation_counters RENAME TO derivation_counters;
ALTER TABLE customers DROP COLUMN derivations_max;
ALTER TABLE plans DROP COLUMN retired_at_ms;
ALTER TABLE customers DROP COLUMN spending_limit_cents;
DROP TABLE prices;
ALTER TABLE tiers DROP COLUMN packages_per_seal_key;
ALTER TABLE tiers DROP COLUMN seal_keys_included;
ALTER TABLE tiers DROP COLUMN api_keys_max;
ALTER TABLE tiers DROP COLUMN api_keys_included;
ALTER TABLE tiers DROP COLUMN subscription_cents;
DROP TABLE service_types;
