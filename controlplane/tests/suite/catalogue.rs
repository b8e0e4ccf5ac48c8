//! The catalogue: changes with a date, which leave the past as it was, and take effect at their date.

use crate::harness::accounts::Raw;
use crate::harness::{Backend, Stack, TestDatabase, on_both_databases};
use apikey::Service;
use controlplane::changes::feed::{self, Feed};
use controlplane::config::UsageConfig;
use controlplane::db::{Database, services, stream};
use controlplane::domain::catalogue::{
    self, PriceItem, TermsChange, TypeChange, price_at, set_price, set_terms, set_type, terms_at,
    withdraw_price, withdraw_terms,
};
use controlplane::domain::services::{Move, make_move};
use controlplane::domain::{DomainError, Tier, WalletAddress, customers, tier_changes};
use controlplane::jobs;
use edgeformat::PolicyKey;
use serde_json::{Value, json};
use std::time::Duration;

const NOW_MS: i64 = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;
const LATER_MS: i64 = NOW_MS + DAY_MS;

on_both_databases! {
    a_change_of_a_tier_or_price_leaves_the_past_as_it_was,
    new_rates_are_told_to_the_edge_at_their_date_for_services_without_their_own,
    thousands_of_services_are_changed_in_short_transactions_and_whatever_was_cut_off_goes_on,
    a_larger_tier_never_has_less_than_a_smaller_one_at_any_moment,
    what_is_to_come_can_be_replaced_and_withdrawn_and_what_holds_cannot,
    what_is_out_of_bounds_is_refused_and_says_what_would_be_right,
    a_service_type_is_closed_and_renamed,
    the_commands_answer_as_they_promise,
}

fn refused<T: std::fmt::Debug>(result: Result<T, DomainError>, words: &str) {
    match result {
        Err(DomainError::Refused(text)) => assert!(text.contains(words), "{text:?} does not say {words:?}"),
        other => panic!("not refused: {other:?}"),
    }
}

fn cents(database: &mut Database, tier: Tier, at_ms: i64) -> i64 {
    database.read(|tx| terms_at(tx, tier, at_ms)).unwrap().subscription_cents
}

fn to_cents(subscription_cents: i64) -> TermsChange {
    TermsChange { subscription_cents: Some(subscription_cents), ..TermsChange::default() }
}

fn to_guaranteed(guaranteed_per_s: u32) -> TermsChange {
    TermsChange { guaranteed_per_s: Some(guaranteed_per_s), ..TermsChange::default() }
}

fn a_change_of_a_tier_or_price_leaves_the_past_as_it_was(backend: Backend) {
    let place = TestDatabase::new(backend);
    let database = &mut place.open();
    let before = catalogue::all(database).unwrap();
    let set = set_terms(database, Tier::Pro, to_cents(4_500), LATER_MS, NOW_MS).unwrap();
    assert!(set.changed && set.before.subscription_cents == 3_900);
    assert_eq!(set.row.terms.rates, set.before.rates, "what was not named stays");
    set_price(database, PriceItem::Request, 90, NOW_MS, NOW_MS).unwrap();
    assert_eq!(cents(database, Tier::Pro, LATER_MS - 1), 3_900);
    assert_eq!(cents(database, Tier::Pro, LATER_MS), 4_500);
    let price =
        |database: &mut Database, at_ms| database.read(|tx| price_at(tx, PriceItem::Request, at_ms)).unwrap();
    assert_eq!((price(database, NOW_MS - 1), price(database, NOW_MS)), (100, 90));
    // Another change on top, and one that changes nothing.
    set_terms(database, Tier::Pro, to_guaranteed(250), LATER_MS + DAY_MS, LATER_MS).unwrap();
    let same = set_terms(database, Tier::Pro, to_guaranteed(250), LATER_MS + 2 * DAY_MS, LATER_MS).unwrap();
    assert!(!same.changed && same.row.valid_from_ms == LATER_MS + DAY_MS);
    assert_eq!(cents(database, Tier::Pro, LATER_MS + DAY_MS), 4_500);
    let now = catalogue::all(database).unwrap();
    assert!(before.tiers.iter().all(|row| now.tiers.contains(row)), "every row that there was is there");
    assert!(before.prices.iter().all(|row| now.prices.contains(row)));
    assert_eq!((now.tiers.len(), now.prices.len()), (before.tiers.len() + 2, before.prices.len() + 1));
}

