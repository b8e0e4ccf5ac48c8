//! What a refused caller is told: a status of its own protocol, and our word for the reason.

use crate::caller::{BOTH, Caller, Client, Outcome};
use crate::edge::{Edge, Transport};
use crate::over_both_transports;
use crate::server::{ECHO, MESSAGE_BYTES_MAX, REPEAT, pattern};
use edgeformat::Reason;
use harness::http::wait_for;
use std::process::Command;
use std::time::Duration;
use tonic::Code;

over_both_transports!(
    a_key_that_is_not_good_is_refused_with_the_reason,
    a_caller_that_is_still_sending_is_refused_all_the_same,
    over_the_limit_is_resource_exhausted,
    a_request_that_announces_too_much_is_resource_exhausted,
    a_server_that_is_gone_is_unavailable_until_it_is_back,
);

fn refused(outcome: &Outcome, client: Client, code: Code, word: &str) {
    outcome.failed_with(code, word);
    assert!(outcome.messages.is_empty(), "{client:?}: {outcome:?}");
    assert!(outcome.metadata.contains_key("x-request-id"), "{client:?}: {outcome:?}");
    // Not all clients insist on it; those in Go and Java read `grpc-status` only from an answer of this type.
    if let Client::Tonic = client {
        assert_eq!(outcome.metadata["content-type"], b"application/grpc", "{outcome:?}");
    }
}

fn a_key_that_is_not_good_is_refused_with_the_reason(transport: Transport) {
    let edge = Edge::start(transport);
    let customer = edge.stack.customer(1, "grpc", "pro");
    let (revoked, fingerprint) = edge.stack.key(customer, "grpc");
    edge.stack.admin(&format!("key revoke --fingerprint {fingerprint}"));
    let (no_service, _) = edge.stack.key(customer, "seal");
    let suspended_customer = edge.stack.customer(2, "grpc", "pro");
    let (suspended, _) = edge.stack.key(suspended_customer, "grpc");
    edge.stack.admin(&format!("service suspend --customer {suspended_customer} --service grpc"));

    for client in BOTH {
        let keyed = |key: &str| Caller::with_key(client, &edge, key);
        for (caller, code, reason) in [
            (Caller::without_key(client, &edge), Code::Unauthenticated, Reason::MissingKey),
            (keyed("nonsense"), Code::Unauthenticated, Reason::Malformed),
            (keyed(&revoked), Code::Unauthenticated, Reason::Revoked),
            (keyed(&no_service), Code::PermissionDenied, Reason::NoService),
            (keyed(&suspended), Code::PermissionDenied, Reason::SuspendedOperator),
        ] {
            refused(&caller.unary(ECHO, "x"), client, code, reason.code());
            refused(&caller.stream(REPEAT, vec![1]), client, code, reason.code());
        }
    }
}

/// HAProxy answers before the request is whole and resets the stream. Before 3.0.11 it does so with CANCEL instead of
/// NO_ERROR (<https://github.com/haproxy/haproxy/issues/1219>), and gRPC's C core takes that for the answer.
fn a_caller_that_is_still_sending_is_refused_all_the_same(transport: Transport) {
    let edge = Edge::start(transport);
    let version = Command::new("haproxy").arg("-v").output().unwrap().stdout;
    let resets_with_cancel = String::from_utf8_lossy(&version).starts_with("HAProxy version 2.");
    for client in BOTH {
        let outcome = Caller::without_key(client, &edge).unary(ECHO, pattern(16 * 1024 * 1024));
        match client {
            Client::Grpcio if resets_with_cancel && outcome.code == Code::Cancelled => {}
            _ => refused(&outcome, client, Code::Unauthenticated, Reason::MissingKey.code()),
        }
    }
}

fn over_the_limit_is_resource_exhausted(transport: Transport) {
    const GUARANTEED: usize = 12;
    let edge = Edge::start(transport);
    for (wallet, client) in (1..).zip(BOTH) {
        let customer = edge.stack.customer(wallet, "grpc", "starter");
        let (key, _) = edge.stack.key(customer, "grpc");
        let outcomes = Caller::with_key(client, &edge, &key).unary_times(60, ECHO, "x");
        let (admitted, limited): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|outcome| outcome.code == Code::Ok);
        assert!(admitted.len() >= GUARANTEED, "{client:?}: {} were admitted", admitted.len());
        assert!(!limited.is_empty(), "{client:?}: 60 calls at once are more than {GUARANTEED}/s");
        for outcome in &limited {
            refused(outcome, client, Code::ResourceExhausted, Reason::RateLimited.code());
        }
    }
}

/// Only tonic: gRPC's C core announces no length, whatever its caller says.
fn a_request_that_announces_too_much_is_resource_exhausted(transport: Transport) {
    // A message of 16 MiB and the five bytes before it.
    const BODY_BYTES_MAX: usize = 16 * 1024 * 1024 + 5;
    let edge = Edge::start(transport);
    let customer = edge.stack.customer(1, "grpc", "pro");
    let (key, _) = edge.stack.key(customer, "grpc");
    let announce = |body_bytes: usize| {
        let caller = Caller::with_key(Client::Tonic, &edge, &key);
        caller.sending("content-length", &body_bytes.to_string()).unary(ECHO, pattern(body_bytes - 5))
    };
    assert_eq!(announce(BODY_BYTES_MAX).answer().len(), BODY_BYTES_MAX - 5);
    for body_bytes in [BODY_BYTES_MAX + 1, MESSAGE_BYTES_MAX] {
        let outcome = announce(body_bytes);
        refused(&outcome, Client::Tonic, Code::ResourceExhausted, "content_too_large");
    }
}

fn a_server_that_is_gone_is_unavailable_until_it_is_back(transport: Transport) {
    let mut edge = Edge::start(transport);
    let customer = edge.stack.customer(1, "grpc", "pro");
    let (key, _) = edge.stack.key(customer, "grpc");
    let call = |edge: &Edge, client: Client| Caller::with_key(client, edge, &key).unary(ECHO, "x");
    edge.stop_server();
    // Until its health check has noticed, HAProxy tries to connect; 3.2 reports that as 502, the others as 503.
    for client in BOTH {
        let outcome = call(&edge, client);
        let word = if outcome.message == "bad_gateway" { "bad_gateway" } else { Reason::NoBackend.code() };
        refused(&outcome, client, Code::Unavailable, word);
    }
    wait_for("the server seen as down", Duration::from_secs(10), || (!edge.server_is_up()).then_some(()));
    for client in BOTH {
        refused(&call(&edge, client), client, Code::Unavailable, Reason::NoBackend.code());
    }
    edge.start_server();
    wait_for("the server seen as up", Duration::from_secs(10), || edge.server_is_up().then_some(()));
    for client in BOTH {
        assert_eq!(call(&edge, client).answer(), "x", "{client:?}");
    }
}
