-- What can be sold. Letter and number of a type belong to the key's format (`apikey/src/service.rs`); all that is sold of it is
-- data. Closed: nobody can subscribe; who has it keeps it.
CREATE TABLE service_types (
    service TEXT NOT NULL PRIMARY KEY CHECK (length(service) BETWEEN 1 AND 32),
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 64),
    open BIGINT NOT NULL DEFAULT 1 CHECK (open IN (0, 1))
);

INSERT INTO service_types (service, title) VALUES
    ('seal', 'Seal key servers'),
    ('grpc', 'Sui gRPC'),
    ('graphql', 'Sui GraphQL');

-- Prices and quotas of a tier, beside its rates; a new row with a later `valid_from_ms` changes them from then on.
ALTER TABLE tiers ADD COLUMN subscription_cents BIGINT NOT NULL DEFAULT 0 CHECK (subscription_cents BETWEEN 0 AND 100000000);
ALTER TABLE tiers ADD COLUMN api_keys_included BIGINT NOT NULL DEFAULT 0 CHECK (api_keys_included BETWEEN 0 AND 1000);
ALTER TABLE tiers ADD COLUMN api_keys_max BIGINT NOT NULL DEFAULT 10 CHECK (api_keys_max BETWEEN 0 AND 1000);
ALTER TABLE tiers ADD COLUMN seal_keys_included BIGINT NOT NULL DEFAULT 0 CHECK (seal_keys_included BETWEEN 0 AND 1000);
ALTER TABLE tiers ADD COLUMN packages_per_seal_key BIGINT NOT NULL DEFAULT 0 CHECK (packages_per_seal_key BETWEEN 0 AND 1000);

UPDATE tiers SET subscription_cents = 200, api_keys_included = 1, seal_keys_included = 1, packages_per_seal_key = 3
    WHERE tier = 'starter';
UPDATE tiers SET subscription_cents = 3900, api_keys_included = 2, seal_keys_included = 1, packages_per_seal_key = 5
    WHERE tier = 'pro';
UPDATE tiers SET subscription_cents = 18500, api_keys_included = 5, seal_keys_included = 3, packages_per_seal_key = 10
    WHERE tier = 'enterprise';

-- What everything else costs from a moment on, in millionths of a US dollar: a request, and a month of what is added to a tier.
CREATE TABLE prices (
    item TEXT NOT NULL CHECK (item IN ('request', 'api_key_month', 'seal_key_month', 'package_month')),
    valid_from_ms BIGINT NOT NULL,
    micro_usd BIGINT NOT NULL CHECK (micro_usd BETWEEN 0 AND 1000000000),
    PRIMARY KEY (item, valid_from_ms)
);

INSERT INTO prices (item, valid_from_ms, micro_usd) VALUES
    ('request', 0, 100),
    ('api_key_month', 0, 5000000),
    ('seal_key_month', 0, 5000000),
    ('package_month', 0, 2000000);

-- A plan that no service names any more leaves the edges, so that their list stays short; its row stays, and its number keeps its
-- meaning. NULL: the edges know it.
ALTER TABLE plans ADD COLUMN retired_at_ms BIGINT;

-- How much may be charged in 28 days from the account's creation on; 0 is without limit.
ALTER TABLE customers ADD COLUMN spending_limit_cents BIGINT NOT NULL DEFAULT 25000
    CHECK (spending_limit_cents = 0 OR spending_limit_cents BETWEEN 1000 AND 100000000);

-- How many derivations of a group a customer can have; the format has room for 1,023, and what is above 1,000 is an operator's to give.
ALTER TABLE customers ADD COLUMN derivations_max BIGINT NOT NULL DEFAULT 1000 CHECK (derivations_max BETWEEN 1000 AND 1023);

CREATE TABLE new_derivation_counters (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    key_group BIGINT NOT NULL CHECK (key_group BETWEEN 0 AND 31),
    next BIGINT NOT NULL CHECK (next BETWEEN 1 AND 1024),
    PRIMARY KEY (customer_id, key_group)
);

INSERT INTO new_derivation_counters (customer_id, key_group, next)
    SELECT customer_id, key_group, next FROM derivation_counters;
DROP TABLE derivation_counters;
ALTER TABLE new_derivation_counters RENAME TO derivation_counters;

-- What operators have credited to a customer, and what was charged to that. Rows are only added; `number` counts from 1 for each
-- customer, without a gap. The balance is their sum, and never negative.
CREATE TABLE credit_entries (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    number BIGINT NOT NULL CHECK (number >= 1),
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('granted', 'taken_back', 'subscription', 'upgrade')),
    -- Positive: to the customer's credit. Negative: charged.
    amount_cents BIGINT NOT NULL CHECK (amount_cents <> 0 AND amount_cents BETWEEN -100000000 AND 100000000),
    balance_cents BIGINT NOT NULL CHECK (balance_cents >= 0),
    service TEXT REFERENCES service_types (service),
    tier TEXT,
    PRIMARY KEY (customer_id, number),
    CHECK ((kind = 'granted') = (amount_cents > 0))
);

