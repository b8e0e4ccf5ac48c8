//! Backup and restore, between both kinds of database. With a real edge: `tests/edge/restore.rs`.

use crate::harness::{Backend, Stack, TestDatabase, on_both_databases};
use apikey::Fingerprint;
use controlplane::db::{Database, DbError, stream};
use controlplane::domain::offered::{OFFERED_MAX, take_in};
use controlplane::domain::revocations::{RevocableFingerprint, revoke};
use controlplane::domain::{DomainError, RevocationSource};
use edgeformat::Revocation;
use serde_json::json;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

on_both_databases! {
    a_backup_while_others_write_is_one_moment_and_comes_back_on_the_other_kind,
    no_number_is_minted_twice_after_a_restore,
    a_damaged_or_truncated_backup_is_refused_and_changes_nothing,
    a_backup_overwrites_nothing_and_a_restore_throws_nothing_away_unasked,
    what_an_edge_offers_is_taken_in_once_and_only_where_it_is_stronger,
    a_large_offer_is_taken_in,
}

fn other(backend: Backend) -> Backend {
    match backend {
        Backend::Sqlite => Backend::Postgres,
        Backend::Postgres => Backend::Sqlite,
    }
}

fn revocable(bits: u64) -> RevocableFingerprint {
    Fingerprint::from_u64(0x4100_0001_0000_0000 | bits).try_into().unwrap()
}

/// The lines of a backup between two tables' first lines.
fn rows_of<'t>(text: &'t str, table: &str) -> Vec<&'t str> {
    let begin = format!("{{\"table\":\"{table}\"");
    text.lines()
        .skip_while(|line| !line.starts_with(&begin))
        .skip(1)
        .take_while(|line| line.starts_with('['))
        .collect()
}

fn a_backup_while_others_write_is_one_moment_and_comes_back_on_the_other_kind(backend: Backend) {
    let from = Stack::on(backend);
    let customer = from.customer(1);
    from.run(&format!("admin service enable --customer {customer} --service seal --tier pro --no-wait"));
    from.run(&format!("admin key create --customer {customer} --service seal"));
    let before = from.open_database().read(stream::position).unwrap().sequence;
    let done = AtomicBool::new(false);
    let file = from.path("b");
    let file = file.to_str().unwrap();
    let answer = std::thread::scope(|scope| {
        for writer in 0..3_u64 {
            let (from, done) = (&from, &done);
            scope.spawn(move || {
                let mut database = from.open_database();
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let chunk =
                        [revocable(writer << 24 | round << 1), revocable(writer << 24 | round << 1 | 1)];
                    revoke(&mut database, &chunk, RevocationSource::Operator, 7).unwrap();
                }
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let answer = from.run(&format!("backup {file} --json"));
        std::thread::sleep(std::time::Duration::from_millis(50));
        done.store(true, Ordering::Relaxed);
        answer.json_with(0)
    });
    assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o7777, 0o600);
    let text = std::fs::read_to_string(file).unwrap();
    // One moment: each change of a writer is one revocation, and the counter is the last of them.
    let revocations = rows_of(&text, "revocations").len() as u64;
    assert_eq!(answer["sequence"], before + revocations);
    assert_eq!(rows_of(&text, "change_log").len() as u64, before + revocations);
    assert!(revocations > 10 && revocations.is_multiple_of(2), "{revocations}: whole transactions");
    assert!(from.open_database().read(stream::position).unwrap().sequence > before + revocations);
    for secret in
        std::fs::read_to_string(from.path("keyring.toml")).unwrap().split('"').filter(|part| part.len() == 64)
    {
        assert!(!text.contains(secret), "a secret");
    }

    let to = Stack::on(other(backend));
    to.run(&format!("restore {file} --json")).fails(4, "there is no keyring");
    std::fs::copy(from.path("keyring.toml"), to.path("keyring.toml")).unwrap();
    let restored = to.run(&format!("restore {file} --json")).json_with(0);
    assert_ne!(restored["stream"], answer["stream"]);
    assert_eq!((&restored["rows"], &restored["group"]), (&answer["rows"], &json!(2)));
    assert!(restored["sequence"].as_u64() > answer["sequence"].as_u64());
    let again = to.path("again");
    to.run(&format!("backup {} --json", again.display())).json_with(0);
    let again = std::fs::read_to_string(again).unwrap();
    for table in ["customers", "tiers", "plans", "services", "derivation_counters", "api_keys", "revocations"]
    {
        let rows = |text: &str| rows_of(text, table).into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(rows(&text), rows(&again), "{table}");
        assert!(!rows(&text).is_empty(), "{table}");
    }
    // The edges of the new history are never told a change of the old one.
    let snapshot = to.open_database().read(controlplane::changes::feed::snapshot).unwrap();
    let recent: Vec<String> =
        snapshot.recent.iter().map(|(_, change)| change.to_string()[..5].to_owned()).collect();
    assert_eq!(recent, ["+g:2:"]);
    assert_eq!(snapshot.key_groups.len(), 2);
}

fn no_number_is_minted_twice_after_a_restore(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    let create = || stack.run(&format!("admin key create --customer {customer} --service seal --json"));
    let mut texts: Vec<String> = Vec::new();
    let mut keep = |answer: serde_json::Value| texts.push(answer["api_key"].as_str().unwrap().to_owned());
    keep(create().json_with(0));
    let file = stack.path("b");
    stack.run(&format!("backup {}", file.display()));
    keep(create().json_with(0));
    keep(create().json_with(0));
    let restored = stack.run(&format!("restore {} --replace --json", file.display())).json_with(0);
    create().fails(4, "keyring use-group 2");
    // Every edge has confirmed.
    let check = restored["check"].as_str().unwrap().parse().unwrap();
    let group = apikey::Group::new(2).unwrap();
    controlplane::domain::key_groups::confirm(&mut stack.open_database(), group, check, 1).unwrap();
    create().fails(4, "group 1 is retired");
    controlplane::keyring::edit::Editing::begin(&stack.path("keyring.toml"))
        .unwrap()
        .set_default(group)
        .unwrap();
    for _ in 0..3 {
        let answer = create().json_with(0);
        assert_eq!(answer["group"], 2);
        keep(answer);
    }
    assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 6, "a key was made twice");
    // A second restore of the same file takes a third group.
    let again = stack.run(&format!("restore {} --replace --json", file.display())).json_with(0);
    assert_eq!(again["group"], 3);
    assert!(again["sequence"].as_u64() > restored["sequence"].as_u64(), "never below");
    create().fails(4, "keyring use-group 3");
}

