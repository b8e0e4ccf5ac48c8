//! What an admitted call carries, there and back.

use crate::caller::{BOTH, Caller};
use crate::edge::{Edge, Transport};
use crate::over_both_transports;
use crate::server::{
    ECHO, FAIL, FAIL_LATE, FAILURE_DETAILS, FAILURE_MESSAGE, LARGE, LARGE_ANSWER_BYTES, PAUSE, REPEAT, SEEN,
    pattern,
};
use serde_json::{Value, json};
use tonic::Code;

over_both_transports!(
    a_unary_call_is_answered_and_carries_an_id,
    the_server_learns_who_calls_and_never_the_key,
    a_stream_arrives_message_by_message,
    what_the_server_says_of_a_failure_arrives_whole,
    a_large_message_passes_up_and_a_larger_one_down_and_neither_is_held_in_memory,
);

/// The edge and a key for its gRPC service.
fn edge_and_key(transport: Transport) -> (Edge, String) {
    let edge = Edge::start(transport);
    let customer = edge.stack.customer(1, "grpc", "pro");
    let (key, _) = edge.stack.key(customer, "grpc");
    (edge, key)
}

fn a_unary_call_is_answered_and_carries_an_id(transport: Transport) {
    let (edge, key) = edge_and_key(transport);
    for client in BOTH {
        for message in [&b"hello"[..], b"", &[0, 0xff]] {
            let outcome = Caller::with_key(client, &edge, &key).unary(ECHO, message);
            assert!(outcome.metadata.contains_key("x-request-id"), "{client:?}: {outcome:?}");
            assert_eq!(outcome.answer(), message, "{client:?}");
        }
        let answers = Caller::with_key(client, &edge, &key).unary_times(20, ECHO, "again");
        assert!(answers.into_iter().all(|outcome| outcome.answer() == "again"), "{client:?}: one connection");
    }
}

fn the_server_learns_who_calls_and_never_the_key(transport: Transport) {
    let edge = Edge::start(transport);
    let customer = edge.stack.customer(1, "grpc", "pro");
    let (key, fingerprint) = edge.stack.key(customer, "grpc");
    for client in BOTH {
        let by_authorization = Caller::with_key(client, &edge, &key);
        let by_api_key = Caller::without_key(client, &edge).sending("x-api-key", &key);
        for caller in [by_authorization, by_api_key] {
            let caller = caller
                .sending("x-suiftly-customer", "999")
                .sending("x-suiftly-anything", "forged")
                .sending("callers-own", "stays");
            let seen: Value = serde_json::from_slice(&caller.unary(SEEN, "").answer()).unwrap();
            assert_eq!(seen["x-suiftly-customer"], json!([customer.to_string()]), "{seen}");
            assert_eq!(seen["x-suiftly-service"], json!(["grpc"]), "{seen}");
            assert_eq!(seen["x-suiftly-key"], json!([fingerprint]), "{seen}");
            assert_eq!(seen["callers-own"], json!(["stays"]), "{seen}");
            for absent in ["authorization", "x-api-key", "x-suiftly-anything"] {
                assert_eq!(seen[absent], Value::Null, "{absent}, {client:?}: {seen}");
            }
            assert!(!seen.to_string().contains(&key), "{client:?}: {seen}");
            // Without it a server may take the caller for one that cannot read trailers.
            assert_eq!(seen["te"], json!(["trailers"]), "{client:?}: {seen}");
        }
    }
}

fn a_stream_arrives_message_by_message(transport: Transport) {
    let (edge, key) = edge_and_key(transport);
    for client in BOTH {
        let outcome = Caller::with_key(client, &edge, &key).stream(REPEAT, vec![4, 5, 6]);
        assert_eq!((outcome.code, outcome.messages.len()), (Code::Ok, 4), "{client:?}: {outcome:?}");
        for (number, message) in (0..).zip(&outcome.messages) {
            assert_eq!(message.bytes, [4, 5, 6][..]);
            // Each came when it was sent, and before the next one was: nothing on the way waited for more.
            let sent_after = PAUSE * number;
            let in_time = sent_after..sent_after + PAUSE * 3 / 4;
            assert!(in_time.contains(&message.arrived_after), "{client:?}, message {number}: {outcome:?}");
        }
    }
}

fn what_the_server_says_of_a_failure_arrives_whole(transport: Transport) {
    let (edge, key) = edge_and_key(transport);
    for client in BOTH {
        let caller = Caller::with_key(client, &edge, &key);
        let at_once = caller.unary(FAIL, "x");
        assert!(at_once.messages.is_empty());
        let late = caller.stream(FAIL_LATE, "x");
        assert_eq!(late.messages.iter().map(|message| &message.bytes[..]).collect::<Vec<_>>(), [b"x", b"x"]);
        for outcome in [at_once, late] {
            outcome.failed_with(Code::FailedPrecondition, FAILURE_MESSAGE);
            assert_eq!(outcome.metadata["failed-step"], b"third", "{client:?}");
            assert_eq!(outcome.metadata["failure-bin"], FAILURE_DETAILS, "{client:?}");
        }
    }
}

fn a_large_message_passes_up_and_a_larger_one_down_and_neither_is_held_in_memory(transport: Transport) {
    const REQUEST_BYTES: usize = 16 * 1024 * 1024;
    /// Buffers, connections and whatever else a first call needs; far below one message.
    const GROWTH_KIB_MAX: u64 = 4 * 1024;
    let (edge, key) = edge_and_key(transport);
    for client in BOTH {
        let caller = Caller::with_key(client, &edge, &key);
        assert_eq!(caller.unary(ECHO, "first").answer(), "first");
        let before = peak_memory_kib(&edge);
        let answer = caller.unary(LARGE, pattern(REQUEST_BYTES)).answer();
        assert!(answer == pattern(LARGE_ANSWER_BYTES), "{client:?}: the answer is not what was sent");
        let growth = peak_memory_kib(&edge) - before;
        assert!(growth < GROWTH_KIB_MAX, "{client:?}: HAProxy grew by {growth} KiB");
    }
}

/// The most memory that HAProxy's worker has had so far.
fn peak_memory_kib(edge: &Edge) -> u64 {
    let [worker] = edge.stack.worker_pids()[..] else { panic!("one worker") };
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
