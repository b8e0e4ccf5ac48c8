//! Services and keys of a few customers, changed by several writers at once in any order: what must always hold, holds.
//!
//! `SUIFTLY_TEST_SEED` repeats what each writer wants; in which order the writers come, the database decides.

use crate::harness::{Backend, TestDatabase, on_both_databases};
use apikey::{CustomerId, Fingerprint, Service, Version};
use controlplane::changes::feed;
use controlplane::config::DatabaseConfig;
use controlplane::db::api_keys::ApiKeyRow;
use controlplane::db::{Database, api_keys, revocations, services};
use controlplane::domain::gate::CreditBalance;
use controlplane::domain::keys::{self, KeyName, NewKey};
use controlplane::domain::services::subscriptions::{self, Alteration};
use controlplane::domain::services::{Move, make_move, pending, set_own_rates};
use controlplane::domain::{Rates, Tier, credit, customers, key_life};
use controlplane::edge::mirror::Mirror;
use controlplane::keyring;
use edgeformat::{Keyring, PolicyKey, RevocationKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

on_both_databases! {
    whatever_is_done_at_once_in_any_order_leaves_what_must_always_hold,
}

/// 2026-11-21T09:05:00.123Z.
const NOW_MS: i64 = 1_795_251_900_123;
const CUSTOMERS: u32 = 3;
const WRITERS: u64 = 4;
const OPERATIONS: u64 = 600;
const OPERATIONS_FULL: u64 = 5_000;

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        if list.is_empty() {
            None
        } else {
            Some(list[usize::try_from(self.below(list.len() as u64)).unwrap()])
        }
    }
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn whatever_is_done_at_once_in_any_order_leaves_what_must_always_hold(backend: Backend) {
    let seed = number_from("SUIFTLY_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let is_full = std::env::var("SUIFTLY_TEST_FULL").is_ok_and(|full| full == "1");
    let operations = if is_full { OPERATIONS_FULL } else { OPERATIONS };
    eprintln!("SUIFTLY_TEST_SEED={seed}, {WRITERS} writers of {operations} operations");
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let folder = tempfile::tempdir().unwrap();
    let file =
        controlplane::config::KeyringConfig { file: folder.path().join("keyring.toml"), accept_v0: false };
    let ring = keyring::load_or_make(&file).unwrap();
    let ids: Vec<CustomerId> = (1..=CUSTOMERS)
        .map(|number| {
            let wallet = format!("0x{number:064x}").parse().unwrap();
            customers::create(&mut database, &wallet, NOW_MS).unwrap().customer
        })
        .collect();
    for id in &ids {
        credit::grant(&mut database, *id, 30_000, NOW_MS).unwrap();
    }
    // The first key adopts the keyring's group, which the edges are told beside the changes.
    let first = PolicyKey { customer: ids[0], service: Service::Graphql };
    keys::create(&mut database, &ring, &NewKey::by_operator(first, Version::V1), NOW_MS).unwrap();
    let mut followed = Mirror::from_snapshot(database.read(feed::snapshot).unwrap());
    // Time goes on for all of them, an hour a step: months end in it.
    let hours = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (config, ring, ids, hours) = (&place.config, &ring, &ids, &hours);
            let random = Random(seed.wrapping_mul(WRITERS) + writer);
            scope.spawn(move || write(config, ring, ids, hours, random, operations));
        }
    });
    let now_ms = NOW_MS + hours.load(Ordering::SeqCst).cast_signed() * 3_600_000;
    while pending::let_happen(&mut database, now_ms).unwrap().1 {}
    must_hold(&mut database, &ids, &mut followed);
}

fn write(
    config: &DatabaseConfig,
    ring: &Keyring,
    ids: &[CustomerId],
    hours: &AtomicU64,
    mut random: Random,
    operations: u64,
) {
    let mut database = Database::open_again(config).unwrap();
    let mut done = BTreeMap::<u64, u64>::new();
    for _ in 0..operations {
        let now_ms = NOW_MS + hours.fetch_add(1, Ordering::SeqCst).cast_signed() * 3_600_000;
        let customer = random.one_of(ids).unwrap();
        let service = random.one_of(&[Service::Seal, Service::Grpc]).unwrap();
        let key = PolicyKey { customer, service };
        let what = random.below(16);
        // What a rule refuses has not happened; anything else is a fault.
        *done.entry(what).or_default() +=
            u64::from(step(&mut database, ring, key, what, &mut random, now_ms));
    }
    let never: Vec<u64> = (0..16).filter(|what| done.get(what).is_none_or(|count| *count == 0)).collect();
    eprintln!("each writer did: {done:?}, never: {never:?}");
}