-- Services and keys name their type in `service_types` from now on, instead of a list that is part of the table; SQLite can only
-- change that by making the tables anew.
CREATE TABLE new_services (
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    service TEXT NOT NULL REFERENCES service_types (service),
    state TEXT NOT NULL CHECK (state IN (
        'not_provisioned', 'disabled', 'enabled', 'suspended_no_payment', 'suspended_spending_limit',
        'suspended_operator', 'cancellation_pending'
    )),
    -- Where an operator's `resume` leads back to; set exactly while an operator has suspended the service.
    state_before_suspension TEXT CHECK (state_before_suspension IN (
        'disabled', 'enabled', 'suspended_no_payment', 'suspended_spending_limit', 'cancellation_pending'
    )),
    -- The same for a suspension by billing, which an operator's may lie over.
    state_before_billing TEXT CHECK (state_before_billing IN ('disabled', 'enabled', 'cancellation_pending')),
    tier TEXT NOT NULL CHECK (tier IN ('starter', 'pro', 'enterprise')),
    plan BIGINT NOT NULL REFERENCES plans (number),
    -- Without a CHECK: later sources must not need the table to be rebuilt. The program knows the words.
    source TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL,
    -- Whether the addresses of callers are checked. Apart from the list: on with an empty list admits nobody.
    allowlist BIGINT NOT NULL DEFAULT 0 CHECK (allowlist IN (0, 1)),
    -- Whether the customer wants the burst that the tier has.
    burst BIGINT NOT NULL DEFAULT 1 CHECK (burst IN (0, 1)),
    -- Rates of this customer alone, by an operator; they win over the tier's. All of them or none.
    own_guaranteed_per_s BIGINT CHECK (own_guaranteed_per_s BETWEEN 0 AND 1048575),
    own_burst_per_s BIGINT CHECK (own_burst_per_s BETWEEN 0 AND 1048575),
    own_burst_priority BIGINT CHECK (own_burst_priority BETWEEN 0 AND 255),
    -- Whether the subscription was paid for once; before, every change is free, and nothing is served.
    paid BIGINT NOT NULL DEFAULT 0 CHECK (paid IN (0, 1)),
    -- The tier that it gets when the period ends.
    next_tier TEXT CHECK (next_tier IN ('starter', 'pro', 'enterprise')),
    -- Whether its cancellation has taken effect: it is switched off, and will be gone.
    cancelled BIGINT NOT NULL DEFAULT 0 CHECK (cancelled IN (0, 1)),
    -- When what is pending happens: the next tier, the end of a cancelled service, its removal; of a removed one, from when on it
    -- can be had again.
    pending_until_ms BIGINT,
    -- Counts changes, for `ETag`.
    version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1),
    PRIMARY KEY (customer_id, service),
    CHECK ((state = 'suspended_operator') = (state_before_suspension IS NOT NULL)),
    CHECK ((own_guaranteed_per_s IS NULL) = (own_burst_per_s IS NULL)),
    CHECK ((own_guaranteed_per_s IS NULL) = (own_burst_priority IS NULL))
);

INSERT INTO new_services (
    customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist,
    state_before_billing
) SELECT
    customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist,
    CASE WHEN 'suspended_no_payment' IN (state, state_before_suspension)
        OR 'suspended_spending_limit' IN (state, state_before_suspension) THEN 'enabled' END
FROM services;

CREATE TABLE new_allowlist_entries (
    customer_id BIGINT NOT NULL,
    service TEXT NOT NULL,
    prefix TEXT NOT NULL CHECK (length(prefix) BETWEEN 4 AND 43),
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (customer_id, service, prefix),
    FOREIGN KEY (customer_id, service) REFERENCES new_services (customer_id, service)
);

INSERT INTO new_allowlist_entries (customer_id, service, prefix, created_at_ms)
    SELECT customer_id, service, prefix, created_at_ms FROM allowlist_entries;

DROP TABLE allowlist_entries;
DROP TABLE services;
ALTER TABLE new_services RENAME TO services;
ALTER TABLE new_allowlist_entries RENAME TO allowlist_entries;

-- Which services name a plan.
CREATE INDEX services_by_plan ON services (plan);
-- What is pending, in the order in which it happens.
CREATE INDEX services_pending ON services (pending_until_ms) WHERE pending_until_ms IS NOT NULL;

CREATE TABLE new_api_keys (
    fingerprint BIGINT NOT NULL PRIMARY KEY,
    customer_id BIGINT NOT NULL REFERENCES customers (customer_id),
    service TEXT NOT NULL REFERENCES service_types (service),
    key_group BIGINT NOT NULL CHECK (key_group BETWEEN 0 AND 31),
    derivation BIGINT NOT NULL CHECK (derivation BETWEEN 1 AND 1023),
    version BIGINT NOT NULL CHECK (version IN (0, 1)),
    created_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT,
    -- From which second on a key is refused as expired, unix seconds; set by its owner, or when it is rotated.
    expires_at_s BIGINT CHECK (expires_at_s > 0),
    -- What its owner calls it; empty: nothing.
    name TEXT NOT NULL DEFAULT '' CHECK (length(name) <= 64),
    -- A deleted key takes no place any more, is revoked for ever, and its derivation is not given again.
    deleted_at_ms BIGINT,
    -- The beginning of the last minute in which it was used, unix seconds.
    last_used_at_s BIGINT,
    -- Whether its owner made it, and not an operator: only those count against the limit of an hour.
    by_owner BIGINT NOT NULL DEFAULT 0 CHECK (by_owner IN (0, 1)),
    -- Counts changes, for `ETag`.
    revision BIGINT NOT NULL DEFAULT 1 CHECK (revision >= 1),
    CHECK (deleted_at_ms IS NULL OR revoked_at_ms IS NOT NULL)
);

INSERT INTO new_api_keys (
    fingerprint, customer_id, service, key_group, derivation, version, created_at_ms, revoked_at_ms, expires_at_s
) SELECT fingerprint, customer_id, service, key_group, derivation, version, created_at_ms, revoked_at_ms, expires_at_s
FROM api_keys;

DROP TABLE api_keys;
ALTER TABLE new_api_keys RENAME TO api_keys;
CREATE INDEX api_keys_of_customer ON api_keys (customer_id, service);