fn a_damaged_or_truncated_backup_is_refused_and_changes_nothing(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    stack.run(&format!("admin key create --customer {customer} --service seal"));
    let file = stack.path("b");
    stack.run(&format!("backup {}", file.display()));
    let whole = std::fs::read(&file).unwrap();
    let before = stack.open_database().read(stream::position).unwrap();
    let damaged = stack.path("damaged");
    let refuses = |bytes: &[u8], words: &str| {
        std::fs::write(&damaged, bytes).unwrap();
        let answer = stack.run(&format!("restore {} --replace --json", damaged.display()));
        answer.fails(4, words);
        assert!(answer.stderr.contains("damaged line "), "names file and line: {}", answer.stderr);
    };
    refuses(b"", "breaks off");
    refuses(b"hello\n", "not the first line of a backup");
    for len in [10, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        refuses(&whole[..len], "breaks off");
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    refuses(&lines[..lines.len() - 1].concat(), "breaks off");
    refuses(&[&whole[..], b"x"].concat(), "follows the last line");
    let text = String::from_utf8(whole).unwrap();
    let changed = text.replacen("\"active\"", "\"closed\"", 1);
    assert_ne!(changed, text);
    refuses(changed.as_bytes(), "checksum");
    let row = rows_of(&text, "tiers")[0];
    refuses(text.replacen(&format!("{row}\n"), "", 1).as_bytes(), "checksum");
    refuses(text.replacen(row, "[1]", 1).as_bytes(), "a row of tiers has 11 values, not 1");
    refuses(text.replacen("\"suiftly_backup\":1", "\"suiftly_backup\":2", 1).as_bytes(), "format is 2");
    let newer = text.replacen("\"schema\":\"2026", "\"schema\":\"2999", 1);
    let end = newer.lines().next_back().unwrap().len() + 1;
    let sum = data_encoding::HEXLOWER
        .encode(&<sha2::Sha256 as sha2::Digest>::digest(&newer.as_bytes()[..newer.len() - end]));
    let (head, tail) = newer.split_at(newer.len() - 64 - 4);
    std::fs::write(&damaged, format!("{head}{sum}{}", &tail[64..])).unwrap();
    stack.run(&format!("restore {} --replace --json", damaged.display())).fails(4, "tables of version 2999");
    assert_eq!(stack.open_database().read(stream::position).unwrap(), before);
    assert!(!std::fs::read_to_string(stack.path("keyring.toml")).unwrap().contains("\n2 = "));
}

fn a_backup_overwrites_nothing_and_a_restore_throws_nothing_away_unasked(backend: Backend) {
    let stack = Stack::on(backend);
    stack.customer(1);
    let file = stack.path("b");
    let file = file.display();
    let serve = stack.serve();
    stack.run(&format!("backup {file} --json")).json_with(0);
    stack.run(&format!("backup {file} --json")).fails(4, "--force");
    stack.run(&format!("backup {file} --force --json")).json_with(0);
    let piped = stack.run("backup -");
    assert_eq!(piped.code, 0);
    assert_eq!(
        rows_of(&piped.stdout, "customers"),
        rows_of(&std::fs::read_to_string(stack.path("b")).unwrap(), "customers")
    );
    stack.run(&format!("restore {file} --replace --json")).fails(4, "another `suiftly serve` runs");
    serve.terminate();
    stack.run(&format!("restore {file} --json")).fails(4, "holds 1 customers");
    stack.run(&format!("restore {file} --replace --json")).json_with(0);
    let left = std::fs::read_dir(stack.state())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".new-"));
    assert_eq!(left.count(), 0, "a draft was left behind");
}

