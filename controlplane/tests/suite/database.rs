//! Claims about the database, each on a real SQLite file and on a real PostgreSQL.

use crate::harness::{Backend, Stack, TestDatabase, on_both_databases};
use apikey::{CustomerId, Fingerprint, Service, Version};
use controlplane::changes::feed::{self, Feed};
use controlplane::config::{DatabaseConfig, KeyringConfig};
use controlplane::db::Database;
use controlplane::db::stream::{self, Position};
use controlplane::domain::keys::NewKey;
use controlplane::domain::revocations::{RevocableFingerprint, revoke};
use controlplane::domain::services::{Move, make_move};
use controlplane::domain::{DomainError, RevocationSource, Tier, customers, keys};
use controlplane::keyring;
use diesel::{PgConnection, QueryableByName, RunQueryDsl};
use edgeformat::{Keyring, PolicyKey, StreamId};
use std::collections::BTreeSet;
use tempfile::TempDir;

const NOW_MS: i64 = 1_795_000_000_000;

on_both_databases! {
    sequence_numbers_have_no_gap_under_8_writing_threads,
    sequence_numbers_have_no_gap_under_8_writing_processes_on_a_new_database,
    a_write_that_fails_leaves_no_number_behind,
    a_derivation_is_never_given_twice_over_all_services_and_versions,
    a_derivation_whose_key_was_revoked_before_it_was_made_is_left_out,
    all_1000_derivations_used_up_is_a_refusal_that_says_what_to_do,
    of_32_who_make_keys_at_once_10_succeed,
    a_revoked_key_keeps_its_place_and_another_service_has_places_of_its_own,
    a_key_that_we_never_issued_can_be_revoked_and_only_once,
    revoking_an_issued_key_notes_the_time_and_tells_the_edge,
    moves_of_a_service_follow_the_table,
    a_plan_is_told_before_the_policy_that_names_it_and_shared_by_equal_rates,
    a_reader_gets_the_changes_that_it_lacks_and_a_snapshot_from_another_history,
    the_text_of_a_key_is_nowhere_in_the_database,
}

struct Fixture {
    /// Holds the keyring.
    _folder: TempDir,
    place: TestDatabase,
    database: Database,
    keyring: Keyring,
}

impl Fixture {
    fn new(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = TestDatabase::new(backend);
        let database = place.open();
        let config = KeyringConfig { file: folder.path().join("keyring.toml"), accept_v0: true };
        let keyring = keyring::load_or_make(&config).unwrap();
        Self { _folder: folder, place, database, keyring }
    }

    fn config(&self) -> DatabaseConfig {
        self.place.config.clone()
    }

    fn customer(&mut self, number: u32) -> CustomerId {
        let wallet = format!("0x{number:064x}").parse().unwrap();
        customers::create(&mut self.database, &wallet, NOW_MS).unwrap().customer
    }

    fn key(&mut self, customer: CustomerId, service: Service) -> Result<keys::Issued, DomainError> {
        let key = PolicyKey { customer, service };
        keys::create(&mut self.database, &self.keyring, &NewKey::by_operator(key, Version::V1), NOW_MS)
    }

    fn revoke(&mut self, fingerprints: &[Fingerprint]) -> controlplane::domain::revocations::Revoked {
        let fingerprints: Vec<RevocableFingerprint> =
            fingerprints.iter().map(|fingerprint| (*fingerprint).try_into().unwrap()).collect();
        revoke(&mut self.database, &fingerprints, RevocationSource::Operator, NOW_MS).unwrap()
    }

    fn changes(&mut self) -> Vec<(u64, String)> {
        let snapshot = self.database.read(feed::snapshot).unwrap();
        snapshot.recent.iter().map(|(sequence, change)| (*sequence, change.to_string())).collect()
    }

    fn position(&mut self) -> Position {
        self.database.read(stream::position).unwrap()
    }
}