/// A customer who has a tier of Seal.
fn with_tier(database: &mut Database, number: u32, tier: Tier) -> PolicyKey {
    let wallet: WalletAddress = format!("0x{number:064x}").parse().unwrap();
    let customer = customers::create(database, &wallet, NOW_MS).unwrap().customer;
    let key = PolicyKey { customer, service: Service::Seal };
    make_move(database, key, Move::Enable(Some(tier)), NOW_MS).unwrap();
    key
}

/// What the edges were told since, as text.
fn told(database: &mut Database, since: stream::Position) -> Vec<String> {
    let Feed::Changes(changes) = database.read(|tx| feed::after(tx, since)).unwrap() else {
        panic!("a snapshot")
    };
    changes.iter().map(|(_, change)| change.to_string()).collect()
}

fn plan_of(database: &mut Database, key: PolicyKey) -> u16 {
    database.read(|tx| services::find(tx, key)).unwrap().unwrap().plan.get()
}

/// The job as `suiftly serve` runs it, until nothing is left.
fn run_the_job(database: &mut Database, now_ms: i64) -> u64 {
    let usage = UsageConfig { minutes_keep_h: 48, hours_keep_d: 90, days_keep_d: 1_100 };
    let every = jobs::all(&usage, Duration::from_secs(3_600));
    let mut job = every.into_iter().find(|job| job.name == "new rates of tiers").unwrap();
    let mut rows = 0;
    loop {
        let done = (job.run)(database, now_ms).unwrap();
        rows += done.rows;
        if !done.more {
            return rows;
        }
    }
}

fn new_rates_are_told_to_the_edge_at_their_date_for_services_without_their_own(backend: Backend) {
    let place = TestDatabase::new(backend);
    let database = &mut place.open();
    let (first, second) = (with_tier(database, 1, Tier::Pro), with_tier(database, 2, Tier::Pro));
    let (own, other) = (with_tier(database, 3, Tier::Pro), with_tier(database, 4, Tier::Starter));
    let id = |key: PolicyKey| key.customer.get();
    Raw::of(&place).run(&format!(
        "UPDATE services SET own_guaranteed_per_s = 5, own_burst_per_s = 0, own_burst_priority = 0 \
         WHERE customer_id = {}",
        id(own)
    ));
    let old = plan_of(database, first);
    set_terms(database, Tier::Pro, to_guaranteed(300), LATER_MS, NOW_MS).unwrap();
    let since = database.read(stream::position).unwrap();
    assert_eq!(run_the_job(database, LATER_MS - 1), 0, "a millisecond before its date nothing happens");
    assert_eq!(told(database, since), [] as [String; 0]);

    assert_eq!(run_the_job(database, LATER_MS), 2);
    let new = plan_of(database, first);
    assert!(new != old && plan_of(database, second) == new);
    assert_eq!((plan_of(database, own), plan_of(database, other) != new), (old, true));
    let changes = told(database, since);
    assert_eq!(changes.len(), 3, "{changes:?}");
    let rates = 300 + (500_u64 << 20) + (3 << 40);
    assert_eq!(changes[0], format!("+l:{new}:{rates}"), "the plan comes before the policies that name it");
    for key in [first, second] {
        assert!(changes[1..].iter().any(|text| text.contains(&id(key).to_string())), "{changes:?}");
    }
    let position = database.read(stream::position).unwrap();
    assert_eq!(run_the_job(database, LATER_MS + DAY_MS), 0, "done is done");
    assert_eq!(database.read(stream::position).unwrap(), position);
}

