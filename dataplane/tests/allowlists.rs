//! A customer who wants addresses checked is served from the addresses on the list, and from no other.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod scene;

use apikey::{Service, Version};
use dataplane::allowed::is_allowed;
use dataplane::edge::Edge;
use dataplane::outcome::count_outcome;
use edgeformat::map_file::write_table;
use edgeformat::status::Applied;
use edgeformat::{AllowlistEntry, Decision, StreamId};
use proptest::prelude::*;
use scene::state::State;
use scene::{Key, STREAM, V0_GROUP, change, changes, edge, judge, key, refusal_code, show, status};
use std::net::IpAddr;

const KEY: Key = key(Service::Seal, 1, 7);

/// What `haproxy.cfg` asks: the address and the integer of the request.
fn question(edge: &Edge, key: Key, address: &str) -> String {
    let packed = judge(edge, &key.field()).packed();
    assert!(packed >= 0, "refused before: {:?}", Decision::from_packed(packed));
    format!("{address} {packed}")
}

fn may_from(edge: &Edge, key: Key, address: &str) -> bool {
    is_allowed(edge, question(edge, key, address).as_bytes())
}

fn edge_with_list(prefixes: &[&str]) -> Edge {
    let edge = edge();
    let entries = prefixes.iter().map(|prefix| format!("+a:7:seal:{prefix}"));
    let policy = "+p:7:seal:enabled:1:allowlist".to_owned();
    change(&edge, &entries.chain([policy]).collect::<Vec<_>>());
    edge
}

#[test]
fn addresses_on_the_list_are_allowed_and_no_others() {
    let edge =
        edge_with_list(&["203.0.113.0/24", "198.51.100.7/32", "10.0.0.0/8", "10.1.2.0/24", "2001:db8::/32"]);
    for address in [
        "203.0.113.0",
        "203.0.113.255",
        "198.51.100.7",
        "10.1.2.3",
        "10.1.3.0",
        "2001:db8::",
        "2001:db8:ffff::1",
    ] {
        assert!(may_from(&edge, KEY, address), "{address}");
    }
    for address in [
        "203.0.112.255",
        "203.0.114.0",
        "198.51.100.6",
        "198.51.100.8",
        "9.255.255.255",
        "11.0.0.0",
        "::",
        "2001:db7:ffff::",
        "2001:db9::",
        "::a00:1",
        "0.0.0.0",
        "255.255.255.255",
    ] {
        assert!(!may_from(&edge, KEY, address), "{address}");
    }
}

#[test]
fn ipv4_in_disguise_is_asked_as_ipv4() {
    let edge = edge_with_list(&["203.0.113.0/24"]);
    assert!(may_from(&edge, KEY, "::ffff:203.0.113.7") && may_from(&edge, KEY, "::ffff:cb00:7107"));
    assert!(!may_from(&edge, KEY, "::ffff:203.0.112.7") && !may_from(&edge, KEY, "::203.0.113.7"));
    // All of IPv6 is not all of IPv4.
    let edge = edge_with_list(&["::/0"]);
    assert!(may_from(&edge, KEY, "::1") && !may_from(&edge, KEY, "::ffff:203.0.113.7"));
}

#[test]
fn lists_belong_to_one_customer_and_one_service() {
    let edge = edge_with_list(&["203.0.113.0/24"]);
    let policies =
        ["+p:7:grpc:enabled:1:allowlist", "+p:8:seal:enabled:1:allowlist", "+p:6:seal:enabled:1:allowlist"];
    change(&edge, &policies);
    for other in [key(Service::Grpc, 1, 7), key(Service::Seal, 1, 8), key(Service::Seal, 1, 6)] {
        assert!(!may_from(&edge, other, "203.0.113.7"));
    }
    assert!(may_from(&edge, KEY, "203.0.113.7"));
}

#[test]
fn an_empty_or_missing_list_refuses_everybody() {
    let edge = edge_with_list(&[]);
    assert!(!may_from(&edge, KEY, "127.0.0.1") && !may_from(&edge, KEY, "::1"));
    change(&edge, &["+a:7:seal:127.0.0.1/32"]);
    assert!(may_from(&edge, KEY, "127.0.0.1"));
    change(&edge, &["-a:7:seal:127.0.0.1/32"]);
    assert!(!may_from(&edge, KEY, "127.0.0.1"));
}

#[test]
fn a_version_0_key_is_asked_like_any_other() {
    let edge = edge_with_list(&["203.0.113.0/24"]);
    let old = Key { version: Version::V0, group: V0_GROUP, ..KEY };
    assert!(may_from(&edge, old, "203.0.113.7") && !may_from(&edge, old, "203.0.114.7"));
}