fn enable(config: &DatabaseConfig, customer: CustomerId, service: Service, tier: Tier) {
    let mut database = Database::open_again(config).unwrap();
    let key = PolicyKey { customer, service };
    make_move(&mut database, key, Move::Enable(Some(tier)), NOW_MS).unwrap();
}

fn sequence_numbers_have_no_gap_under_8_writing_threads(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customers: Vec<CustomerId> = (0..8).map(|number| fixture.customer(number)).collect();
    let config = fixture.config();
    std::thread::scope(|scope| {
        for customer in customers {
            let config = &config;
            scope.spawn(move || {
                for round in 0..12 {
                    let tier = [Tier::Starter, Tier::Pro, Tier::Enterprise][round % 3];
                    enable(config, customer, Service::ALL[round % 2], tier);
                }
            });
        }
    });
    let changes = fixture.changes();
    let sequences: Vec<u64> = changes.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u64).collect::<Vec<_>>());
    assert_eq!(fixture.position().sequence, sequences.len() as u64);
    let plans = changes.iter().filter(|(_, change)| change.starts_with("+l:")).count();
    assert_eq!(plans, 3, "a plan was made twice: {changes:?}");
}

fn sequence_numbers_have_no_gap_under_8_writing_processes_on_a_new_database(backend: Backend) {
    let stack = Stack::on(backend);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let stack = &stack;
            scope.spawn(move || {
                // The first command of each also makes the database and its tables.
                let customer = stack.customer(number);
                for service in ["seal", "grpc", "graphql"] {
                    let line = format!(
                        "admin service enable --customer {customer} --service {service} --no-wait --json"
                    );
                    stack.run(&line).json_with(0);
                }
            });
        }
    });
    let mut database = stack.open_database();
    let snapshot = database.read(feed::snapshot).unwrap();
    assert_eq!(snapshot.policies.len(), 24);
    let sequences: Vec<u64> = snapshot.recent.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (1..=25).collect::<Vec<_>>(), "24 policies and one plan");
}

fn a_write_that_fails_leaves_no_number_behind(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    let before = fixture.position();
    let result: Result<(), DomainError> = fixture.database.write(|tx| {
        let change = "+r:4100000112345678:0:revoked".parse().unwrap();
        controlplane::changes::record::record(tx, &change, NOW_MS)?;
        Err(DomainError::NoCustomer(customer))
    });
    assert!(result.is_err());
    assert_eq!(fixture.position(), before);
    assert_eq!(fixture.changes(), []);
}

fn a_derivation_is_never_given_twice_over_all_services_and_versions(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    let mut given = BTreeSet::new();
    for round in 0..10 {
        for service in Service::ALL {
            let key = PolicyKey { customer, service };
            let version = if round % 2 == 0 { Version::V0 } else { Version::V1 };
            let issued = keys::create(
                &mut fixture.database,
                &fixture.keyring,
                &NewKey::by_operator(key, version),
                NOW_MS,
            )
            .unwrap();
            fixture.revoke(&[issued.row.fingerprint]);
            assert!(given.insert(issued.row.derivation.get()), "{} twice", issued.row.derivation);
        }
    }
    assert_eq!(given, (1..=30).collect());
}

fn a_derivation_whose_key_was_revoked_before_it_was_made_is_left_out(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    let group = fixture.keyring.default_group;
    let of = |derivation| {
        Fingerprint::of(Version::V1, group, apikey::Derivation::new(derivation).unwrap(), customer)
    };
    fixture.revoke(&[of(1), of(2), of(4)]);
    let derivations: Vec<u16> =
        (0..3).map(|_| fixture.key(customer, Service::Seal).unwrap().row.derivation.get()).collect();
    assert_eq!(derivations, [3, 5, 6]);
}

fn all_1000_derivations_used_up_is_a_refusal_that_says_what_to_do(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    let group = fixture.keyring.default_group;
    let all: Vec<Fingerprint> = (1..=1_000)
        .map(|derivation| {
            Fingerprint::of(Version::V1, group, apikey::Derivation::new(derivation).unwrap(), customer)
        })
        .collect();
    fixture.revoke(&all[..999]);
    assert_eq!(fixture.key(customer, Service::Seal).unwrap().row.derivation.get(), 1_000);
    let error = fixture.key(customer, Service::Seal).unwrap_err().to_string();
    assert!(error.contains("add a group"), "{error}");
}

