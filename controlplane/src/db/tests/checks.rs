//! What the tables themselves refuse, on both databases.

use crate::databases::{Backend, TestDatabase};
use diesel::prelude::*;

pub(super) fn what_a_check_forbids_is_refused(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let mut run = |statement: &str| diesel::sql_query(statement).execute(&mut database.connection);
    let wallet = format!("0x{}", "a".repeat(64));
    run(&format!("INSERT INTO customers (customer_id, wallet_address, status, created_at_ms) VALUES (7, '{wallet}', 'active', 0)")).unwrap();
    run("INSERT INTO plans (number, guaranteed_per_s, burst_per_s, burst_priority) VALUES (1, 12, 0, 0)")
        .unwrap();
    run("INSERT INTO services (customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist) VALUES (7, 'seal', 'enabled', NULL, 'pro', 1, 'x', 0, 0, 0)").unwrap();
    run("INSERT INTO allowlist_entries VALUES (7, 'seal', '::/0', 0)").unwrap();
    for statement in [
        "INSERT INTO stream (stream_id, sequence) VALUES (5, 0)",
        "UPDATE stream SET sequence = -1",
        "UPDATE stream SET stream_id = 0",
        "INSERT INTO customers (customer_id, wallet_address, status, created_at_ms) VALUES (0, '0x1', 'active', 0)",
        "UPDATE customers SET customer_id = 4294967296",
        "UPDATE customers SET wallet_address = upper(wallet_address)",
        "UPDATE customers SET status = 'gone'",
        "INSERT INTO plans (number, guaranteed_per_s, burst_per_s, burst_priority) VALUES (2, 12, 0, 0)",
        "INSERT INTO plans (number, guaranteed_per_s, burst_per_s, burst_priority) VALUES (1024, 1, 1, 1)",
        "INSERT INTO tiers (tier, valid_from_ms, guaranteed_per_s, burst_per_s, burst_priority) VALUES ('gold', 0, 1, 1, 1)",
        "UPDATE tiers SET allowlist_entries_max = 1001",
        "UPDATE tiers SET allowlist_entries_max = -1",
        "INSERT INTO allowlist_entries VALUES (7, 'grpc', '10.0.0.0/8', 0)",
        "INSERT INTO allowlist_entries VALUES (7, 'seal', '1/1', 0)",
        "INSERT INTO allowlist_entries VALUES (7, 'seal', '::/0', 1)",
        "INSERT INTO services (customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist) VALUES (8, 'seal', 'enabled', NULL, 'pro', 1, 'x', 0, 0, 0)",
        "INSERT INTO services (customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist) VALUES (7, 'graphql', 'enabled', NULL, 'pro', 2, 'x', 0, 0, 0)",
        "INSERT INTO services (customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist) VALUES (7, 'graphql', 'enabled', 'disabled', 'pro', 1, 'x', 0, 0, 0)",
        "INSERT INTO services (customer_id, service, state, state_before_suspension, tier, plan, source, created_at_ms, updated_at_ms, allowlist) VALUES (7, 'graphql', 'suspended_operator', NULL, 'pro', 1, 'x', 0, 0, 0)",
        "INSERT INTO derivation_counters VALUES (7, 1, 1025)",
        "INSERT INTO derivation_counters VALUES (7, 32, 1)",
        "INSERT INTO derivation_counters VALUES (8, 1, 1)",
        "INSERT INTO api_keys (fingerprint, customer_id, service, key_group, derivation, version, created_at_ms, revoked_at_ms, expires_at_s) VALUES (1, 7, 'seal', 1, 0, 1, 0, NULL, NULL)",
        "INSERT INTO api_keys (fingerprint, customer_id, service, key_group, derivation, version, created_at_ms, revoked_at_ms, expires_at_s) VALUES (1, 7, 'seal', 1, 1, 2, 0, NULL, NULL)",
        "INSERT INTO api_keys (fingerprint, customer_id, service, key_group, derivation, version, created_at_ms, revoked_at_ms, expires_at_s) VALUES (1, 8, 'seal', 1, 1, 1, 0, NULL, NULL)",
        "INSERT INTO demo VALUES (2, 1, 0, NULL)",
        "INSERT INTO revocations VALUES (1, -1, 'revoked', 'x', 0)",
        "INSERT INTO revocations VALUES (1, 0, 'lost', 'x', 0)",
        "INSERT INTO key_groups VALUES (32, '0a1b2c3d', 'wanted', 0, NULL, NULL, NULL)",
        "INSERT INTO key_groups VALUES (1, '0a1b2c3', 'wanted', 0, NULL, NULL, NULL)",
        "INSERT INTO key_groups VALUES (1, '0a1b2c3d', 'gone', 0, NULL, NULL, NULL)",
        "INSERT INTO key_groups VALUES (1, '0a1b2c3d', 'wanted', 0, NULL, 1, NULL)",
        "INSERT INTO key_groups VALUES (1, '0a1b2c3d', 'retired', 0, NULL, NULL, NULL)",
        "INSERT INTO key_groups VALUES (1, '0a1b2c3d', 'removed', 0, NULL, 1, NULL)",
        "INSERT INTO request_logs VALUES (0, 'e', 1, '', '', 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, '', '')",
        "INSERT INTO request_logs VALUES (0, 'e', 1, '', '', 7, NULL, NULL, 'x', NULL, 0, 0, 0, 0, 0, 0, 0, '', '')",
        "INSERT INTO request_logs VALUES (0, '', 1, '', '', 7, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, '', '')",
        "INSERT INTO request_stats VALUES (7, '', 0, 0, 61, 0, 0, 0, 0, 0, 0, 0, 0, 0, '')",
        "INSERT INTO request_stats VALUES (0, '', 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, '')",
        "INSERT INTO usage_sums VALUES (7, 60, 0, 'seal', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        "INSERT INTO stats_marks VALUES ('clouds', 0, 0)",
        "INSERT INTO request_cursors VALUES ('', 'x', 1, 1)",
        "INSERT INTO sign_in_challenges VALUES ('x', 'x', 'x', 'x', 0, 0, NULL, NULL, NULL)",
        "INSERT INTO sessions VALUES ('0123456789abcdef0123456789abcdef', 8, 'x', '', 0, 0, 0, NULL, NULL)",
        "INSERT INTO sessions VALUES ('0123456789abcdef0123456789abcdef', 7, 'x', '', 0, 0, 0, 1, NULL)",
        "INSERT INTO sessions VALUES ('0123456789abcdef0123456789abcdef', 7, 'x', '', 0, 0, 0, 1, 'bored')",
        "INSERT INTO activity VALUES (7, 0, 0, 'wallet', '', NULL, NULL, 'x', '{}')",
        "INSERT INTO activity VALUES (7, 1, 0, 'ghost', '', NULL, NULL, 'x', '{}')",
        "INSERT INTO idempotency_keys VALUES (7, '', 'x', 'x', 'x', 201, '{}', 0)",
        "INSERT INTO prices VALUES ('cake', 0, 1)",
        "INSERT INTO prices VALUES ('request', 1, -1)",
        "INSERT INTO service_types VALUES ('seal', 'twice', 1)",
        "INSERT INTO service_types VALUES ('', 'nameless', 1)",
        "UPDATE customers SET spending_limit_cents = 999",
        "UPDATE customers SET derivations_max = 1024",
        "INSERT INTO credit_entries VALUES (7, 1, 0, 'granted', 0, 0, NULL, NULL)",
        "INSERT INTO credit_entries VALUES (7, 1, 0, 'granted', -1, 0, NULL, NULL)",
        "INSERT INTO credit_entries VALUES (7, 1, 0, 'upgrade', 1, 1, NULL, NULL)",
        "INSERT INTO credit_entries VALUES (7, 1, 0, 'upgrade', -1, -1, NULL, NULL)",
        "INSERT INTO credit_entries VALUES (7, 1, 0, 'upgrade', -1, 0, 'mail', NULL)",
        "INSERT INTO credit_entries VALUES (8, 1, 0, 'upgrade', -1, 0, NULL, NULL)",
        "UPDATE services SET service = 'mail'",
        "UPDATE services SET burst = 2",
        "UPDATE services SET own_guaranteed_per_s = 5",
        "UPDATE services SET next_tier = 'gold'",
        "INSERT INTO change_log VALUES (0, 'x', 0)",
        "INSERT INTO change_log VALUES (1, '', 0)",
    ] {
        assert!(matches!(run(statement), Err(diesel::result::Error::DatabaseError(..))), "{statement}");
    }
}