fn thousands_of_services_are_changed_in_short_transactions_and_whatever_was_cut_off_goes_on(
    backend: Backend,
) {
    let place = TestDatabase::new(backend);
    let database = &mut place.open();
    let sample = with_tier(database, 1, Tier::Pro);
    let plan = plan_of(database, sample);
    // 1,234 more.
    Raw::of(&place).run(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 2233) \
         INSERT INTO customers (customer_id, wallet_address, status, created_at_ms) \
         SELECT i, '0x' || substr('{zeros}', 1, 60) || i, 'active', 0 FROM n; \
         WITH RECURSIVE n (i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 2233) \
         INSERT INTO services (customer_id, service, state, tier, plan, source, created_at_ms, updated_at_ms) \
         SELECT i, 'grpc', 'enabled', 'pro', {plan}, 'operator_grant', 0, 0 FROM n;",
        zeros = "0".repeat(60),
    ));
    set_terms(database, Tier::Pro, to_guaranteed(201), NOW_MS, NOW_MS).unwrap();
    let mut parts = Vec::new();
    while let changed @ 1.. = tier_changes::refresh_some(database, NOW_MS).unwrap() {
        parts.push(changed);
        // As after a kill: another connection goes on where this one was.
        *database = place.open();
    }
    assert_eq!(parts.iter().sum::<u64>(), 1_235);
    assert!(parts.iter().all(|part| *part <= 100), "{parts:?}");
    let left = format!("services WHERE plan = {plan}");
    assert_eq!(Raw::of(&place).count(&left), 0);
}

fn a_larger_tier_never_has_less_than_a_smaller_one_at_any_moment(backend: Backend) {
    let place = TestDatabase::new(backend);
    let database = &mut place.open();
    let before = catalogue::all(database).unwrap();
    let now = NOW_MS;
    refused(set_terms(database, Tier::Pro, to_cents(199), now, now), "larger tier must not have less");
    refused(set_terms(database, Tier::Pro, to_cents(18_501), now, now), "larger tier must not have less");
    refused(
        set_terms(database, Tier::Starter, to_guaranteed(201), now, now),
        "guarantee requests a second: 200",
    );
    assert_eq!(catalogue::all(database).unwrap(), before, "nothing has happened");
    // Good now, but not when what is to come holds.
    set_terms(database, Tier::Enterprise, to_guaranteed(400), LATER_MS, now).unwrap();
    refused(set_terms(database, Tier::Pro, to_guaranteed(500), now, now), "2026-11-19T");
    set_terms(database, Tier::Pro, to_guaranteed(400), now, now).unwrap();
    // And what was made possible by a coming change keeps that from being withdrawn.
    set_terms(database, Tier::Enterprise, to_guaranteed(2_000), LATER_MS + DAY_MS, now).unwrap();
    set_terms(database, Tier::Pro, to_guaranteed(1_500), LATER_MS + DAY_MS, now).unwrap();
    refused(
        withdraw_terms(database, Tier::Enterprise, LATER_MS + DAY_MS, now),
        "larger tier must not have less",
    );
    withdraw_terms(database, Tier::Pro, LATER_MS + DAY_MS, now).unwrap().unwrap();
    withdraw_terms(database, Tier::Enterprise, LATER_MS + DAY_MS, now).unwrap().unwrap();
}

