//! An edge with nothing in its tables, keys for it, and short ways to change and to ask it.
//!
//! Several test binaries include this file, and none uses all of it.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

pub(crate) mod state;

use apikey::{CustomerId, Derivation, Fingerprint, Group, GroupSecret, MacKey, Service, Version, issue};
use data_encoding::BASE32_NOPAD;
use dataplane::authorize::authorize;
use dataplane::clock::Clock;
use dataplane::commands;
use dataplane::edge::Edge;
use dataplane::keyring::PreparedKeyring;
use dataplane::tables::{SharedTables, Tables};
use dataplane::usage::{CountAt, Usage};
use edgeformat::command::Apply;
use edgeformat::status::{Applied, ShowCustomer, Status};
use edgeformat::{Change, Decision, Keyring, Reason, StreamId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::atomic::{AtomicU64, Ordering};

/// The secret of both groups.
pub(crate) const SECRET: [u8; 32] = *b"a secret for tests, of no use...";
/// New keys are issued in it; version 0 is not accepted.
pub(crate) const GROUP: u8 = 1;
/// Version 0 is accepted in it.
pub(crate) const V0_GROUP: u8 = 2;
/// Not in the keyring.
pub(crate) const UNKNOWN_GROUP: u8 = 9;
/// The stream of the tables.
pub(crate) const STREAM: StreamId = StreamId::from_u64(0x9f3c_00aa_51e2_d07b);
/// The second in which a test starts.
pub(crate) const NOW_S: u64 = 1_800_000_000;

pub(crate) fn edge() -> Edge {
    edge_with(Tables { stream: STREAM, ..Tables::empty() })
}

pub(crate) fn edge_with(tables: Tables) -> Edge {
    let usage = Usage::in_memory(0, CountAt::Admission).unwrap();
    let secret = |group| (Group::new(group).unwrap(), GroupSecret::from_bytes(SECRET));
    let keyring = Keyring {
        default_group: Group::new(GROUP).unwrap(),
        accept_v0_groups: vec![Group::new(V0_GROUP).unwrap()],
        groups: vec![secret(GROUP), secret(V0_GROUP)],
    };
    let clock = Clock::Manual(AtomicU64::new(NOW_S));
    Edge::new(PreparedKeyring::new(&keyring), SharedTables::new(tables), usage, clock).unwrap()
}

pub(crate) fn set_clock(edge: &Edge, second: u64) {
    match &edge.clock {
        Clock::Manual(now) => now.store(second, Ordering::Relaxed),
        Clock::System => panic!("a test's clock is set by hand"),
    }
}

/// A version 1 key of [`GROUP`].
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) version: Version,
    pub(crate) service: Service,
    pub(crate) group: u8,
    pub(crate) derivation: u32,
    pub(crate) customer: u32,
}

pub(crate) const fn key(service: Service, derivation: u32, customer: u32) -> Key {
    Key { version: Version::V1, service, group: GROUP, derivation, customer }
}

impl Key {
    fn numbers(self) -> (Group, Derivation, CustomerId) {
        let Self { group, derivation, customer, .. } = self;
        (Group::new(group).unwrap(), Derivation::new(derivation).unwrap(), CustomerId::new(customer).unwrap())
    }

    pub(crate) fn fingerprint(self) -> Fingerprint {
        let (group, derivation, customer) = self.numbers();
        Fingerprint::of(self.version, group, derivation, customer)
    }

    /// The value of the `Authorization` field with this key.
    pub(crate) fn field(self) -> String {
        let (group, derivation, customer) = self.numbers();
        let mac = MacKey::new(&GroupSecret::from_bytes(SECRET));
        let text = issue(self.version, self.service, group, derivation, customer, &mac);
        format!("Bearer {}", text.as_str())
    }
}

/// A credential made by hand, since `apikey` makes none with a fault: a version 1 tag under `secret` over any letter
/// and any payload bytes 0..8, which are the fingerprint.
pub(crate) fn sealed(secret: &[u8; 32], letter: char, fingerprint: u64) -> String {
    let head = fingerprint.to_be_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(&[&[u8::try_from(letter).unwrap()], head.as_slice()].concat());
    let mac = mac.finalize().into_bytes();
    let payload = [head.as_slice(), &mac[..4]].concat();
    format!("Bearer {letter}{}{}", BASE32_NOPAD.encode(&payload), BASE32_NOPAD.encode(&mac[4..6]))
}

/// What the edge says to a credential.
pub(crate) fn judge(edge: &Edge, field: &str) -> Decision {
    authorize(edge, field.as_bytes())
}

pub(crate) fn is_admitted(edge: &Edge, field: &str) -> bool {
    matches!(judge(edge, field), Decision::Admitted { .. })
}

/// A refusal that names this customer, or nobody for 0.
pub(crate) fn refused(reason: Reason, customer: u32) -> Decision {
    Decision::Refused { reason, customer: CustomerId::new(customer) }
}

/// Changes written as in the change log.
pub(crate) fn changes<T: AsRef<str>>(texts: &[T]) -> Vec<Change> {
    texts.iter().map(|text| text.as_ref().parse().unwrap()).collect()
}

/// Applies changes as the next delta, over the command that the agent uses.
pub(crate) fn change<T: AsRef<str>>(edge: &Edge, texts: &[T]) {
    let from = status(edge).sequence;
    let delta = Apply::Delta { stream: STREAM, from, to: from + 1, changes: changes(texts) };
    assert!(matches!(apply(edge, &delta), Applied::Ok { .. }), "{}", delta.text());
}

pub(crate) fn apply(edge: &Edge, command: &Apply) -> Applied {
    apply_text(edge, &command.text())
}

/// The answer to `suiftly apply …`.
pub(crate) fn apply_text(edge: &Edge, words: &str) -> Applied {
    let answer = commands::apply::run(edge, words.split(' '));
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in {answer}"))
}

/// The code of a refusal.
pub(crate) fn refusal_code(answer: &Applied) -> &str {
    match answer {
        Applied::Refused { code, .. } => code,
        Applied::Ok { .. } => panic!("not refused: {answer:?}"),
    }
}

pub(crate) fn status(edge: &Edge) -> Status {
    serde_json::from_str(&commands::status::run(edge, "Lua 5.4")).unwrap()
}

pub(crate) fn show(edge: &Edge, customer: u32) -> ShowCustomer {
    serde_json::from_str(&commands::show::run(edge, [customer.to_string().as_str()].into_iter())).unwrap()
}
