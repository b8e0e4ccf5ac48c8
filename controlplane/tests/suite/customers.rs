//! Accounts: who changed what, and what a suspension and a closing mean.

use crate::harness::accounts::{Raw, actions, api_token, log, login, session, wallet};
use crate::harness::{Backend, Stack, TestDatabase, on_both_databases};
use apikey::{CustomerId, Derivation, Fingerprint, Group, Service, Version};
use controlplane::changes::feed::{self, Feed};
use controlplane::db::activity::ActivityRow;
use controlplane::db::api_keys::{self, ApiKeyRow};
use controlplane::db::stream::Position;
use controlplane::db::{Database, activity, lock_customer, stream};
use controlplane::domain::activity::{Action, Actor, ActorKind};
use controlplane::domain::revocations::revoke;
use controlplane::domain::{DomainError, RevocationSource, customer_status, customers, offered};
use edgeformat::{Revocation, RevocationKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const NOW_MS: i64 = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;

on_both_databases! {
    every_change_of_an_account_stands_in_its_log_with_the_user_who_made_it,
    what_changes_nothing_is_not_noted,
    a_key_that_an_edge_brings_back_as_revoked_is_noted_as_done_by_the_system,
    thousands_of_keys_are_revoked_at_once_and_each_owner_is_told_of_each,
    a_suspension_is_told_to_the_edge_for_each_service_and_taken_back_exactly,
    a_closed_account_ends_at_once_and_for_ever,
    a_closing_that_is_given_up_has_not_happened,
    status_commands_answer_as_they_promise,
}

fn rows(database: &mut Database, customer: CustomerId) -> Vec<ActivityRow> {
    let mut rows = database.read(|tx| activity::page(tx, customer, i64::MAX, 10_000)).unwrap();
    rows.reverse();
    rows
}

/// What the edges are told after a moment.
fn told(database: &mut Database, since: Position) -> Vec<String> {
    let Feed::Changes(changes) = database.read(|tx| feed::after(tx, since)).unwrap() else {
        panic!("a snapshot")
    };
    changes.iter().map(|(_, change)| change.to_string()).collect()
}

fn position(database: &mut Database) -> Position {
    database.read(stream::position).unwrap()
}

fn every_change_of_an_account_stands_in_its_log_with_the_user_who_made_it(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    let admin = |line: &str| stack.run(&format!("admin {line} --json")).json_with(0);
    let seal = format!("--customer {customer} --service seal");
    admin(&format!("service enable {seal} --tier pro --no-wait"));
    admin(&format!("service enable {seal} --tier enterprise --no-wait"));
    admin(&format!("service allowlist {seal} --set 192.0.2.0/24,198.51.100.7 --on --no-wait"));
    let made = admin(&format!("key create {seal}"));
    let old = made["fingerprint"].as_str().unwrap().to_owned();
    admin(&format!("key expire --fingerprint {old} --at 2100-01-01T00:00:00Z --no-wait"));
    let rotated = admin(&format!("key rotate --fingerprint {old} --overlap 1h --no-wait"));
    let new = rotated["fingerprint"].as_str().unwrap().to_owned();
    admin(&format!("key revoke --fingerprint {new} --no-wait"));
    admin(&format!("key re-enable --fingerprint {new} --no-wait"));
    admin(&format!("customer suspend --id {customer} --no-wait"));
    admin(&format!("customer resume --id {customer} --no-wait"));
    let mut last = stack.command(&format!("admin service disable {seal} --no-wait --json"));
    // What the environment says alone is believed of nobody; what sudo says stands beside who it is.
    last.env("USER", "mallory").env("LOGNAME", "mallory").env("SUDO_USER", "alice");
    assert!(last.output().unwrap().status.success());

    let log = log(&stack, customer);
    let wanted = [
        "customer_created",
        "service_changed",
        "service_changed",
        "allowlist_changed",
        "key_created",
        "key_expiry_changed",
        "key_rotated",
        "key_revoked",
        "key_re_enabled",
        "customer_suspended",
        "customer_resumed",
        "service_changed",
    ];
    assert_eq!(actions(&log), wanted);
    for (item, number) in log.iter().zip(1..) {
        assert_eq!((&item["number"], &item["actor_kind"]), (&json!(number), &json!("command")), "{item}");
        assert_eq!((&item["source"], &item["request_id"]), (&Value::Null, &Value::Null));
        let who = if number == 12 { format!("{} (sudo alice)", login()) } else { login() };
        assert_eq!(item["actor"], who);
    }
    let detail = |place: usize| log[place]["detail"].clone();
    assert_eq!(detail(0), json!({"wallet": wallet(1)}));
    let moved = |from: &str, to: &str, from_tier: Option<&str>, to_tier: &str| {
        let (guaranteed_per_s, burst_per_s) = if to_tier == "pro" { (200, 500) } else { (1_000, 2_000) };
        json!({
            "service": "seal", "from_state": from, "to_state": to, "from_tier": from_tier, "to_tier": to_tier,
            "guaranteed_per_s": guaranteed_per_s, "burst_per_s": burst_per_s,
        })
    };
    assert_eq!(detail(1), moved("not_provisioned", "enabled", None, "pro"));
    assert_eq!(detail(2), moved("enabled", "enabled", Some("pro"), "enterprise"));
    assert_eq!(detail(11), moved("enabled", "disabled", Some("enterprise"), "enterprise"));
    assert_eq!(
        detail(3),
        json!({
            "service": "seal", "checked_before": false, "checked": true, "entries": 2, "added_count": 2,
            "removed_count": 0, "added": ["192.0.2.0/24", "198.51.100.7/32"], "removed": []
        })
    );
    assert_eq!(detail(4), json!({"fingerprint": old, "service": "seal", "name": "", "expires_at": null}));
    assert_eq!(detail(5)["to"], "2100-01-01T00:00:00.000Z");
    assert_eq!(
        detail(6),
        json!({
            "old_fingerprint": old, "new_fingerprint": new, "service": "seal",
            "old_expires_at": rotated["old_expires_at"]
        })
    );
    assert_eq!(detail(7), json!({"fingerprint": new, "service": "seal", "source": "operator"}));
    assert_eq!(detail(8), json!({"fingerprint": new, "service": "seal"}));
    let text = stack.run(&format!("admin customer activity --customer {customer}")).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for secret in [&made["api_key"], &rotated["api_key"]] {
        let secret = secret.as_str().unwrap();
        assert!(!text.contains(secret) && !Value::from(log.clone()).to_string().contains(secret));
    }
}

fn what_changes_nothing_is_not_noted(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    let admin = |line: &str| stack.run(&format!("admin {line} --json"));
    let seal = format!("--customer {customer} --service seal");
    admin(&format!("service enable {seal} --tier pro --no-wait")).json_with(0);
    admin(&format!("service allowlist {seal} --set 192.0.2.0/24 --no-wait")).json_with(0);
    let made = admin(&format!("key create {seal}")).json_with(0);
    let print = made["fingerprint"].as_str().unwrap();
    admin(&format!("key expire --fingerprint {print} --at 2100-01-01T00:00:00Z --no-wait")).json_with(0);
    admin(&format!("key revoke --fingerprint {print} --no-wait")).json_with(0);
    let noted = log(&stack, customer).len();
    assert_eq!(noted, 6);
    stack.customer(1);
    admin(&format!("service enable {seal} --tier pro --no-wait")).json_with(0);
    admin(&format!("service allowlist {seal} --add 192.0.2.0/24 --off --no-wait")).json_with(0);
    admin(&format!("key expire --fingerprint {print} --at 2100-01-01T00:00:00Z --no-wait")).json_with(0);
    admin(&format!("key revoke --fingerprint {print} --no-wait")).json_with(0);
    admin(&format!("customer resume --id {customer} --no-wait")).json_with(0);
    // Refused, so that nothing was changed.
    admin(&format!("key rotate --fingerprint {print} --no-wait")).json_with(4);
    // Nobody's here.
    admin("key revoke --fingerprint 4100000112345678 --no-wait").json_with(0);
    assert_eq!(log(&stack, customer).len(), noted);
}

/// A customer with `keys` keys of the service seal that were issued here.
fn with_keys(database: &mut Database, number: u32, keys: u32) -> (CustomerId, Vec<Fingerprint>) {
    let customer = customers::create(database, &wallet(number).parse().unwrap(), NOW_MS).unwrap().customer;
    let (version, group) = (Version::V1, Group::new(1).unwrap());
    let prints = database
        .write(|tx| {
            let lock = lock_customer(tx, customer)?.unwrap();
            let mut prints = Vec::new();
            for derivation in (1..=keys).filter_map(Derivation::new) {
                let fingerprint = Fingerprint::of(version, group, derivation, customer);
                let row = ApiKeyRow {
                    fingerprint,
                    customer,
                    service: Service::Seal,
                    group,
                    derivation,
                    version,
                    created_at_ms: NOW_MS,
                    revoked_at_ms: None,
                    expires_at_s: None,
                    name: String::new(),
                    deleted_at_ms: None,
                    last_used_at_s: None,
                    by_owner: false,
                    revision: 1,
                };
                api_keys::insert(tx, &lock, &row)?;
                prints.push(fingerprint);
            }
            Ok::<_, DomainError>(prints)
        })
        .unwrap();
    (customer, prints)
}

fn a_key_that_an_edge_brings_back_as_revoked_is_noted_as_done_by_the_system(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let (customer, prints) = with_keys(&mut database, 1, 3);
    let of = |fingerprint, in_force_from_s, kind| Revocation { fingerprint, in_force_from_s, kind };
    let offer = [
        of(prints[0], 0, RevocationKind::Revoked),
        of(prints[1], 4_000_000_000, RevocationKind::Expired),
        of(Fingerprint::from_u64(0x4100_0001_1234_5678), 0, RevocationKind::Revoked),
    ];
    for _ in 0..2 {
        offered::take_in(&mut database, &offer, NOW_MS).unwrap();
    }
    let rows = rows(&mut database, customer);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((rows[1].action, rows[1].actor_kind), (Action::KeyRevoked, ActorKind::System));
    let detail: Value = serde_json::from_str(&rows[1].detail).unwrap();
    assert_eq!(
        detail,
        json!({"fingerprint": prints[0].to_string(), "service": "seal", "source": "offered_by_edge"})
    );
}

fn thousands_of_keys_are_revoked_at_once_and_each_owner_is_told_of_each(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let mut all = BTreeMap::new();
    for number in 1..=120 {
        let (customer, prints) = with_keys(&mut database, number, number % 30);
        all.insert(customer, prints);
    }
    let stranger = Fingerprint::from_u64(0x4100_0001_1234_5678);
    // Mixed as a file has them.
    let mut chunk: Vec<_> = all.values().flatten().copied().chain([stranger]).collect();
    chunk.sort_by_key(|fingerprint| fingerprint.get().rotate_left(40));
    let chunk: Vec<_> = chunk.into_iter().map(|print| print.try_into().unwrap()).collect();
    assert!(chunk.len() > 1_000, "several statements");
    database.act_as(Actor::operator("on-call", Some("2001:db8::1".parse().unwrap())));
    for _ in 0..2 {
        revoke(&mut database, &chunk, RevocationSource::Operator, NOW_MS + 1).unwrap();
    }
    for (customer, prints) in all {
        let rows = rows(&mut database, customer);
        let numbers: Vec<i64> = rows.iter().map(|row| row.number).collect();
        assert_eq!(numbers.len(), prints.len() + 1);
        assert!(numbers.iter().zip(1..).all(|(number, wanted)| *number == wanted), "{numbers:?}");
        let mut named: Vec<String> = Vec::new();
        for row in &rows[1..] {
            assert_eq!(
                (row.action, row.actor_kind, row.at_ms),
                (Action::KeyRevoked, ActorKind::Operator, NOW_MS + 1)
            );
            assert_eq!((row.actor.as_str(), row.source.as_deref()), ("on-call", Some("2001:db8::1")));
            let detail: Value = serde_json::from_str(&row.detail).unwrap();
            named.push(detail["fingerprint"].as_str().unwrap().to_owned());
        }
        named.sort();
        let mut wanted: Vec<String> = prints.iter().map(ToString::to_string).collect();
        wanted.sort();
        assert_eq!(named, wanted);
    }
}

fn a_suspension_is_told_to_the_edge_for_each_service_and_taken_back_exactly(backend: Backend) {
    let stack = Stack::on(backend);
    let (customer, other) = (stack.customer(1), stack.customer(2));
    let admin = |line: &str| stack.run(&format!("admin {line} --no-wait --json")).json_with(0);
    for customer in [customer, other] {
        admin(&format!("service enable --customer {customer} --service seal --tier pro"));
    }
    admin(&format!("service enable --customer {customer} --service grpc --tier starter"));
    admin(&format!("service disable --customer {customer} --service grpc"));
    let mut database = stack.open_database();
    let begin = position(&mut database);
    let before = database.read(feed::snapshot).unwrap();
    let id = CustomerId::new(u32::try_from(customer).unwrap()).unwrap();

    let done = customer_status::suspend(&mut database, id, NOW_MS).unwrap();
    assert!(done.changed);
    let changes = told(&mut database, begin);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.iter().all(|change| change.contains("customer_suspended")), "{changes:?}");
    assert_eq!(done.position, position(&mut database));
    let mirrored = database.read(feed::snapshot).unwrap();
    for policy in &mirrored.policies {
        let is_his = policy.key.customer == id;
        assert_eq!(policy.state.word() == "customer_suspended", is_his, "{policy:?}");
    }
    // Twice is once; a service that is switched on meanwhile stays refused.
    let again = customer_status::suspend(&mut database, id, NOW_MS).unwrap();
    assert_eq!((again.changed, again.position), (false, done.position));
    admin(&format!("service enable --customer {customer} --service grpc"));
    assert_eq!(position(&mut database), done.position, "nothing to tell");

    let done = customer_status::resume(&mut database, id, NOW_MS).unwrap();
    assert!(done.changed);
    let after = database.read(feed::snapshot).unwrap();
    let state_of = |policies: &[edgeformat::Policy], service| {
        let found = policies.iter().find(|policy| policy.key.customer == id && policy.key.service == service);
        found.unwrap().state.word()
    };
    assert_eq!(state_of(&before.policies, Service::Grpc), "disabled");
    assert_eq!(state_of(&after.policies, Service::Grpc), "enabled");
    assert_eq!(state_of(&after.policies, Service::Seal), "enabled");
    assert!(!customer_status::resume(&mut database, id, NOW_MS).unwrap().changed);
    assert_eq!(rows(&mut database, id).last().unwrap().action, Action::CustomerResumed);
}

