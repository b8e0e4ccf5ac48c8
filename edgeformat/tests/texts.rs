//! Every text that both planes exchange reads back as what was written, has one spelling, and is refused with a
//! reason when it is not that spelling.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use apikey::{CustomerId, Fingerprint, Group, Service};
use edgeformat::command::{Apply, CHANGES_LEN_MAX, COMMAND_LEN_MAX, parts_of};
use edgeformat::plan::RATE_MAX_PER_S;
use edgeformat::{
    AllowlistEntry, Change, Decision, Plan, PlanNumber, Policy, PolicyKey, PolicyState, Prefix, Reason,
    Revocation, RevocationKind, StreamId,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn customer() -> impl Strategy<Value = CustomerId> {
    prop_oneof![Just(1), Just(u32::MAX), 1..=u32::MAX].prop_map(|id| CustomerId::new(id).unwrap())
}

fn service() -> impl Strategy<Value = Service> {
    (0..3_usize).prop_map(|index| Service::ALL[index])
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    any::<u64>().prop_map(Fingerprint::from_u64)
}

prop_compose! {
    fn policy()(customer in customer(), service in service(), state in 0..6_usize, plan in 0..=1023_u16, allowlist: bool)
        -> Policy {
        let key = PolicyKey { customer, service };
        Policy { key, state: PolicyState::ALL[state], plan: PlanNumber::new(plan).unwrap(), allowlist }
    }
}

prop_compose! {
    fn revocation()(fingerprint in fingerprint(), in_force_from_s in 0..=u64::MAX >> 1, expired: bool) -> Revocation {
        let kind = if expired { RevocationKind::Expired } else { RevocationKind::Revoked };
        Revocation { fingerprint, in_force_from_s, kind }
    }
}

prop_compose! {
    fn plan()(number in 1..=1023_u16, guaranteed_per_s in 0..=RATE_MAX_PER_S, burst_per_s in 0..=RATE_MAX_PER_S,
              burst_priority: u8) -> Plan {
        Plan { number: PlanNumber::new(number).unwrap(), guaranteed_per_s, burst_per_s, burst_priority }
    }
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()),
        // Where IPv4 hides, and where its texts are the longest.
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
        any::<u32>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits.into()))),
    ]
}

/// The block of this length around an address, from its text alone: the error of a wrong one has the right one.
fn block(address: IpAddr, len: u8) -> Prefix {
    let text = format!("{address}/{}", len.min(if address.is_ipv4() { 32 } else { 128 }));
    text.parse().unwrap_or_else(|error: edgeformat::FieldError| {
        let error = error.to_string();
        let right = error.split("the block is ").nth(1).unwrap().split(',').next().unwrap();
        Prefix::from_field(right).unwrap()
    })
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), 0..=128_u8).prop_map(|(address, len)| block(address, len))
}

prop_compose! {
    fn allowlist_entry()(customer in customer(), service in service(), prefix in prefix()) -> AllowlistEntry {
        AllowlistEntry { key: PolicyKey { customer, service }, prefix }
    }
}

fn group() -> impl Strategy<Value = Group> {
    (0..32_u8).prop_map(|number| Group::new(number).unwrap())
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        policy().prop_map(Change::SetPolicy),
        policy().prop_map(|policy| Change::RemovePolicy(policy.key)),
        revocation().prop_map(Change::SetRevocation),
        fingerprint().prop_map(Change::RemoveRevocation),
        allowlist_entry().prop_map(Change::SetAllowed),
        allowlist_entry().prop_map(Change::RemoveAllowed),
        plan().prop_map(Change::SetPlan),
        plan().prop_map(|plan| Change::RemovePlan(plan.number)),
        (group(), "[0-9a-f]{8}")
            .prop_map(|(group, check)| Change::SetKeyGroup(group, check.parse().unwrap())),
        group().prop_map(Change::RemoveKeyGroup),
    ]
}

