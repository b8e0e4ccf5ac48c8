//! Allowlists from the database to what an edge is told: limits by tier, order of changes, and never more open in between.

use crate::harness::{Backend, Stack, TestDatabase, haproxy_is_there, on_both_databases};
use apikey::{CustomerId, Service};
use controlplane::changes::feed;
use controlplane::db::Database;
use controlplane::domain::allowlists::{Allowlist, ListChange, change, show};
use controlplane::domain::services::{Move, make_move};
use controlplane::domain::{DomainError, Tier, customers};
use controlplane::edge::mirror::Mirror;
use edgeformat::{Change, PolicyKey, Prefix};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::IpAddr;

const NOW_MS: i64 = 1_795_000_000_000;

on_both_databases! {
    a_list_is_set_added_to_and_taken_from_and_what_is_so_already_is_no_change,
    at_no_moment_is_an_edge_more_open_than_before_or_afterwards,
    each_tier_has_its_limit,
    a_tier_that_is_too_small_for_the_list_is_refused,
    a_list_outlives_every_move_of_its_service_and_a_snapshot_has_it,
    of_those_who_add_at_once_none_passes_the_limit,
    the_command_shows_changes_and_refuses_as_it_promises,
}

struct Fixture {
    place: TestDatabase,
    database: Database,
    key: PolicyKey,
}

impl Fixture {
    fn new(backend: Backend, tier: Tier) -> Self {
        let place = TestDatabase::new(backend);
        let mut database = place.open();
        let customer: CustomerId =
            customers::create(&mut database, &format!("0x{:064x}", 1).parse().unwrap(), NOW_MS)
                .unwrap()
                .customer;
        let key = PolicyKey { customer, service: Service::Seal };
        make_move(&mut database, key, Move::Enable(Some(tier)), NOW_MS).unwrap();
        Self { place, database, key }
    }

    fn change(&mut self, list: &ListChange, checked: Option<bool>) -> Result<Allowlist, DomainError> {
        change(&mut self.database, self.key, list, checked, NOW_MS)
    }

    /// The changes after a number, as the edge is told them.
    fn told_after(&mut self, sequence: u64) -> Vec<String> {
        let snapshot = self.database.read(feed::snapshot).unwrap();
        let customer = self.key.customer.to_string();
        let told = snapshot.recent.into_iter().filter(|(number, _)| *number > sequence);
        told.map(|(_, change)| change.to_string().replace(&customer, "N")).collect()
    }

    fn sequence(&mut self) -> u64 {
        show(&mut self.database, self.key, NOW_MS).unwrap().position.sequence
    }
}

fn prefixes(texts: &[&str]) -> BTreeSet<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn many(count: u32) -> BTreeSet<Prefix> {
    (0..count).map(|n| format!("10.0.{}.{}", n / 256, n % 256).parse().unwrap()).collect()
}