fn revocation(text: &str) -> Revocation {
    match format!("+r:{text}").parse().unwrap() {
        edgeformat::Change::SetRevocation(revocation) => revocation,
        other => panic!("{other}"),
    }
}

fn all(database: &mut Database) -> Vec<String> {
    let mut all = database.read(controlplane::db::revocations::all).unwrap();
    all.sort_by_key(|revocation| revocation.fingerprint);
    all.iter().map(ToString::to_string).collect()
}

fn what_an_edge_offers_is_taken_in_once_and_only_where_it_is_stronger(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let known = ["1:0:revoked", "2:500:revoked", "3:500:expired", "4:500:expired"]
        .map(|text| revocation(&format!("410000010000000{text}")));
    database
        .write(|tx| controlplane::db::revocations::insert_many(tx, &known, RevocationSource::Operator, 1))
        .unwrap();
    let offered = [
        "1:0:expired",
        "2:400:expired",
        "3:500:revoked",
        "4:600:revoked",
        "5:0:revoked",
        "6:900:expired",
        "5:9:revoked",
    ]
    .map(|text| revocation(&format!("410000010000000{text}")));
    let impossible = revocation("C100000100000001:0:revoked");
    let offered: Vec<Revocation> = offered.into_iter().chain([impossible]).collect();
    let done = take_in(&mut database, &offered, 1_000_000).unwrap();
    assert_eq!((done.taken, done.offered, done.position.sequence), (4, 8, 4));
    let expected = [
        "4100000100000001 0 revoked",
        "4100000100000002 400 expired",
        "4100000100000003 500 revoked",
        "4100000100000004 500 expired",
        "4100000100000005 0 revoked",
        "4100000100000006 900 expired",
    ];
    assert_eq!(all(&mut database), expected);
    let mut told: Vec<String> = database
        .read(|tx| controlplane::db::change_log::after(tx, 0, 100))
        .unwrap()
        .iter()
        .map(|(_, change)| change.to_string()[15..20].to_owned())
        .collect();
    told.sort();
    assert_eq!(told, ["0002:", "0003:", "0005:", "0006:"]);
    let again = take_in(&mut database, &offered, 2_000_000).unwrap();
    assert_eq!((again.taken, again.position.sequence), (0, 4));
    let page = database.read(|tx| {
        controlplane::db::revocations::page_from(
            tx,
            RevocationSource::OfferedByEdge,
            Some(offered[1].fingerprint),
            2,
        )
    });
    let page: Vec<String> =
        page.unwrap().iter().map(|(revocation, at)| format!("{} {at}", revocation.fingerprint)).collect();
    assert_eq!(page, ["4100000100000003 1000000", "4100000100000005 1000000"]);
    let too_many = vec![offered[0]; OFFERED_MAX + 1];
    assert!(matches!(take_in(&mut database, &too_many, 0), Err(DomainError::Refused(_))));
}

fn a_large_offer_is_taken_in(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let count = std::env::var("SUIFTLY_TEST_OFFERED").map_or(30_000, |count| count.parse().unwrap());
    let offered: Vec<Revocation> = (1..=count)
        .map(|n: u64| revocation(&format!("{:016X}:{}:revoked", 0x4100_0001_0000_0000 + n, n % 3)))
        .collect();
    let start = std::time::Instant::now();
    assert_eq!(take_in(&mut database, &offered, 1).unwrap().taken, count);
    eprintln!("{count} offered revocations on {backend:?}: {:?}", start.elapsed());
    assert_eq!(database.read(stream::position).unwrap().sequence, count);
    let log = database.read(|tx| controlplane::db::change_log::after(tx, count - 3, 10)).unwrap();
    assert_eq!(log.len(), 3);
    let held = database.read(|tx| Ok::<_, DbError>(controlplane::db::revocations::all(tx)?.len())).unwrap();
    assert_eq!(held as u64, count);
}