fn what_is_to_come_can_be_replaced_and_withdrawn_and_what_holds_cannot(backend: Backend) {
    let place = TestDatabase::new(backend);
    let database = &mut place.open();
    let now = NOW_MS;
    set_terms(database, Tier::Pro, to_cents(4_500), LATER_MS, now).unwrap();
    // Replaced: what this one does not name is what the replaced one said.
    let replaced = set_terms(database, Tier::Pro, to_guaranteed(220), LATER_MS, now).unwrap();
    assert_eq!(replaced.row.terms.subscription_cents, 4_500);
    assert_eq!(replaced.row.terms.rates.guaranteed_per_s, 220);
    refused(set_terms(database, Tier::Pro, to_cents(4_000), now, now), "has a later change already");
    let last = LATER_MS + DAY_MS;
    set_terms(database, Tier::Pro, to_cents(5_000), last, now).unwrap();
    refused(withdraw_terms(database, Tier::Pro, LATER_MS, now), "has a later change already");
    let withdrawn = withdraw_terms(database, Tier::Pro, last, now).unwrap().unwrap();
    assert_eq!(withdrawn.terms.subscription_cents, 5_000);
    assert_eq!(withdraw_terms(database, Tier::Pro, last, now).unwrap(), None);
    assert_eq!(cents(database, Tier::Pro, last), 4_500);
    // Its time has come.
    refused(withdraw_terms(database, Tier::Pro, LATER_MS, LATER_MS), "stays as it was");
    refused(set_terms(database, Tier::Pro, to_cents(1_000), LATER_MS, LATER_MS), "give it again");
    refused(set_terms(database, Tier::Pro, to_cents(1_000), LATER_MS, LATER_MS + 1), "is past");

    let item = PriceItem::ApiKeyMonth;
    set_price(database, item, 6_000_000, LATER_MS, now).unwrap();
    let replaced = set_price(database, item, 7_000_000, LATER_MS, now).unwrap();
    assert_eq!(replaced.before_micro_usd, 6_000_000);
    let until = set_price(database, item, 5_500_000, now, now).unwrap().until_ms;
    assert_eq!(until, Some(LATER_MS));
    refused(set_price(database, item, 1, now, now), "give it again");
    refused(withdraw_price(database, item, now, now), "stays as it was");
    assert_eq!(withdraw_price(database, item, LATER_MS, now).unwrap().unwrap().micro_usd, 7_000_000);
    assert_eq!(withdraw_price(database, item, LATER_MS, now).unwrap(), None);
}

fn what_is_out_of_bounds_is_refused_and_says_what_would_be_right(backend: Backend) {
    let place = TestDatabase::new(backend);
    let database = &mut place.open();
    let before = catalogue::all(database).unwrap();
    let none = TermsChange::default();
    let cases = [
        (TermsChange { subscription_cents: Some(-1), ..none }, "between 0 and 100000000"),
        (TermsChange { subscription_cents: Some(100_000_001), ..none }, "between 0 and 100000000"),
        (TermsChange { guaranteed_per_s: Some(0), ..none }, "between 1 and 1048575"),
        (TermsChange { guaranteed_per_s: Some(1 << 20), ..none }, "between 1 and 1048575"),
        (TermsChange { burst_per_s: Some(1 << 20), ..none }, "between 0 and 1048575"),
        (TermsChange { burst_priority: Some(0), ..none }, "between 1 and 255"),
        (TermsChange { burst_per_s: Some(0), burst_priority: Some(2), ..none }, "between 0 and 0"),
        (TermsChange { api_keys_included: Some(11), ..none }, "between 0 and 10"),
        (TermsChange { api_keys_max: Some(1_001), ..none }, "between 0 and 1000"),
        (TermsChange { seal_keys_included: Some(1_001), ..none }, "between 0 and 1000"),
        (TermsChange { packages_per_seal_key: Some(1_001), ..none }, "between 0 and 1000"),
        (TermsChange { allowlist_entries_max: Some(1_001), ..none }, "between 0 and 1000"),
    ];
    for (change, words) in cases {
        refused(set_terms(database, Tier::Enterprise, change, NOW_MS, NOW_MS), words);
    }
    refused(set_terms(database, Tier::Pro, to_cents(3_901), NOW_MS - 1, NOW_MS), "is past");
    refused(set_terms(database, Tier::Pro, to_cents(3_901), NOW_MS + 3_661 * DAY_MS, NOW_MS), "ten years");
    refused(set_price(database, PriceItem::Request, -1, NOW_MS, NOW_MS), "between 0 and 1000000000");
    refused(set_price(database, PriceItem::Request, 1_000_000_001, NOW_MS, NOW_MS), "1,000 dollars");
    for title in ["", " x", "a\nb", &"x".repeat(65)] {
        let change = TypeChange { title: Some(title.to_owned()), open: None };
        refused(set_type(database, Service::Seal, &change), "1 to 64 characters");
    }
    assert_eq!(catalogue::all(database).unwrap(), before, "nothing has happened");
    // Burst switched off takes its class with it.
    let off = TermsChange { burst_per_s: Some(0), ..none };
    let set = set_terms(database, Tier::Enterprise, off, NOW_MS, NOW_MS).unwrap();
    assert_eq!(set.row.terms.rates.burst_priority, 0);
}