fn refusal(result: Result<Allowlist, DomainError>) -> String {
    match result {
        Err(DomainError::Refused(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

fn a_list_is_set_added_to_and_taken_from_and_what_is_so_already_is_no_change(backend: Backend) {
    let mut fixture = Fixture::new(backend, Tier::Pro);
    let mut sequence = fixture.sequence();
    let steps = [
        (
            ListChange::Set(prefixes(&["10.0.0.0/8", "::ffff:192.0.2.7"])),
            None,
            vec!["+a:N:seal:10.0.0.0/8", "+a:N:seal:192.0.2.7/32"],
        ),
        (ListChange::Keep, Some(true), vec!["+p:N:seal:enabled:1:allowlist"]),
        (ListChange::Set(prefixes(&["10.0.0.0/8", "192.0.2.7"])), Some(true), vec![]),
        (ListChange::Add(prefixes(&["10.0.0.0/8", "2001:db8::/32"])), None, vec!["+a:N:seal:2001:db8::/32"]),
        (ListChange::Remove(prefixes(&["10.0.0.0/8"])), None, vec!["-a:N:seal:10.0.0.0/8"]),
        (
            ListChange::Set(prefixes(&["::1"])),
            None,
            vec!["+a:N:seal:::1/128", "-a:N:seal:192.0.2.7/32", "-a:N:seal:2001:db8::/32"],
        ),
        (
            ListChange::Remove(prefixes(&["::1"])),
            Some(false),
            vec!["+p:N:seal:enabled:1:-", "-a:N:seal:::1/128"],
        ),
        (ListChange::Keep, Some(false), vec![]),
        (
            ListChange::Set(prefixes(&["::1"])),
            Some(true),
            vec!["+a:N:seal:::1/128", "+p:N:seal:enabled:1:allowlist"],
        ),
    ];
    for (step, (list, checked, told)) in steps.into_iter().enumerate() {
        let after = fixture.change(&list, checked).unwrap();
        assert_eq!(after.changed, !told.is_empty(), "step {step}");
        assert_eq!(fixture.told_after(sequence), told, "step {step}");
        sequence = after.position.sequence;
        assert_eq!(sequence, fixture.sequence(), "step {step}");
    }
    let text = refusal(fixture.change(&ListChange::Remove(prefixes(&["10.0.0.0/8"])), None));
    assert!(text.contains("10.0.0.0/8 is not on the list"), "{text}");
    let grpc = PolicyKey { service: Service::Grpc, ..fixture.key };
    let none = change(&mut fixture.database, grpc, &ListChange::Keep, Some(true), NOW_MS);
    assert!(matches!(none, Err(DomainError::NoService { .. })), "{none:?}");
}

/// Whether an edge with these tables would serve a caller from this address.
fn serves(mirror: &Mirror, key: PolicyKey, address: IpAddr) -> bool {
    let asked = mirror.policies().get(&key).is_some_and(|policy| policy.allowlist);
    !asked || mirror.allowlists().iter().any(|entry| entry.key == key && entry.prefix.contains(address))
}

fn at_no_moment_is_an_edge_more_open_than_before_or_afterwards(backend: Backend) {
    let mut fixture = Fixture::new(backend, Tier::Pro);
    let key = fixture.key;
    let addresses: Vec<IpAddr> =
        ["10.0.0.1", "192.0.2.7", "198.51.100.1", "2001:db8::1"].map(|a| a.parse().unwrap()).to_vec();
    for (list, checked) in [
        (ListChange::Set(prefixes(&["10.0.0.0/8", "192.0.2.7"])), Some(true)),
        (ListChange::Set(prefixes(&["2001:db8::/32", "192.0.2.0/24"])), None),
        (ListChange::Add(prefixes(&["198.51.100.1"])), None),
        (ListChange::Remove(prefixes(&["192.0.2.0/24"])), Some(true)),
        (ListChange::Set(prefixes(&["10.0.0.1"])), Some(false)),
        (ListChange::Set(prefixes(&["2001:db8::1"])), Some(true)),
    ] {
        let mut edge = Mirror::from_snapshot(fixture.database.read(feed::snapshot).unwrap());
        let open = |edge: &Mirror| addresses.iter().map(|a| serves(edge, key, *a)).collect::<Vec<bool>>();
        let before = open(&edge);
        let known = edge.position();
        fixture.change(&list, checked).unwrap();
        let feed::Feed::Changes(changes) = fixture.database.read(|tx| feed::after(tx, known)).unwrap() else {
            panic!("a snapshot")
        };
        let mut moments = Vec::new();
        for change in changes {
            edge.advance(vec![change]);
            moments.push(open(&edge));
        }
        let after = moments.last().unwrap().clone();
        for moment in &moments {
            for (place, is_open) in moment.iter().enumerate() {
                let address = addresses[place];
                assert!(!is_open || before[place] || after[place], "{list:?}: {address} is open in between");
                // And who was served before and is afterwards is served all the time.
                assert!(
                    *is_open || !before[place] || !after[place],
                    "{list:?}: {address} is closed in between"
                );
            }
        }
    }
}

fn each_tier_has_its_limit(backend: Backend) {
    for (tier, most) in [(Tier::Starter, 0), (Tier::Pro, 20), (Tier::Enterprise, 100)] {
        let mut fixture = Fixture::new(backend, tier);
        let text = refusal(fixture.change(&ListChange::Set(many(most + 1)), None));
        let expected = if most == 0 { "has no allowlist" } else { "these would be" };
        assert!(text.contains(expected) && text.contains(tier.word()), "{text}");
        assert_eq!(show(&mut fixture.database, fixture.key, NOW_MS).unwrap().entries_max, most);
        if most == 0 {
            assert!(refusal(fixture.change(&ListChange::Keep, Some(true))).contains("has no allowlist"));
            assert!(!fixture.change(&ListChange::Keep, Some(false)).unwrap().changed);
            continue;
        }
        assert_eq!(
            fixture.change(&ListChange::Set(many(most)), Some(true)).unwrap().prefixes.len(),
            most as usize
        );
        let sequence = fixture.sequence();
        assert!(
            refusal(fixture.change(&ListChange::Add(prefixes(&["::1"])), None)).contains("these would be")
        );
        assert_eq!(fixture.sequence(), sequence, "a refusal told the edge something");
        // Another list of the same size is none too many.
        fixture
            .change(&ListChange::Set((0..most).map(|n| format!("::{n:x}").parse().unwrap()).collect()), None)
            .unwrap();
    }
}

fn a_tier_that_is_too_small_for_the_list_is_refused(backend: Backend) {
    let mut fixture = Fixture::new(backend, Tier::Enterprise);
    let key = fixture.key;
    fixture.change(&ListChange::Set(many(21)), Some(true)).unwrap();
    fn enable(fixture: &mut Fixture, key: PolicyKey, tier: Tier) -> Result<(), String> {
        let moved = make_move(&mut fixture.database, key, Move::Enable(Some(tier)), NOW_MS);
        moved.map(drop).map_err(|error| error.to_string())
    }
    let text = enable(&mut fixture, key, Tier::Pro).unwrap_err();
    assert!(text.contains("has 21 entries and is checked, the tier pro allows 20"), "{text}");
    let last = many(21).pop_last().unwrap();
    fixture.change(&ListChange::Remove(BTreeSet::from([last])), None).unwrap();
    enable(&mut fixture, key, Tier::Pro).unwrap();
    // Checked with an empty list is closed; starter would have to open it.
    fixture.change(&ListChange::Remove(many(20)), None).unwrap();
    assert!(enable(&mut fixture, key, Tier::Starter).unwrap_err().contains("the tier starter allows none"));
    fixture.change(&ListChange::Keep, Some(false)).unwrap();
    enable(&mut fixture, key, Tier::Starter).unwrap();
}

fn a_list_outlives_every_move_of_its_service_and_a_snapshot_has_it(backend: Backend) {
    let mut fixture = Fixture::new(backend, Tier::Pro);
    let key = fixture.key;
    fixture.change(&ListChange::Set(prefixes(&["10.0.0.0/8", "::/0"])), Some(true)).unwrap();
    for wanted in
        [Move::Suspend, Move::Resume, Move::Disable, Move::Enable(Some(Tier::Enterprise)), Move::Enable(None)]
    {
        make_move(&mut fixture.database, key, wanted, NOW_MS).unwrap();
        let list = show(&mut fixture.database, key, NOW_MS).unwrap();
        assert!(list.checked && list.prefixes.len() == 2, "{wanted:?}: {list:?}");
    }
    let now = show(&mut fixture.database, key, NOW_MS).unwrap().position;
    let begun = controlplane::db::stream::Position { sequence: 0, ..now };
    let mut followed = Mirror::from_snapshot(feed::Snapshot::empty(begun));
    let snapshot = fixture.database.read(feed::snapshot).unwrap();
    followed.advance(snapshot.recent.clone());
    let snapshot = Mirror::from_snapshot(snapshot);
    assert_eq!(followed.difference(&snapshot), None);
    assert!(followed.policies()[&key].allowlist);
    assert_eq!(
        (followed.allowlists().len(), followed.allowlists_digest()),
        (2, snapshot.allowlists_digest())
    );
}

fn of_those_who_add_at_once_none_passes_the_limit(backend: Backend) {
    let mut fixture = Fixture::new(backend, Tier::Pro);
    let (key, config) = (fixture.key, fixture.place.config.clone());
    let added: usize = std::thread::scope(|scope| {
        let add = |n: u32| {
            let config = config.clone();
            scope.spawn(move || {
                let mut database = Database::open_again(&config).unwrap();
                let one = ListChange::Add(prefixes(&[&format!("192.0.2.{n}")]));
                usize::from(change(&mut database, key, &one, None, NOW_MS).is_ok())
            })
        };
        let threads: Vec<_> = (0..30).map(add).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(added, 20);
    assert_eq!(show(&mut fixture.database, key, NOW_MS).unwrap().prefixes.len(), 20);
}

fn the_command_shows_changes_and_refuses_as_it_promises(backend: Backend) {
    let stack = Stack::on(backend);
    let customer = stack.customer(1);
    let command = |rest: &str| {
        stack.run(&format!("admin service allowlist --customer {customer} --service seal --json {rest}"))
    };
    assert_eq!(command("").code, 3, "no such service");
    let line =
        format!("admin service enable --customer {customer} --service seal --tier pro --no-wait --json");
    stack.run(&line).json_with(0);
    assert_eq!(
        command("").json_with(0),
        json!({"customer_id": customer, "service": "seal", "checked": false, "entries": [], "tier": "pro", "entries_max": 20})
    );
    let answer = command("--set 192.0.2.0/24,2001:DB8::1 --no-wait");
    let json = answer.json_with(0);
    assert_eq!(json["entries"], json!(["192.0.2.0/24", "2001:db8::1/128"]));
    assert_eq!(
        (&json["checked"], &json["sequence"], &json["applied"]),
        (&json!(false), &json!(4), &json!(false))
    );
    assert!(answer.stderr.contains("every address is served"), "{}", answer.stderr);
    // Without an edge it is saved and not confirmed.
    let json = command("--on").json_with(5);
    assert_eq!((&json["checked"], &json["sequence"]), (&json!(true), &json!(5)));
    for (rest, code, expected) in [
        ("--add 192.0.2.7/24", 2, "the block is 192.0.2.0/24, this address alone 192.0.2.7/32"),
        ("--add 10.0.0.0/8,nonsense", 2, "`nonsense` is no address"),
        ("--add 10.0.0.0/40", 2, "beyond 32"),
        ("--set 10.0.0.0/8 --add ::1", 2, "cannot be used with"),
        ("--on --off", 2, "cannot be used with"),
        ("--remove 10.0.0.0/8", 4, "10.0.0.0/8 is not on the list"),
    ] {
        let answer = command(rest);
        assert_eq!(answer.code, code, "{rest}: {}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{rest}: {}", answer.stderr);
    }
    let answer = command("--remove 192.0.2.0/24,2001:db8::1 --no-wait");
    assert_eq!(answer.json_with(0)["entries"], json!([]));
    assert!(answer.stderr.contains("every request is refused"), "{}", answer.stderr);
    assert_eq!(stack.run("admin service allowlist --customer 7 --service seal --json").code, 3);
}

/// A module from before allowlists, as runs on between an upgrade and the reload: it gets everything else, above all
/// every revocation; whose addresses it would have to look at it refuses by itself.
#[test]
fn a_worker_whose_module_knows_no_allowlists_still_gets_everything_else() {
    if !haproxy_is_there() {
        return;
    }
    let stack = Stack::new();
    let _serve = stack.serve();
    let _haproxy = stack.haproxy();
    let customer = stack.customer(1);
    let run = |line: &str| stack.run(&format!("{line} --json")).json_with(0);
    run(&format!("admin service enable --customer {customer} --service seal --tier pro"));
    let list = format!("admin service allowlist --customer {customer} --service seal");
    assert_eq!(run(&format!("{list} --set 192.0.2.0/24,2001:db8::/32,::1,::/0 --on"))["applied"], true);
    let pid = stack.workers().current[0];
    assert_eq!(stack.status(pid)["allowlists"]["count"], 4);
    assert_eq!(stack.metric("suiftly_allowlist_entries"), 4);
    assert_eq!(run(&format!("{list} --remove ::1,::/0"))["applied"], true);
    assert_eq!(stack.status(pid)["allowlists"]["count"], 2);
    assert_eq!(run("edge diff")["differences"], json!([]));
    // All of it at once, with its checksum.
    run("edge resync");
    assert_eq!(stack.status(pid)["allowlists"]["count"], 2);

    stack.master(&format!("@!{pid} suiftly fault old"));
    assert_eq!(run("admin key revoke --fingerprint 4100000112345678")["applied"], true);
    assert_eq!(run(&format!("{list} --add 198.51.100.0/24"))["applied"], true);
    assert_eq!(run("admin key revoke --fingerprint 4100000212345678")["applied"], true);
    let status = stack.status(pid);
    assert_eq!((&status["revocations"]["count"], status.get("allowlists")), (&json!(2), None));
    assert_eq!(run("edge diff")["differences"], json!([]));
    let snapshot = stack.open_database().read(feed::snapshot).unwrap();
    assert_eq!(status["sequence"], snapshot.position.sequence);
    assert!(snapshot.recent.iter().any(|(_, change)| matches!(change, Change::SetAllowed(_))));
}
