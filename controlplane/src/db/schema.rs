//! The tables as Diesel sees them, written by hand: print-schema would make 32-bit columns of `BIGINT` on
//! SQLite.

diesel::table! {
    stream (stream_id) {
        stream_id -> BigInt,
        sequence -> BigInt,
    }
}

diesel::table! {
    customers (customer_id) {
        customer_id -> BigInt,
        wallet_address -> Text,
        status -> Text,
        created_at_ms -> BigInt,
        spending_limit_cents -> BigInt,
        derivations_max -> BigInt,
    }
}

diesel::table! {
    service_types (service) {
        service -> Text,
        title -> Text,
        open -> BigInt,
    }
}

diesel::table! {
    prices (item, valid_from_ms) {
        item -> Text,
        valid_from_ms -> BigInt,
        micro_usd -> BigInt,
    }
}

diesel::table! {
    credit_entries (customer_id, number) {
        customer_id -> BigInt,
        number -> BigInt,
        at_ms -> BigInt,
        kind -> Text,
        amount_cents -> BigInt,
        balance_cents -> BigInt,
        service -> Nullable<Text>,
        tier -> Nullable<Text>,
    }
}

diesel::table! {
    tiers (tier, valid_from_ms) {
        tier -> Text,
        valid_from_ms -> BigInt,
        guaranteed_per_s -> BigInt,
        burst_per_s -> BigInt,
        burst_priority -> BigInt,
        allowlist_entries_max -> BigInt,
        subscription_cents -> BigInt,
        api_keys_included -> BigInt,
        api_keys_max -> BigInt,
        seal_keys_included -> BigInt,
        packages_per_seal_key -> BigInt,
    }
}