proptest! {
    #[test]
    fn a_change_reads_back_and_has_no_second_spelling(change in change()) {
        let text = change.to_string();
        prop_assert!(text.len() <= edgeformat::change::CHANGE_LEN_MAX);
        prop_assert!(!text.contains([' ', ';', ',', '\\', '\n']), "HAProxy's command line would split it: {text}");
        prop_assert_eq!(text.parse::<Change>().unwrap(), change);
        for respelled in [text.to_uppercase(), text.to_lowercase(), format!("{text}:"), format!(" {text}"),
                          text.replacen(':', ":0", 1), text.replacen(':', ":+", 1)] {
            if let Ok(other) = respelled.parse::<Change>() {
                prop_assert_eq!(respelled, other.to_string(), "two spellings");
            }
        }
    }

    #[test]
    fn a_prefix_reads_back_and_has_no_second_spelling(prefix in prefix()) {
        let text = prefix.to_string();
        prop_assert!(text.len() <= edgeformat::prefix::PREFIX_LEN_MAX);
        prop_assert_eq!(Prefix::from_field(&text).unwrap(), prefix);
        prop_assert!(prefix.network() == prefix.network().to_canonical(), "IPv4 in disguise: {text}");
        for respelled in [text.to_uppercase(), text.replacen("::", ":0:", 1), text.replacen('/', "/0", 1)] {
            prop_assert!(respelled == text || Prefix::from_field(&respelled).is_err(), "{respelled}");
        }
    }

    #[test]
    fn any_text_is_a_prefix_or_an_error(text in "[0-9a-f:./]{0,50}|.{0,50}") {
        if let Ok(prefix) = Prefix::from_field(&text) {
            prop_assert_eq!(prefix.to_string(), text);
        }
    }

    #[test]
    fn a_block_has_an_address_exactly_if_they_share_its_bits(prefix in prefix(), address in address(), flipped in 0..128_u32) {
        prop_assert!(prefix.contains(prefix.network()));
        prop_assert_eq!(prefix.contains(address), block(address, prefix.len()) == prefix);
        let near = match prefix.network() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() ^ 1 << (flipped % 32))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() ^ 1 << flipped)),
        };
        let bit_from_left = if near.is_ipv4() { 31 - flipped % 32 } else { 127 - flipped };
        prop_assert_eq!(prefix.contains(near), bit_from_left >= u32::from(prefix.len()));
    }

    #[test]
    fn any_text_is_a_change_or_an_error(text in "[-+prlag:./0-9A-Fa-z]{0,90}|.{0,90}") {
        if let Ok(change) = text.parse::<Change>() {
            prop_assert_eq!(change.to_string(), text);
        }
    }

    #[test]
    fn a_plan_reads_back_from_its_packed_value(plan in plan()) {
        prop_assert_eq!(Plan::from_packed(plan.number, plan.packed()), Some(plan));
        prop_assert_eq!(plan.packed() & 1_048_575, u64::from(plan.guaranteed_per_s));
        prop_assert_eq!((plan.packed() / 1_048_576) & 1_048_575, u64::from(plan.burst_per_s));
        prop_assert_eq!(plan.packed() / 1_099_511_627_776, u64::from(plan.burst_priority));
    }

    #[test]
    fn an_admitted_decision_splits_as_haproxy_splits_it(
        customer in customer(), service in service(), group in 0..=31_u8, derivation in 1..=1023_u32,
        plan in 0..=1023_u16, version in 0..=1_u64, allowlist: bool,
    ) {
        let bits = version << 62 | u64::from(group) << 56 | u64::from(derivation) << 32 | u64::from(customer.get());
        let fingerprint = Fingerprint::from_u64(bits);
        let decision = Decision::Admitted { fingerprint, service, plan: PlanNumber::new(plan).unwrap(), allowlist };
        let k = decision.packed();
        prop_assert!(k >= 0);
        // The very numbers that stand in haproxy.cfg.
        prop_assert_eq!(k & 4_294_967_295, i64::from(customer.get()));
        prop_assert_eq!((k / 4_398_046_511_104) & 1023, i64::from(plan));
        prop_assert_eq!((k / 4_503_599_627_370_496) & 7, i64::from(service.number()));
        prop_assert_eq!(k & 36_028_797_018_963_968 > 0, allowlist);
        prop_assert_eq!(k & 9_151_318_840_863_358_975, i64::try_from(fingerprint.get()).unwrap());
        prop_assert_eq!(k <= 4_611_686_018_427_387_903, version == 0);
        prop_assert_eq!(Decision::from_packed(k), Some(decision));
    }

    #[test]
    fn a_refused_decision_splits_as_haproxy_splits_it(number in 1..=21_u8, customer in proptest::option::of(customer())) {
        let decision = Decision::Refused { reason: Reason::from_number(number).unwrap(), customer };
        let k = decision.packed();
        prop_assert!(k < 0);
        prop_assert_eq!(-k & 255, i64::from(number));
        prop_assert_eq!(-k / 256, customer.map_or(0, |customer| i64::from(customer.get())));
        prop_assert_eq!(Decision::from_packed(k), Some(decision));
    }

    #[test]
    fn a_command_reads_back(changes in proptest::collection::vec(change(), 0..50), numbers: [u64; 3]) {
        let [load, stream, sequence] = numbers;
        let stream = StreamId::from_u64(stream);
        let half = |number: u64| u32::try_from(number >> 32).unwrap();
        let (policies, revocations) = (half(load), half(sequence));
        let from = sequence / 2;
        for apply in [
            Apply::Delta { stream, from, to: from + 1, changes: changes.clone() },
            Apply::Begin { load, stream, sequence, policies, revocations, allowlists: 0 },
            Apply::Begin { load, stream, sequence, policies, revocations, allowlists: revocations },
            Apply::Part { load, part: policies, changes: changes.clone() },
            Apply::LocalBegin { load, revocations },
            Apply::LocalPart { load, part: policies, changes: changes.clone() },
            Apply::LocalCommit { load, parts: policies, revocations_digest: sequence },
            Apply::Commit {
                load,
                parts: policies,
                policies_digest: sequence,
                revocations_digest: load,
                allowlists_digest: load / 3,
            },
        ] {
            prop_assert_eq!(Apply::parse(apply.text().split(' ')).unwrap(), apply);
        }
    }

    #[test]
    fn a_command_that_was_cut_or_changed_on_its_way_is_refused(
        changes in proptest::collection::vec(change(), 1..20), at: prop::sample::Index, cut: bool,
    ) {
        let apply = Apply::Delta { stream: StreamId::from_u64(7), from: 3, to: 4, changes };
        let text = apply.text();
        let start = text.rfind(' ').unwrap() + 1;
        let at = start + at.index(text.len() - start);
        let damaged = if cut { text[..at].to_owned() } else { format!("{}x{}", &text[..at], &text[at + 1..]) };
        prop_assume!(damaged != text);
        prop_assert!(Apply::parse(damaged.split(' ')).is_err());
    }

}