fn a_closed_account_ends_at_once_and_for_ever(backend: Backend) {
    let stack = Stack::on(backend);
    let (customer, other) = (stack.customer(1), stack.customer(2));
    let admin = |line: &str| stack.run(&format!("admin {line} --json"));
    let seal = format!("--customer {customer} --service seal");
    admin(&format!("service enable {seal} --tier pro --no-wait")).json_with(0);
    let key =
        || admin(&format!("key create {seal}")).json_with(0)["fingerprint"].as_str().unwrap().to_owned();
    let prints = [key(), key(), key()];
    admin(&format!("key revoke --fingerprint {} --no-wait", prints[0])).json_with(0);
    admin(&format!("key expire --fingerprint {} --at 2001-01-01T00:00:00Z --no-wait", prints[1]))
        .json_with(0);
    let raw = Raw::of_stack(&stack, backend);
    let far_ms = NOW_MS + 1_000 * DAY_MS;
    raw.run(&(session(customer, 1, NOW_MS, far_ms, "a") + &session(customer, 2, NOW_MS, far_ms, "a")));
    raw.run(&(session(customer, 3, 0, NOW_MS - 1, "over") + &session(other, 4, NOW_MS, far_ms, "b")));
    raw.run(&(api_token(customer, 1) + &api_token(other, 2)));
    let mut database = stack.open_database();
    let begin = position(&mut database);

    let id = CustomerId::new(u32::try_from(customer).unwrap()).unwrap();
    let done = customer_status::close(&mut database, id, NOW_MS).unwrap();
    assert_eq!(
        (done.changed, done.ended.keys_revoked, done.ended.sessions_ended, done.ended.api_tokens_revoked),
        (true, 2, 2, 1)
    );
    let mut changes = told(&mut database, begin);
    assert!(changes.remove(0).contains("customer_suspended"));
    changes.sort();
    let mut wanted: Vec<String> = prints[1..].iter().map(|print| format!("+r:{print}:0:revoked")).collect();
    wanted.sort();
    assert_eq!(changes, wanted);
    assert_eq!(raw.count("sessions WHERE end_reason = 'account_closed'"), 2);
    assert_eq!(
        raw.count("sessions WHERE ended_at_ms IS NULL"),
        2,
        "one that was over, and the other customer's"
    );
    assert_eq!(raw.count("api_tokens WHERE revoked_at_ms IS NOT NULL AND version = 2"), 1);
    assert_eq!(raw.count("revocations WHERE source = 'account_closed'"), 2);

    let closed = done.position;
    admin(&format!("key re-enable --fingerprint {} --no-wait", prints[0])).fails(4, "for ever");
    // One that was never issued here carries its customer, too.
    let unissued = format!("410003E7{customer:08X}");
    admin(&format!("key revoke --fingerprint {unissued} --no-wait")).json_with(0);
    admin(&format!("key re-enable --fingerprint {unissued} --no-wait")).fails(4, "closed");
    admin(&format!("key rotate --fingerprint {} --no-wait", prints[2])).fails(4, "refused already");
    admin(&format!("key create {seal}")).fails(4, "gets no keys");
    for verb in ["enable", "disable", "suspend", "resume"] {
        admin(&format!("service {verb} {seal} --no-wait")).fails(4, "closed");
    }
    admin(&format!("service enable --customer {customer} --service grpc --no-wait")).fails(4, "closed");
    admin(&format!("service allowlist {seal} --set 192.0.2.1 --no-wait")).fails(4, "closed");
    admin(&format!("customer suspend --id {customer} --no-wait")).fails(4, "stays closed");
    admin(&format!("customer resume --id {customer} --no-wait")).fails(4, "stays closed");
    let again = admin(&format!("customer close --id {customer} --yes --no-wait")).json_with(0);
    assert_eq!((&again["changed"], &again["status"]), (&false.into(), &"closed".into()));
    assert_eq!(position(&mut database).sequence, closed.sequence + 1, "only the unissued one was revoked");
    let snapshot = database.read(feed::snapshot).unwrap();
    assert!(prints.iter().all(|print| {
        snapshot.revocations.iter().any(|one| one.to_string() == format!("{print} 0 revoked"))
    }));

    let last = log(&stack, customer).pop().unwrap();
    assert_eq!((&last["action"], &last["actor_kind"]), (&"customer_closed".into(), &"system".into()));
    assert_eq!(
        last["detail"],
        json!({"from": "active", "keys_revoked": 2, "sessions_ended": 2, "api_tokens_revoked": 1})
    );
    assert_eq!(actions(&log(&stack, other)), ["customer_created"]);
}