diesel::table! {
    plans (number) {
        number -> BigInt,
        guaranteed_per_s -> BigInt,
        burst_per_s -> BigInt,
        burst_priority -> BigInt,
        retired_at_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    services (customer_id, service) {
        customer_id -> BigInt,
        service -> Text,
        state -> Text,
        state_before_suspension -> Nullable<Text>,
        state_before_billing -> Nullable<Text>,
        tier -> Text,
        plan -> BigInt,
        source -> Text,
        created_at_ms -> BigInt,
        updated_at_ms -> BigInt,
        allowlist -> BigInt,
        burst -> BigInt,
        own_guaranteed_per_s -> Nullable<BigInt>,
        own_burst_per_s -> Nullable<BigInt>,
        own_burst_priority -> Nullable<BigInt>,
        paid -> BigInt,
        next_tier -> Nullable<Text>,
        cancelled -> BigInt,
        pending_until_ms -> Nullable<BigInt>,
        version -> BigInt,
    }
}

diesel::table! {
    derivation_counters (customer_id, key_group) {
        customer_id -> BigInt,
        key_group -> BigInt,
        next -> BigInt,
    }
}

diesel::table! {
    api_keys (fingerprint) {
        fingerprint -> BigInt,
        customer_id -> BigInt,
        service -> Text,
        key_group -> BigInt,
        derivation -> BigInt,
        version -> BigInt,
        created_at_ms -> BigInt,
        revoked_at_ms -> Nullable<BigInt>,
        expires_at_s -> Nullable<BigInt>,
        name -> Text,
        deleted_at_ms -> Nullable<BigInt>,
        last_used_at_s -> Nullable<BigInt>,
        by_owner -> BigInt,
        revision -> BigInt,
    }
}

diesel::table! {
    revocations (fingerprint) {
        fingerprint -> BigInt,
        in_force_from_s -> BigInt,
        kind -> Text,
        source -> Text,
        created_at_ms -> BigInt,
    }
}

diesel::table! {
    allowlist_entries (customer_id, service, prefix) {
        customer_id -> BigInt,
        service -> Text,
        prefix -> Text,
        created_at_ms -> BigInt,
    }
}

diesel::table! {
    change_log (sequence) {
        sequence -> BigInt,
        change -> Text,
        created_at_ms -> BigInt,
    }
}

diesel::table! {
    operator_tokens (name) {
        name -> Text,
        token_sha256 -> Text,
        created_at_ms -> BigInt,
        expires_at_ms -> BigInt,
        revoked_at_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    key_groups (key_group) {
        key_group -> BigInt,
        check_value -> Text,
        state -> Text,
        added_at_ms -> BigInt,
        confirmed_at_ms -> Nullable<BigInt>,
        retired_at_ms -> Nullable<BigInt>,
        removed_at_ms -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(services, customers);

diesel::table! {
    edges (edge) {
        edge -> Text,
        token_sha256 -> Nullable<Text>,
        created_at_ms -> BigInt,
        removed_at_ms -> Nullable<BigInt>,
        resyncs -> BigInt,
        seen_at_ms -> Nullable<BigInt>,
        report -> Nullable<Text>,
    }
}

diesel::table! {
    ledgers (ledger_id) {
        ledger_id -> BigInt,
        edge -> Text,
        generation -> BigInt,
        created_at_ms -> BigInt,
        counts_from_ms -> BigInt,
        first_heard_at_ms -> BigInt,
        heard_at_ms -> BigInt,
        closed_at_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    usage_cursors (ledger_id, customer_id, service) {
        ledger_id -> BigInt,
        customer_id -> BigInt,
        service -> Text,
        counters -> Text,
        heard_at_ms -> BigInt,
    }
}

diesel::table! {
    usage_records (customer_id, service, window_start_s, window_length_s) {
        customer_id -> BigInt,
        service -> Text,
        window_start_s -> BigInt,
        window_length_s -> BigInt,
        admitted -> BigInt,
        burst -> BigInt,
        rejected -> BigInt,
        refused -> BigInt,
        unserved_guaranteed -> BigInt,
        unserved_burst -> BigInt,
    }
}

diesel::table! {
    usage_reasons (customer_id, service, window_start_s, window_length_s, reason) {
        customer_id -> BigInt,
        service -> Text,
        window_start_s -> BigInt,
        window_length_s -> BigInt,
        reason -> Text,
        count -> BigInt,
    }
}

diesel::table! {
    usage_set_aside (id) {
        id -> BigInt,
        edge -> Text,
        ledger_id -> BigInt,
        customer_id -> BigInt,
        service -> Text,
        window_start_s -> BigInt,
        counters -> Text,
        why -> Text,
        created_at_ms -> BigInt,
        decided_at_ms -> Nullable<BigInt>,
        decision -> Nullable<Text>,
    }
}

diesel::table! {
    leases (name) {
        name -> Text,
        holder -> Text,
        until_ms -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(ledgers, usage_cursors);

diesel::table! {
    request_logs (time_ms, edge, seq) {
        time_ms -> BigInt,
        edge -> Text,
        seq -> BigInt,
        request_id -> Text,
        client -> Text,
        customer_id -> Nullable<BigInt>,
        service -> Nullable<Text>,
        fingerprint -> Nullable<BigInt>,
        class -> Nullable<Text>,
        reason -> Nullable<Text>,
        status -> BigInt,
        received_bytes -> BigInt,
        sent_bytes -> BigInt,
        queue_ms -> BigInt,
        connect_ms -> BigInt,
        response_ms -> BigInt,
        total_ms -> BigInt,
        server -> Text,
        ending -> Text,
    }
}

diesel::table! {
    request_stats (window_length_s, window_start_s, customer_id, service, fingerprint) {
        customer_id -> BigInt,
        service -> Text,
        fingerprint -> BigInt,
        window_start_s -> BigInt,
        window_length_s -> BigInt,
        guaranteed -> BigInt,
        burst -> BigInt,
        rejected -> BigInt,
        refused -> BigInt,
        unserved -> BigInt,
        client_errors -> BigInt,
        server_errors -> BigInt,
        received_bytes -> BigInt,
        sent_bytes -> BigInt,
        sketch -> Text,
    }
}

diesel::table! {
    request_cursors (edge) {
        edge -> Text,
        instance -> Text,
        number -> BigInt,
        next_seq -> BigInt,
    }
}

diesel::table! {
    sign_in_challenges (nonce_sha256) {
        nonce_sha256 -> Text,
        message_sha256 -> Text,
        wallet_address -> Text,
        source -> Text,
        created_at_ms -> BigInt,
        expires_at_ms -> BigInt,
        ended_at_ms -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        failed_source -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (session_id) {
        session_id -> Text,
        customer_id -> BigInt,
        source -> Text,
        user_agent -> Text,
        created_at_ms -> BigInt,
        refreshed_at_ms -> BigInt,
        expires_at_ms -> BigInt,
        ended_at_ms -> Nullable<BigInt>,
        end_reason -> Nullable<Text>,
    }
}

diesel::table! {
    refresh_tokens (token_sha256) {
        token_sha256 -> Text,
        session_id -> Text,
        created_at_ms -> BigInt,
        expires_at_ms -> BigInt,
        replaced_at_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_tokens (token_id) {
        token_id -> Text,
        customer_id -> BigInt,
        name -> Text,
        token_sha256 -> Text,
        scopes -> Text,
        created_at_ms -> BigInt,
        expires_at_ms -> BigInt,
        last_used_at_ms -> Nullable<BigInt>,
        revoked_at_ms -> Nullable<BigInt>,
        version -> BigInt,
    }
}

diesel::table! {
    activity (customer_id, number) {
        customer_id -> BigInt,
        number -> BigInt,
        at_ms -> BigInt,
        actor_kind -> Text,
        actor -> Text,
        source -> Nullable<Text>,
        request_id -> Nullable<Text>,
        action -> Text,
        detail -> Text,
    }
}

diesel::table! {
    idempotency_keys (customer_id, idempotency_key) {
        customer_id -> BigInt,
        idempotency_key -> Text,
        request_sha256 -> Text,
        kind -> Text,
        made -> Text,
        status -> BigInt,
        answer -> Text,
        created_at_ms -> BigInt,
    }
}

diesel::table! {
    stats_marks (source) {
        source -> Text,
        window_start_s -> BigInt,
        customer_id -> BigInt,
    }
}

diesel::table! {
    usage_sums (customer_id, window_length_s, window_start_s, service) {
        customer_id -> BigInt,
        window_length_s -> BigInt,
        window_start_s -> BigInt,
        service -> Text,
        admitted -> BigInt,
        burst -> BigInt,
        rejected -> BigInt,
        refused -> BigInt,
        unserved_guaranteed -> BigInt,
        unserved_burst -> BigInt,
        address_not_allowed -> BigInt,
        rate_limited -> BigInt,
        too_many_failures -> BigInt,
        content_too_large -> BigInt,
        revoked -> BigInt,
        expired -> BigInt,
        no_service -> BigInt,
        disabled -> BigInt,
        suspended_no_payment -> BigInt,
        suspended_spending_limit -> BigInt,
        suspended_operator -> BigInt,
        customer_suspended -> BigInt,
        client_errors -> BigInt,
        server_errors -> BigInt,
        received_bytes -> BigInt,
        sent_bytes -> BigInt,
    }
}

diesel::table! {
    demo (one) {
        one -> BigInt,
        seed -> BigInt,
        begun_at_ms -> BigInt,
        finished_at_ms -> Nullable<BigInt>,
    }
}