/// Does one of sixteen things; answers whether a rule let it happen.
fn step(
    database: &mut Database,
    ring: &Keyring,
    key: PolicyKey,
    what: u64,
    random: &mut Random,
    now_ms: i64,
) -> bool {
    let tier = random.one_of(Tier::ALL).unwrap();
    let mine: Vec<Fingerprint> = keys::list(database, key.customer, Some(key.service))
        .unwrap()
        .iter()
        .map(|row: &ApiKeyRow| row.fingerprint)
        .collect();
    let fingerprint = random.one_of(&mine);
    let new = |by_owner: bool, expires_at_s| NewKey {
        key,
        version: Version::V1,
        name: KeyName::new("random").unwrap(),
        expires_at_s,
        by_owner,
        replaces_another: false,
    };
    let soon_s = u64::try_from(now_ms / 1_000).unwrap() + 1 + random.below(200_000);
    let alter = |database: &mut Database, wanted: Alteration| {
        database.write(|tx| subscriptions::alter(tx, key, &wanted, &CreditBalance, now_ms)).is_ok()
    };
    match (what, fingerprint) {
        (0, _) => {
            let enabled = random.below(4) > 0;
            let subscribe = |tx: &mut controlplane::db::WriteTx<'_>| {
                subscriptions::subscribe(tx, key, tier, enabled, &CreditBalance, now_ms)
            };
            database.write(subscribe).is_ok()
        }
        (1, _) => alter(database, Alteration { tier: Some(tier), ..Alteration::default() }),
        (2, _) => {
            let enabled = Some(random.below(2) == 0);
            alter(database, Alteration { enabled, ..Alteration::default() })
        }
        (3, _) => {
            let prefixes = (0..random.below(4)).map(|n| format!("10.{n}.0.0/16").parse().unwrap()).collect();
            let burst = Some(random.below(2) == 0);
            alter(
                database,
                Alteration {
                    allowlist: Some(prefixes),
                    allowlist_checked: burst,
                    burst,
                    ..Alteration::default()
                },
            )
        }
        (4, _) if random.below(4) == 0 => database.write(|tx| subscriptions::cancel(tx, key, now_ms)).is_ok(),
        (4, _) => credit::grant(database, key.customer, 20_000, now_ms).is_ok(),
        (5, _) => {
            let moves = [
                Move::Enable(Some(tier)),
                Move::Disable,
                Move::Suspend,
                Move::Resume,
                Move::Resume,
                Move::StopUnpaid,
                Move::StopAtLimit,
                Move::Settle,
                Move::Settle,
            ];
            make_move(database, key, random.one_of(&moves).unwrap(), now_ms).is_ok()
        }
        (6, _) => {
            let own = Rates {
                guaranteed_per_s: u32::try_from(random.below(50)).unwrap(),
                burst_per_s: 5,
                burst_priority: 3,
            };
            set_own_rates(database, key, (random.below(2) == 0).then_some(own), now_ms).is_ok()
        }
        (7, _) => pending::let_happen(database, now_ms).unwrap().0 > 0,
        (8 | 9, _) => keys::create(database, ring, &new(false, None), now_ms).is_ok(),
        (10, _) => keys::create(database, ring, &new(true, Some(soon_s)), now_ms).is_ok(),
        (11, Some(fingerprint)) => {
            key_life::rotate(database, ring, fingerprint, random.below(90_000), now_ms).is_ok()
        }
        (12, Some(fingerprint)) => {
            let at_s = (random.below(3) > 0).then_some(soon_s);
            key_life::expire(database, fingerprint, at_s, now_ms).is_ok()
        }
        (13, Some(fingerprint)) if random.below(3) > 0 => {
            database.write(|tx| key_life::revoke_one_in(tx, fingerprint, now_ms)).is_ok()
        }
        (13, _) => {
            let all = |tx: &mut controlplane::db::WriteTx<'_>| {
                key_life::revoke_all_in(tx, key.customer, Some(key.service), now_ms)
            };
            database.write(all).is_ok()
        }
        (14, Some(fingerprint)) => key_life::re_enable(database, fingerprint, now_ms).is_ok(),
        (15, Some(fingerprint)) => key_life::delete(database, fingerprint, now_ms).is_ok(),
        _ => false,
    }
}