#[test]
fn a_question_that_cannot_be_read_is_refused() {
    let edge = edge_with_list(&["0.0.0.0/0", "::/0"]);
    let packed = judge(&edge, &KEY.field()).packed();
    let asked = |text: &str| is_allowed(&edge, text.as_bytes());
    assert!(asked(&format!("10.0.0.1 {packed}")));
    for text in [
        String::new(),
        " ".to_owned(),
        "10.0.0.1".to_owned(),
        "10.0.0.1 ".to_owned(),
        format!(" {packed}"),
        format!("10.0.0.1  {packed}"),
        format!("10.0.0 {packed}"),
        format!("10.0.0.1:80 {packed}"),
        format!("fe80::1%lo {packed}"),
        format!("10.0.0.1 {packed} "),
        format!("10.0.0.1 {packed}0000"),
        "10.0.0.1 -7".to_owned(),
        "10.0.0.1 -1808".to_owned(),
        // Customer 0, and a service that there is not.
        format!("10.0.0.1 {}", packed >> 32 << 32),
        format!("10.0.0.1 {}", packed | 7 << 52),
    ] {
        assert!(!asked(&text), "{text:?}");
    }
    assert!(!is_allowed(&edge, b"\xff\xff 5"));
}

#[test]
fn who_is_refused_for_an_address_is_counted_as_rejected() {
    let edge = edge_with_list(&["203.0.113.0/24"]);
    let packed = judge(&edge, &KEY.field()).packed();
    for address in ["203.0.114.7", "::1"] {
        assert!(!may_from(&edge, KEY, address));
        // As haproxy.cfg says it of every refusal after admission.
        assert!(count_outcome(&edge, format!("{packed} rejected 16").as_bytes()));
    }
    let seal = show(&edge, 7).services.remove("seal").unwrap();
    assert_eq!((seal.admitted, seal.rejected, seal.refused), (3, 2, 0));
    assert_eq!((seal.allowlist, seal.allowed), (true, vec!["203.0.113.0/24".to_owned()]));
    assert_eq!(status(&edge).refused.get("address_not_allowed"), Some(&2));
}

#[test]
fn an_entry_that_comes_or_goes_twice_changes_nothing() {
    let edge = edge_with_list(&["203.0.113.0/24"]);
    let before = status(&edge).allowlists.unwrap();
    change(&edge, &["+a:7:seal:203.0.113.0/24", "-a:7:seal:203.0.113.0/25", "-a:7:grpc:203.0.113.0/24"]);
    assert_eq!(status(&edge).allowlists.unwrap(), before);
    assert_eq!((before.count, before.capacity), (1, 500_000));
    change(&edge, &["-a:7:seal:203.0.113.0/24", "-a:7:seal:203.0.113.0/24"]);
    let after = status(&edge).allowlists.unwrap();
    assert_eq!((after.count, after.checksum), (0, "0000000000000000".to_owned()));
}

#[test]
fn show_lists_the_prefixes_in_order_and_no_one_elses() {
    let edge = edge_with_list(&["2001:db8::/32", "203.0.113.0/24", "10.0.0.0/8"]);
    change(&edge, &["+a:7:grpc:192.0.2.0/24", "+a:8:seal:192.0.2.0/24", "+a:6:graphql:192.0.2.0/24"]);
    assert_eq!(show(&edge, 7).services["seal"].allowed, ["10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32"]);
}

fn allowlists(stream: StreamId, sequence: u64, lines: &[&str]) -> String {
    let entries = lines.iter().map(|line| AllowlistEntry::from_fields(line.split(' ')).unwrap());
    write_table(stream, sequence, entries)
}

#[test]
fn lists_are_read_at_start() {
    let state = State::good();
    let edge = state.start().unwrap();
    assert_eq!(status(&edge).allowlists.unwrap().count, 2);
    change(&edge, &["+p:8:grpc:enabled:3:allowlist"]);
    let key = key(Service::Grpc, 1, 8);
    assert!(may_from(&edge, key, "203.0.113.7") && may_from(&edge, key, "2001:db8::1"));
    assert!(!may_from(&edge, key, "203.0.114.7"));
}

#[test]
fn a_prefix_that_stands_twice_or_in_a_second_spelling_is_refused_with_its_line() {
    let state = State::good();
    state.write("maps/allowlists.map", &allowlists(STREAM, 42, &["8 grpc 10.0.0.0/8", "8 grpc 10.0.0.0/8"]));
    let twice = "line 4: this prefix of this customer and service stands here twice";
    state.is_refused("maps/allowlists.map", &[twice]);
    let state = State::good();
    let text = state.read("maps/allowlists.map").replace("203.0.113.0/24", "203.0.113.7/24");
    state.write("maps/allowlists.map", &text);
    state.is_refused("maps/allowlists.map", &["line 3: `203.0.113.7/24` has bits set", "203.0.113.0/24"]);
}