fn a_closing_that_is_given_up_has_not_happened(backend: Backend) {
    let place = TestDatabase::new(backend);
    let mut database = place.open();
    let (customer, prints) = with_keys(&mut database, 1, 2);
    let begin = position(&mut database);
    let given_up: Result<(), DomainError> = database.write(|tx| {
        assert!(customer_status::close_in(tx, customer, NOW_MS)?.changed);
        Err(DomainError::Refused("given up".to_owned()))
    });
    assert!(matches!(given_up, Err(DomainError::Refused(_))));
    assert_eq!(position(&mut database), begin);
    assert_eq!(rows(&mut database, customer).len(), 1);
    let keys = database.read(|tx| api_keys::of_customer(tx, customer, None)).unwrap();
    assert!(keys.len() == prints.len() && keys.iter().all(|key| key.revoked_at_ms.is_none()));
}

fn status_commands_answer_as_they_promise(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    // Nobody serves here: saved, not confirmed, and said so.
    let answer = stack.run(&format!("admin customer suspend --customer {customer} --wait-limit 0 --json"));
    let answer = answer.json_with(5);
    assert_eq!((&answer["status"], &answer["applied"]), (&"suspended".into(), &false.into()), "{answer}");
    stack.run("admin customer suspend --id 7 --json").fails(3, "there is no customer 7");
    stack.run(&format!("admin customer close --id {customer} --json")).fails(2, "--yes");
    assert_eq!(actions(&log(&stack, customer)).last(), Some(&"customer_suspended"));
    let closed = stack.run(&format!("admin customer close --id {customer} --yes --no-wait"));
    assert_eq!(closed.code, 0, "{}", closed.stderr);
    assert!(closed.stdout.contains("0 keys revoked for ever"), "{}", closed.stdout);
    assert_eq!(log(&stack, customer).last().unwrap()["detail"]["from"], "suspended");
}