fn of_32_who_make_keys_at_once_10_succeed(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    let (config, keyring) = (fixture.config(), &fixture.keyring);
    let made: usize = std::thread::scope(|scope| {
        let create = || {
            let mut database = Database::open_again(&config).unwrap();
            let key = PolicyKey { customer, service: Service::Seal };
            match keys::create(&mut database, keyring, &NewKey::by_operator(key, Version::V1), NOW_MS) {
                Ok(_) => 1,
                Err(DomainError::Refused(_)) => 0,
                Err(error) => panic!("{error}"),
            }
        };
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(made, 10);
    let listed = keys::list(&mut fixture.database, customer, Some(Service::Seal)).unwrap();
    assert_eq!(listed.len(), 10);
}

fn a_revoked_key_keeps_its_place_and_another_service_has_places_of_its_own(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    for _ in 0..10 {
        let issued = fixture.key(customer, Service::Seal).unwrap();
        fixture.revoke(&[issued.row.fingerprint]);
    }
    assert!(matches!(fixture.key(customer, Service::Seal), Err(DomainError::Refused(_))));
    assert!(fixture.key(customer, Service::Grpc).is_ok());
}

fn a_key_that_we_never_issued_can_be_revoked_and_only_once(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let stranger = Fingerprint::from_u64(0x0100_0001_1234_5678);
    let first = fixture.revoke(&[stranger]);
    assert_eq!((first.revoked, first.already, first.unknown), (1, 0, 1));
    let second = fixture.revoke(&[stranger, stranger]);
    assert_eq!((second.revoked, second.already, second.unknown), (0, 2, 2));
    assert_eq!(fixture.changes(), [(1, "+r:0100000112345678:0:revoked".to_owned())]);
    assert!(keys::known(&mut fixture.database, stranger).unwrap().revocation.is_some());
}

fn revoking_an_issued_key_notes_the_time_and_tells_the_edge(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    let fingerprint = fixture.key(customer, Service::Seal).unwrap().row.fingerprint;
    let revoked = fixture.revoke(&[fingerprint]);
    assert_eq!((revoked.revoked, revoked.unknown), (1, 0));
    let listed = keys::list(&mut fixture.database, customer, None).unwrap();
    assert_eq!(listed[0].revoked_at_ms, Some(NOW_MS));
    assert_eq!(fixture.changes(), [(1, format!("+r:{fingerprint}:0:revoked"))]);
}

fn moves_of_a_service_follow_the_table(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let key = PolicyKey { customer: fixture.customer(1), service: Service::Seal };
    let mut make = |wanted| make_move(&mut fixture.database, key, wanted, NOW_MS);
    for wanted in [Move::Disable, Move::Suspend, Move::Resume] {
        assert!(matches!(make(wanted), Err(DomainError::NoService { .. })), "{wanted:?}");
    }
    let steps = [
        (Move::Enable(None), "enabled", true),
        (Move::Enable(None), "enabled", false),
        (Move::Disable, "disabled", true),
        (Move::Disable, "disabled", false),
        (Move::Suspend, "suspended_operator", true),
        (Move::Suspend, "suspended_operator", false),
        (Move::Resume, "disabled", true),
        (Move::Enable(Some(Tier::Pro)), "enabled", true),
        (Move::Suspend, "suspended_operator", true),
        (Move::Resume, "enabled", true),
    ];
    let mut sequence = 0;
    for (step, (wanted, state, changed)) in steps.into_iter().enumerate() {
        let moved = make(wanted).unwrap();
        assert_eq!((moved.service.state.word(), moved.changed), (state, changed), "step {step}");
        assert_eq!(moved.position.sequence > sequence, changed, "step {step} told the edge something else");
        sequence = moved.position.sequence;
    }
    assert!(matches!(make(Move::Resume), Err(DomainError::Refused(text)) if text.contains("is enabled")));
    make(Move::Suspend).unwrap();
    for wanted in [Move::Enable(None), Move::Disable] {
        assert!(matches!(make(wanted), Err(DomainError::Refused(text)) if text.contains("resume it first")));
    }
    assert_eq!(make(Move::Resume).unwrap().service.tier, Tier::Pro);
}

fn a_plan_is_told_before_the_policy_that_names_it_and_shared_by_equal_rates(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let config = fixture.config();
    let (one, other) = (fixture.customer(1), fixture.customer(2));
    enable(&config, one, Service::Seal, Tier::Pro);
    enable(&config, other, Service::Grpc, Tier::Pro);
    enable(&config, one, Service::Seal, Tier::Enterprise);
    let changes: Vec<String> = fixture.changes().into_iter().map(|(_, change)| change).collect();
    let pro = 200_u64 | 500 << 20 | 3 << 40;
    let enterprise = 1_000_u64 | 2_000 << 20 | 2 << 40;
    assert_eq!(
        changes,
        [
            format!("+l:1:{pro}"),
            format!("+p:{one}:seal:enabled:1:-"),
            format!("+p:{other}:grpc:enabled:1:-"),
            format!("+l:2:{enterprise}"),
            format!("+p:{one}:seal:enabled:2:-"),
        ]
    );
}

fn a_reader_gets_the_changes_that_it_lacks_and_a_snapshot_from_another_history(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    enable(&fixture.config(), customer, Service::Seal, Tier::Starter);
    let now = fixture.position();
    let behind = Position { sequence: 1, ..now };
    let feed = fixture.database.read(|tx| feed::after(tx, behind)).unwrap();
    assert!(matches!(feed, Feed::Changes(changes) if changes.len() == 1));
    let feed = fixture.database.read(|tx| feed::after(tx, now)).unwrap();
    assert!(matches!(feed, Feed::Changes(changes) if changes.is_empty()));
    let elsewhere = Position { stream: StreamId::from_u64(now.stream.get() ^ 1), sequence: 1 };
    let feed = fixture.database.read(|tx| feed::after(tx, elsewhere)).unwrap();
    assert!(
        matches!(feed, Feed::Snapshot(snapshot) if snapshot.policies.len() == 1 && snapshot.plans.len() == 1)
    );
}

fn the_text_of_a_key_is_nowhere_in_the_database(backend: Backend) {
    let mut fixture = Fixture::new(backend);
    let customer = fixture.customer(1);
    let issued = fixture.key(customer, Service::Seal).unwrap();
    fixture.revoke(&[issued.row.fingerprint]);
    let text = issued.text.as_str().to_owned();
    let needle = &text.as_bytes()[5..];
    let has_it = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    match fixture.config() {
        DatabaseConfig::Sqlite(file) => {
            for name in [file.clone(), file.with_extension("db-wal")] {
                assert!(!has_it(&std::fs::read(name).unwrap_or_default()));
            }
        }
        DatabaseConfig::Postgres(_) => {
            let rows = every_row(&mut fixture.place.psql());
            assert!(rows.iter().any(|row| row.contains(&issued.row.customer.get().to_string())), "{rows:?}");
            assert!(!rows.iter().any(|row| has_it(row.as_bytes())));
        }
    }
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

/// Every row of every table as PostgreSQL writes it.
fn every_row(connection: &mut PgConnection) -> Vec<String> {
    let mut texts = |query: String| -> Vec<String> {
        diesel::sql_query(query).load(connection).unwrap().into_iter().map(|row: Text| row.text).collect()
    };
    let tables =
        texts("SELECT tablename::text AS text FROM pg_tables WHERE schemaname = 'public'".to_owned());
    tables.iter().flat_map(|table| texts(format!("SELECT t::text AS text FROM {table} t"))).collect()
}