/// A folder of a version from before allowlists: nobody could have one.
#[test]
fn the_file_may_be_missing_as_long_as_no_policy_asks_for_addresses() {
    let state = State::good();
    std::fs::remove_file(state.path("maps/allowlists.map")).unwrap();
    state.is_refused("maps/allowlists.map", &["cannot be read"]);
    let text = state.read("maps/policies.map");
    let first = scene::state::policy_table(STREAM, 42, &["7 seal enabled 3 -"]);
    assert_ne!(first, text);
    state.write("maps/policies.map", &first);
    let edge = state.start().unwrap();
    let status = status(&edge);
    assert_eq!((status.sequence, status.allowlists.unwrap().count), (42, 0));
    // One who asks for them later is closed until the list comes.
    change(&edge, &["+p:7:seal:enabled:3:allowlist"]);
    assert!(!may_from(&edge, KEY, "127.0.0.1"));
}

#[test]
fn lists_of_another_stream_are_loaded_anew_and_older_ones_asked_for() {
    let state = State::good();
    state.write("maps/allowlists.map", &allowlists(StreamId::from_u64(1), 42, &[]));
    let edge = state.start().unwrap();
    assert_eq!((status(&edge).stream, status(&edge).sequence), (StreamId::NONE.to_string(), 0));
    let state = State::good();
    state.write("maps/allowlists.map", &allowlists(STREAM, 40, &[]));
    assert_eq!(status(&state.start().unwrap()).sequence, 40);
}

#[test]
fn a_delta_for_which_there_is_no_room_changes_nothing() {
    let edge = edge();
    let full = (0..500_000_u32).map(|n| format!("+a:7:seal:{}/32", std::net::Ipv4Addr::from_bits(n)));
    for part in full.collect::<Vec<_>>().chunks(5_000) {
        change(&edge, part);
    }
    let before = status(&edge);
    let delta = edgeformat::command::Apply::Delta {
        stream: STREAM,
        from: before.sequence,
        to: before.sequence + 2,
        changes: changes(&["+p:9:seal:enabled:1:-", "+a:7:seal:::1/128"]),
    };
    let answer = scene::apply(&edge, &delta);
    assert!(matches!(answer, Applied::Refused { .. }) && refusal_code(&answer) == "full");
    assert_eq!((status(&edge).policies, status(&edge).allowlists), (before.policies, before.allowlists));
}

fn address() -> impl Strategy<Value = IpAddr> {
    // Few enough that prefixes and addresses meet.
    prop_oneof![
        (0..1024_u32).prop_map(|n| IpAddr::V4((0x0a00_0000 + n).into())),
        (0..1024_u128).prop_map(|n| IpAddr::V6((0x2001_0db8_u128 << 96 | n).into())),
        (0..1024_u32)
            .prop_map(|n| IpAddr::V6(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_ipv6_mapped())),
    ]
}

proptest! {
    /// Against the plainest way to ask: every entry, one after the other.
    #[test]
    fn the_table_answers_as_a_walk_through_all_entries_does(
        entries in proptest::collection::vec((0..3_u32, address(), 0..=12_u8, any::<bool>()), 0..60),
        asked in proptest::collection::vec((0..3_u32, address()), 1..40),
    ) {
        let mut table = dataplane::allowlists::Allowlists::default();
        let mut plain: Vec<AllowlistEntry> = Vec::new();
        let key = |customer: u32| edgeformat::PolicyKey {
            customer: apikey::CustomerId::new(customer + 1).unwrap(), service: Service::Seal,
        };
        for (customer, address, short, removed) in entries {
            let address = address.to_canonical();
            // The network of a random length, made by clearing bits by hand.
            let (bits, width) = match address {
                IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
                IpAddr::V6(v6) => (v6.to_bits(), 128),
            };
            let cleared = bits >> short << short;
            let network = match address {
                IpAddr::V4(_) => IpAddr::V4(u32::try_from(cleared).unwrap().into()),
                IpAddr::V6(_) => IpAddr::V6(cleared.into()),
            };
            let prefix = format!("{network}/{}", width - short).parse().unwrap();
            let entry = AllowlistEntry { key: key(customer), prefix };
            plain.retain(|known| *known != entry);
            if removed {
                table.remove(&entry);
            } else {
                table.insert(&entry).unwrap();
                plain.push(entry);
            }
        }
        let mut digest = edgeformat::TableDigest::default();
        plain.iter().for_each(|entry| digest.add(entry.digest()));
        prop_assert_eq!((table.len(), table.digest()), (plain.len(), digest));
        for (customer, address) in asked {
            let expected = plain.iter()
                .any(|entry| entry.key == key(customer) && entry.prefix.contains(address.to_canonical()));
            prop_assert_eq!(table.contains(key(customer), address), expected, "{} {}", customer, address);
        }
    }
}