proptest! {
    // Each case is long; a few are enough to cross every boundary between parts.
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn parts_keep_all_changes_in_order_and_fit_a_command(changes in proptest::collection::vec(change(), 0..2000)) {
        let parts = parts_of(changes.iter().copied());
        prop_assert_eq!(parts.concat(), changes);
        for part in parts {
            let text = Apply::Part { load: u64::MAX, part: u32::MAX, changes: part.clone() }.text();
            prop_assert!(text.len() + "@!4194304 suiftly apply ".len() <= COMMAND_LEN_MAX);
            prop_assert!(part.iter().map(|change| change.to_string().len() + 1).sum::<usize>() <= CHANGES_LEN_MAX);
        }
    }
}

/// A module or an agent from before allowlists knows these words and no others.
#[test]
fn a_load_without_allowlists_has_the_words_that_it_always_had() {
    let begin = Apply::parse("begin 1 00000000000000aa 3 4 5".split(' ')).unwrap();
    assert!(matches!(begin, Apply::Begin { allowlists: 0, .. }));
    assert_eq!(begin.text(), "begin 1 00000000000000aa 3 4 5");
    let text = "commit 1 2 00000000000000aa 00000000000000bb";
    let commit = Apply::parse(text.split(' ')).unwrap();
    assert!(matches!(commit, Apply::Commit { allowlists_digest: 0, .. }));
    assert_eq!(commit.text(), text);
}

#[test]
fn the_prefix_of_a_change_is_the_rest_of_its_text() {
    let change = |text: &str| text.parse::<Change>().map_err(|error| error.to_string());
    for text in ["+a:7:seal:2001:db8::/32", "-a:7:seal:::/0", "+a:4294967295:graphql:203.0.113.7/32"] {
        assert_eq!(change(text).unwrap().to_string(), text);
    }
    for (text, expected) in [
        ("+a:7:seal", "`prefix` is missing"),
        ("+a:7:seal:", "no CIDR block"),
        ("+a:7:seal:10.0.0.0/8:", "no CIDR block"),
        ("+a:7:seal:10.0.0.1", "must be written `10.0.0.1/32`"),
        ("+a:7:seal:10.0.0.1/8", "the block is 10.0.0.0/8"),
        ("+a:7:seal:::ffff:10.0.0.1/128", "must be written `10.0.0.1/32`"),
        ("+a:0:seal:10.0.0.0/8", "customer 0"),
        ("+a:7:mail:10.0.0.0/8", "no service"),
    ] {
        let error = change(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_delta_that_goes_nowhere_and_words_that_are_too_many_are_refused() {
    let text = Apply::Delta { stream: StreamId::from_u64(7), from: 3, to: 4, changes: Vec::new() }.text();
    assert!(Apply::parse(text.split(' ')).is_ok());
    assert!(Apply::parse(text.replace(" 3 4 ", " 4 4 ").split(' ')).is_err());
    assert!(Apply::parse(format!("{text} more").split(' ')).is_err());
    for words in ["", "delta", "reload 1", "begin 1 2 3 4 5", "commit 1 2 3 4"] {
        assert!(Apply::parse(words.split(' ')).is_err(), "{words}");
    }
}