fn a_service_type_is_closed_and_renamed(backend: Backend) {
    let place = TestDatabase::new(backend);
    let database = &mut place.open();
    let change = TypeChange { open: Some(false), title: Some("GraphQL for Sui".to_owned()) };
    assert!(set_type(database, Service::Graphql, &change).unwrap().changed);
    assert!(!set_type(database, Service::Graphql, &change).unwrap().changed);
    let types = catalogue::all(database).unwrap().service_types;
    let open: Vec<(&str, bool)> = types.iter().map(|of| (of.service.name(), of.is_open)).collect();
    assert_eq!(open, [("graphql", false), ("grpc", true), ("seal", true)]);
    assert_eq!(types[0].title, "GraphQL for Sui");
}

fn the_commands_answer_as_they_promise(backend: Backend) {
    let stack = Stack::on(backend);
    let run = |line: &str| stack.run(&format!("admin catalogue {line} --json"));
    let shown = run("show").json_with(0);
    assert_eq!(shown["tiers"].as_array().unwrap().len(), 3);
    assert_eq!(
        shown["tiers"][1],
        json!({
            "standing": "in_force", "tier": "pro", "valid_from": "1970-01-01T00:00:00.000Z",
            "subscription_cents": 3_900, "guaranteed_per_s": 200, "burst_per_s": 500, "burst_priority": 3,
            "allowlist_entries_max": 20, "api_keys_included": 2, "api_keys_max": 10, "seal_keys_included": 1,
            "packages_per_seal_key": 5
        })
    );
    let from = "2099-02-01T00:00:00Z";
    let too_far = run(&format!("tier --tier pro --guaranteed 250 --from {from}"));
    too_far.fails(4, "ten years");
    let set = run("tier --tier pro --guaranteed 250 --from 30d").json_with(0);
    assert_eq!((&set["changed"], &set["guaranteed_per_s"]), (&json!(true), &json!(250)));
    let moment = set["valid_from"].as_str().unwrap();
    let standing = |shown: &Value| {
        let rows = shown["tiers"].as_array().unwrap().iter().filter(|row| row["tier"] == "pro");
        rows.map(|row| row["standing"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(standing(&run("show").json_with(0)), ["in_force", "coming"]);
    assert_eq!(standing(&run("show --at 31d").json_with(0)), ["in_force"]);
    assert_eq!(standing(&run("show --at 31d --all").json_with(0)), ["past", "in_force"]);
    run("withdraw --item request --from 1d").fails(3, "has no change from");
    assert_eq!(run(&format!("withdraw --tier pro --from {moment}")).json_with(0)["withdrawn"], true);
    run(&format!("withdraw --tier pro --from {moment}")).fails(3, "has no change from");
    let price = run("price --item request --micro-usd 90 --from now").json_with(0);
    assert_eq!((&price["item"], &price["micro_usd"]), (&json!("request"), &json!(90)));
    let closed = run("service-type --service graphql --open false").json_with(0);
    assert_eq!(closed, json!({"changed": true, "service": "graphql", "title": "Sui GraphQL", "open": false}));
    run("tier --tier pro --from now").fails(2, "required");
    run("tier --tier gold --guaranteed 1 --from now").fails(2, "starter, pro, enterprise");
    run("price --item request --micro-usd 90 --from yesterday").fails(2, "is no time");
    run("withdraw --tier pro --item request --from 1d").fails(2, "cannot be used with");
    run("service-type --service seal").fails(2, "required");

    let plain = stack.run("admin catalogue show --all").stdout;
    for words in
        ["Before", "In force at", "PRICE OF", "$0.00009", "the beginning", "Seal key servers", "closed"]
    {
        assert!(plain.contains(words), "no {words:?} in\n{plain}");
    }
    assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
}