fn must_hold(database: &mut Database, ids: &[CustomerId], followed: &mut Mirror) {
    let mut derivations = BTreeSet::new();
    for id in ids {
        for service in Service::ALL {
            let listed = keys::list(database, *id, Some(service)).unwrap();
            assert!(listed.len() <= 10, "customer {id} has {} keys of {service}", listed.len());
        }
        // Deleted ones included: no derivation twice, and the edge knows of each what its row says.
        for row in all_keys(database, *id) {
            assert!(derivations.insert((row.customer, row.group, row.derivation)), "{row:?} twice");
            let told = database
                .read(|tx| revocations::among(tx, &[row.fingerprint]))
                .unwrap()
                .get(&row.fingerprint)
                .map(|told| (told.kind, told.in_force_from_s));
            let expected = match (row.revoked_at_ms, row.expires_at_s) {
                (Some(_), _) => Some((RevocationKind::Revoked, 0)),
                (None, Some(at_s)) => Some((RevocationKind::Expired, at_s)),
                (None, None) => None,
            };
            assert_eq!(told, expected, "{row:?}");
            assert!(row.deleted_at_ms.is_none() || row.revoked_at_ms.is_some(), "{row:?}");
        }
        let spent = credit::show(database, *id).unwrap();
        assert!(spent.balance_cents >= 0 && spent.entries.iter().all(|entry| entry.balance_cents >= 0));
        let of_customer = database.read(|tx| services::of_customer(tx, *id)).unwrap();
        for row in of_customer {
            let is_served = policy_state(&row, database) == Some("enabled".to_owned());
            let is_paid = row.paid || row.source == controlplane::domain::GrantSource::OperatorGrant;
            assert!(!is_served || is_paid, "served and not paid for: {row:?}");
        }
    }
    // What an edge knows that has followed every change is what one is told that begins now.
    let numbered = |tx: &mut controlplane::db::ReadTx<'_>| {
        let mut changes = Vec::new();
        loop {
            let after = changes.last().map_or(0, |(sequence, _)| *sequence);
            let more = controlplane::db::change_log::after(tx, after, 1_000)?;
            if more.is_empty() {
                return Ok::<_, controlplane::db::DbError>(changes);
            }
            changes.extend(more);
        }
    };
    followed.advance(database.read(numbered).unwrap());
    let snapshot = database.read(feed::snapshot).unwrap();
    let plans: BTreeSet<_> = snapshot.plans.iter().map(|plan| plan.number).collect();
    for policy in &snapshot.policies {
        assert!(plans.contains(&policy.plan), "{policy:?} names a plan that the edges do not know");
    }
    assert_eq!(followed.difference(&Mirror::from_snapshot(snapshot)), None);
}

fn all_keys(database: &mut Database, customer: CustomerId) -> Vec<ApiKeyRow> {
    let listed = keys::list(database, customer, None).unwrap();
    let group = listed.first().map_or(1, |row| row.group.get());
    let group = apikey::Group::new(group).unwrap();
    let every = (1..=1_000).filter_map(apikey::Derivation::new);
    let prints = every.map(|derivation| Fingerprint::of(Version::V1, group, derivation, customer));
    let found = |tx: &mut controlplane::db::ReadTx<'_>| {
        let mut rows = Vec::new();
        for fingerprint in prints {
            let row = api_keys::find(tx, fingerprint)?;
            // Derivations are given in order: after the first that is missing there is none.
            let Some(row) = row else { break };
            rows.push(row);
        }
        Ok::<_, controlplane::db::DbError>(rows)
    };
    let rows = database.read(found).unwrap();
    assert!(rows.len() >= listed.len());
    rows
}

fn policy_state(row: &services::ServiceRow, database: &mut Database) -> Option<String> {
    let status =
        database.read(|tx| controlplane::db::customers::find(tx, row.key.customer)).unwrap().unwrap().status;
    controlplane::domain::policy_of(row, status).map(|policy| policy.state.word().to_owned())
}
