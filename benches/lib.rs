//! Keys and tables that every bench starts from, always the same ones: all random numbers come from [`SEED`].

#![allow(clippy::panic, clippy::unwrap_used, reason = "a bench that cannot be set up stops where it stands")]

use apikey::{
    CustomerId, Derivation, Fingerprint, Group, GroupSecret, KEY_LEN, MacKey, Service, Version, issue,
};
use dataplane::allowlists::Allowlists;
use dataplane::clock::Clock;
use dataplane::edge::Edge;
use dataplane::keyring::PreparedKeyring;
use dataplane::policies::Policies;
use dataplane::revocations::Revocations;
use dataplane::tables::{SharedTables, Tables};
use dataplane::usage::{CountAt, Usage};
use edgeformat::ledger::{Header, LedgerId};
use edgeformat::{Keyring, PlanNumber, Policy, PolicyKey, PolicyState, Revocation, RevocationKind, StreamId};
use sha2::block_api::compress256;
use std::collections::HashSet;

/// Where all random numbers of the benches start.
pub const SEED: u64 = 0x5375_6966_746C_7921;

/// The secret of the only group in the benches' keyring.
pub const SECRET: [u8; 32] = *b"a secret for benches, of no use.";

/// Customers with a policy in [`edge`].
pub const POLICIES: usize = 100_000;

/// Different keys that a rotating bench sends: more than a core's own caches hold.
pub const KEYS: usize = 20_000;

/// How many revocations are loaded: none, a young service, the size that the product promises.
pub const REVOKED: [usize; 3] = [0, 10_000, 1_000_000];

/// Random numbers that repeat (SplitMix64, Steele, Lea and Flood 2014).
pub struct Numbers(u64);

impl Numbers {
    /// Numbers from a seed.
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn customer(&mut self) -> CustomerId {
        loop {
            let [.., a, b, c, d] = self.next_u64().to_be_bytes();
            if let Some(customer) = CustomerId::new(u32::from_be_bytes([a, b, c, d])) {
                return customer;
            }
        }
    }

    fn derivation(&mut self) -> Derivation {
        let index = self.next_u64() % 1000 + 1;
        Derivation::new(u32::try_from(index).unwrap()).unwrap()
    }

    /// The fingerprint of a key as it is issued.
    pub fn fingerprint(&mut self) -> Fingerprint {
        Fingerprint::of(Version::V1, group(), self.derivation(), self.customer())
    }
}

/// The group of all keys here.
pub fn group() -> Group {
    Group::new(1).unwrap()
}

/// The prepared MAC of that group.
pub fn mac() -> MacKey {
    MacKey::new(&GroupSecret::from_bytes(SECRET))
}

/// Distinct fingerprints that no key of [`fields`] has.
pub fn revoked_fingerprints(count: usize) -> Vec<Fingerprint> {
    let mut numbers = Numbers::from_seed(SEED ^ 1);
    let good: HashSet<_> = keys().map(|(derivation, customer)| fingerprint(derivation, customer)).collect();
    let mut seen = HashSet::with_capacity(count);
    while seen.len() < count {
        let fingerprint = numbers.fingerprint();
        if !good.contains(&fingerprint) {
            seen.insert(fingerprint);
        }
    }
    let mut all: Vec<_> = seen.into_iter().collect();
    // A HashSet's order differs from run to run.
    all.sort_unstable();
    all
}

/// A revocation table with these entries, all in force.
pub fn revocations(fingerprints: &[Fingerprint]) -> Revocations {
    let mut table = Revocations::with_room_for(fingerprints.len());
    for fingerprint in fingerprints {
        let kind = RevocationKind::Revoked;
        table.insert(&Revocation { fingerprint: *fingerprint, in_force_from_s: 0, kind }).unwrap();
    }
    table
}

/// The value of an `Authorization` field: `Bearer `, key. Lying in one array, they are read ahead by the processor, as a
/// request's header is in its cache when it is judged.
pub type Field = [u8; FIELD_LEN];
const FIELD_LEN: usize = "Bearer ".len() + KEY_LEN;

/// The value of the `Authorization` field of each good key.
pub fn fields() -> Vec<Field> {
    let mac = mac();
    keys()
        .map(|(derivation, customer)| {
            let key = issue(Version::V1, Service::Seal, group(), derivation, customer, &mac);
            format!("Bearer {}", key.as_str()).into_bytes().try_into().unwrap()
        })
        .collect()
}

/// The fingerprints of these keys, in the same order.
pub fn good_fingerprints() -> Vec<Fingerprint> {
    keys().map(|(derivation, customer)| fingerprint(derivation, customer)).collect()
}

/// A ledger in a file as the agent makes it; the file's name goes at once, its pages stay.
fn usage() -> Usage {
    let path = std::env::temp_dir().join(format!("suiftly-bench-ledger-{}", std::process::id()));
    let id = LedgerId::from_u64(1).unwrap();
    let slots = (POLICIES * 2).next_power_of_two();
    ledger::create(&path, &Header { id, generation: 1, created_at_ms: 0, slots, boot: 0 }).unwrap();
    let usage = Usage::open(&path, CountAt::Admission).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(usage.header().map(|header| header.id), Some(id));
    usage
}

/// An edge with [`POLICIES`] enabled policies and `revoked` revocations, none of them a key of [`fields`].
pub fn edge(revoked: usize) -> Edge {
    let usage = usage();
    let mut policies = Policies::with_room_for(POLICIES);
    for customer in customers() {
        let key = PolicyKey { customer, service: Service::Seal };
        let plan = PlanNumber::new(1).unwrap();
        let policy = Policy { key, state: PolicyState::Enabled, plan, allowlist: false };
        policies.insert(&policy).unwrap();
    }
    let revocations = revocations(&revoked_fingerprints(revoked));
    let allowlists = Allowlists::default();
    let tables = Tables { stream: StreamId::from_u64(1), sequence: 1, policies, revocations, allowlists };
    let keyring = Keyring {
        default_group: group(),
        accept_v0_groups: Vec::new(),
        groups: vec![(group(), GroupSecret::from_bytes(SECRET))],
    };
    Edge::new(PreparedKeyring::new(&keyring), SharedTables::new(tables), usage, Clock::System).unwrap()
}

/// The floor under every check of an HMAC-SHA256 tag: two SHA-256 compressions, the second after the first, done by
/// the same function of `sha2` (which takes the processor's SHA instructions if it has them), and nothing else.
pub fn two_compressions(block: &[u8; 64]) -> [u32; 8] {
    let mut state = [1; 8];
    compress256(&mut state, std::slice::from_ref(block));
    compress256(&mut state, std::slice::from_ref(block));
    state
}

fn fingerprint(derivation: Derivation, customer: CustomerId) -> Fingerprint {
    Fingerprint::of(Version::V1, group(), derivation, customer)
}

/// Scattered over all ids and distinct: MurmurHash3's finaliser maps 32 bits one to one, and only 0 to 0.
fn customers() -> impl Iterator<Item = CustomerId> {
    (1..).take(POLICIES).map(|index: u32| {
        let mut id = index;
        id = (id ^ (id >> 16)).wrapping_mul(0x85EB_CA6B);
        id = (id ^ (id >> 13)).wrapping_mul(0xC2B2_AE35);
        CustomerId::new(id ^ (id >> 16)).unwrap()
    })
}

/// One key of every fifth customer.
fn keys() -> impl Iterator<Item = (Derivation, CustomerId)> {
    let mut numbers = Numbers::from_seed(SEED ^ 2);
    customers().step_by(POLICIES / KEYS).map(move |customer| (numbers.derivation(), customer))
}
