//! What a caller is told, in which order, and what is counted for whom.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod scene;

use apikey::{CustomerId, Service, Version};
use edgeformat::{Decision, PlanNumber, Reason};
use scene::{
    GROUP, Key, NOW_S, SECRET, UNKNOWN_GROUP, V0_GROUP, change, edge, is_admitted, judge, key, refused,
    sealed, set_clock, show, status,
};

const CUSTOMER: u32 = 305_419_896;
const KEY: Key = key(Service::Seal, 5, CUSTOMER);

/// Payload bytes 0..8 of a key that may have faults.
fn fingerprint(version: u8, group: u8, customer: u32) -> u64 {
    u64::from(version << 6 | group) << 56 | 5 << 32 | u64::from(customer)
}

#[test]
fn a_key_with_every_fault_is_told_the_first_one_and_the_next_as_each_is_mended() {
    let edge = edge();
    let wrong_secret = [7; 32];
    let all_faults = fingerprint(2, UNKNOWN_GROUP, 0);
    let no_version = fingerprint(1, UNKNOWN_GROUP, 0);
    let nobody = fingerprint(1, GROUP, 0);
    // A revocation of each: whatever the tables say about a key comes after what the key says about itself.
    for fingerprint in [all_faults, no_version, nobody, KEY.fingerprint().get()] {
        change(&edge, &[format!("+r:{fingerprint:016X}:0:revoked")]);
    }
    let steps = [
        ("0".to_owned(), Reason::MissingKey),
        (sealed(&wrong_secret, 'X', all_faults).replace('A', "!"), Reason::Malformed),
        (sealed(&wrong_secret, 'X', all_faults), Reason::UnknownService),
        (sealed(&wrong_secret, 'S', all_faults), Reason::UnsupportedVersion),
        (sealed(&wrong_secret, 'S', no_version), Reason::UnknownGroup),
        (sealed(&wrong_secret, 'S', nobody), Reason::BadMac),
        (sealed(&SECRET, 'S', nobody), Reason::BadCustomer),
    ];
    for (field, reason) in steps {
        assert_eq!(judge(&edge, &field), refused(reason, 0), "{field}");
    }

    let fingerprint = KEY.fingerprint();
    let steps = [
        // Revoked, and nothing else about it is right either.
        ("-p:305419896:seal".to_owned(), Reason::Revoked),
        (format!("+r:{fingerprint}:0:expired"), Reason::Expired),
        (format!("-r:{fingerprint}"), Reason::NoService),
        ("+p:305419896:seal:disabled:3:-".to_owned(), Reason::Disabled),
        ("+p:305419896:seal:suspended_no_payment:3:-".to_owned(), Reason::SuspendedNoPayment),
        ("+p:305419896:seal:suspended_spending_limit:3:-".to_owned(), Reason::SuspendedSpendingLimit),
        ("+p:305419896:seal:suspended_operator:3:-".to_owned(), Reason::SuspendedOperator),
        ("+p:305419896:seal:customer_suspended:3:-".to_owned(), Reason::CustomerSuspended),
    ];
    for (mended, reason) in steps {
        change(&edge, &[mended]);
        assert_eq!(judge(&edge, &KEY.field()), refused(reason, CUSTOMER));
    }
    change(&edge, &["+p:305419896:seal:enabled:3:-"]);
    assert!(is_admitted(&edge, &KEY.field()));

    let once_each: Vec<_> =
        (1..=15).map(|number| Reason::from_number(number).unwrap().code().to_owned()).collect();
    let counted = status(&edge).refused;
    assert_eq!(counted.keys().collect::<std::collections::BTreeSet<_>>(), once_each.iter().collect());
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
}

#[test]
fn a_revoked_key_is_told_so_whatever_the_state_of_the_service_is() {
    let edge = edge();
    for state in ["enabled", "disabled", "suspended_no_payment", "suspended_operator", "customer_suspended"] {
        change(
            &edge,
            &[format!("+p:305419896:seal:{state}:3:-"), format!("+r:{}:0:revoked", KEY.fingerprint())],
        );
        assert_eq!(judge(&edge, &KEY.field()), refused(Reason::Revoked, CUSTOMER), "{state}");
    }
}

#[test]
fn version_0_is_accepted_only_in_the_groups_that_the_keyring_names() {
    let edge = edge();
    change(&edge, &["+p:305419896:seal:enabled:3:-"]);
    let of_group = |group| Key { version: Version::V0, group, ..KEY };
    assert!(is_admitted(&edge, &of_group(V0_GROUP).field()));
    for group in [GROUP, UNKNOWN_GROUP] {
        let decision = judge(&edge, &of_group(group).field());
        assert_eq!(decision, refused(Reason::UnsupportedVersion, 0), "group {group}");
    }
    assert!(is_admitted(&edge, &Key { group: V0_GROUP, ..KEY }.field()), "version 1 in the same group");
}

#[test]
fn the_customer_is_named_in_a_refusal_only_after_the_tag_was_right() {
    let edge = edge();
    let forged = sealed(&[7; 32], 'S', KEY.fingerprint().get());
    assert_eq!(judge(&edge, &forged).packed(), -6);
    assert_eq!(judge(&edge, &KEY.field()).packed(), -(10 + 256 * i64::from(CUSTOMER)));
}

#[test]
fn every_other_text_of_a_good_key_is_refused_and_names_nobody() {
    let edge = edge();
    change(&edge, &["+p:305419896:seal:enabled:3:-"]);
    let good = KEY.field();
    for place in "Bearer ".len()..good.len() {
        for character in
            ('A'..='Z').chain('2'..='7').filter(|character| good[place..=place] != character.to_string())
        {
            let mut changed = good.clone();
            changed.replace_range(place..=place, &character.to_string());
            let decision = judge(&edge, &changed);
            assert!(matches!(decision, Decision::Refused { customer: None, .. }), "{changed}: {decision:?}");
        }
    }
}

#[test]
fn an_admitted_integer_carries_customer_plan_service_allowlist_and_fingerprint() {
    let edge = edge();
    for (service, plan, allowlist) in
        [(Service::Seal, 1, false), (Service::Grpc, 1023, true), (Service::Graphql, 512, false)]
    {
        let word = if allowlist { "allowlist" } else { "-" };
        change(&edge, &[format!("+p:{}:{service}:enabled:{plan}:{word}", u32::MAX)]);
        let key = key(service, 1023, u32::MAX);
        let packed = u64::try_from(judge(&edge, &key.field()).packed()).unwrap();
        // As `haproxy.cfg` splits it.
        assert_eq!(packed & 0xffff_ffff, u64::from(u32::MAX));
        assert_eq!(packed >> 42 & 1023, plan);
        assert_eq!(packed >> 52 & 7, u64::from(service.number()));
        assert_eq!(packed >> 55 & 1 == 1, allowlist);
        assert_eq!(packed & 9_151_318_840_863_358_975, key.fingerprint().get());
    }
}

#[test]
fn plan_and_allowlist_are_those_of_the_last_change() {
    let edge = edge();
    change(&edge, &["+p:305419896:seal:enabled:3:-"]);
    change(&edge, &["+p:305419896:seal:enabled:4:allowlist"]);
    let decision = Decision::Admitted {
        fingerprint: KEY.fingerprint(),
        service: Service::Seal,
        plan: PlanNumber::new(4).unwrap(),
        allowlist: true,
    };
    assert_eq!(judge(&edge, &KEY.field()), decision);
}

#[test]
fn a_key_opens_its_own_service_and_no_other() {
    let edge = edge();
    change(&edge, &["+p:305419896:grpc:enabled:3:-"]);
    assert_eq!(judge(&edge, &KEY.field()), refused(Reason::NoService, CUSTOMER));
    assert!(is_admitted(&edge, &key(Service::Grpc, 5, CUSTOMER).field()));
}

#[test]
fn lower_case_is_the_same_key() {
    let edge = edge();
    change(&edge, &["+p:305419896:seal:enabled:3:-"]);
    let field = KEY.field();
    let same = judge(&edge, &field);
    assert_eq!(judge(&edge, &field.to_ascii_lowercase()), same);
    assert_eq!(judge(&edge, &field.to_ascii_uppercase()), same);
    assert_eq!(judge(&edge, &field.replace("Bearer ", "bEARER   ")), same);
    assert_eq!(show(&edge, CUSTOMER).services["seal"].admitted, 4);
    change(&edge, &[format!("+r:{}:0:revoked", KEY.fingerprint())]);
    assert_eq!(judge(&edge, &field.to_ascii_lowercase()), refused(Reason::Revoked, CUSTOMER));
}

#[test]
fn what_is_no_bearer_credential_is_malformed_and_never_missing() {
    let edge = edge();
    let key = KEY.field().replace("Bearer ", "");
    let cases = [
        "",
        "2",
        "Bearer",
        "Bearer ",
        &key,
        &format!("Basic {key}"),
        &format!("Bearer {key} "),
        &format!("Bearer {key}A"),
        &format!("Bearer {key},{key}"),
        &format!("Bearer {}", "A".repeat(10_000)),
    ];
    for field in cases {
        assert_eq!(judge(&edge, field), refused(Reason::Malformed, 0), "{field:?}");
    }
}

#[test]
fn a_revocation_ahead_of_its_time_refuses_from_exactly_its_second_on() {
    let edge = edge();
    let other = key(Service::Seal, 6, CUSTOMER);
    change(
        &edge,
        &[
            "+p:305419896:seal:enabled:3:-".to_owned(),
            format!("+r:{}:{}:expired", KEY.fingerprint(), NOW_S + 10),
            format!("+r:{}:{}:revoked", other.fingerprint(), NOW_S + 11),
        ],
    );
    let at = |second| {
        set_clock(&edge, second);
        [KEY, other].map(|key| match judge(&edge, &key.field()) {
            Decision::Admitted { .. } => "admitted",
            Decision::Refused { reason, .. } => reason.code(),
        })
    };
    assert_eq!(at(NOW_S), ["admitted", "admitted"]);
    assert_eq!(at(NOW_S + 9), ["admitted", "admitted"]);
    assert_eq!(at(NOW_S + 10), ["expired", "admitted"]);
    assert_eq!(at(NOW_S + 11), ["expired", "revoked"]);
    assert_eq!(at(u64::MAX), ["expired", "revoked"]);
    // A clock that is set back gives the key back: the second counts, not what was seen before.
    assert_eq!(at(NOW_S + 9), ["admitted", "admitted"]);
}

#[test]
fn requests_are_counted_for_the_customer_and_service_that_the_tag_proved() {
    let edge = edge();
    change(
        &edge,
        &["+p:305419896:seal:enabled:3:-", "+p:305419896:grpc:disabled:3:-", "+p:7:seal:enabled:1:-"],
    );
    let (grpc, revoked) = (key(Service::Grpc, 1, CUSTOMER), key(Service::Seal, 2, CUSTOMER));
    change(&edge, &[format!("+r:{}:0:revoked", revoked.fingerprint())]);
    for _ in 0..3 {
        judge(&edge, &KEY.field());
    }
    for _ in 0..2 {
        judge(&edge, &grpc.field());
    }
    judge(&edge, &revoked.field());
    // Counted for nobody: a forged key.
    judge(&edge, &sealed(&[7; 32], 'S', KEY.fingerprint().get()));
    // Counted, though the customer does not have the service: the key proves who asks.
    judge(&edge, &key(Service::Graphql, 1, CUSTOMER).field());

    let shown = show(&edge, CUSTOMER);
    assert_eq!(shown.customer, CUSTOMER);
    assert_eq!(shown.services.keys().collect::<Vec<_>>(), ["graphql", "grpc", "seal"]);
    assert_eq!((shown.services["seal"].admitted, shown.services["seal"].refused), (3, 1));
    assert_eq!((shown.services["grpc"].admitted, shown.services["grpc"].refused), (0, 2));
    assert_eq!(
        (shown.services["graphql"].state.as_str(), shown.services["graphql"].refused),
        ("no_service", 1)
    );
    assert_eq!(
        (shown.services["seal"].state.as_str(), shown.services["grpc"].state.as_str()),
        ("enabled", "disabled")
    );
    assert_eq!(show(&edge, 7).services["seal"].admitted, 0);

    let status = status(&edge);
    assert_eq!(status.admitted, 3);
    let expected = [("bad_mac", 1), ("disabled", 2), ("no_service", 1), ("revoked", 1)];
    assert_eq!(status.refused, expected.map(|(code, count)| (code.to_owned(), count)).into());
}

#[test]
fn counts_never_go_back_when_a_service_is_taken_away_and_given_again() {
    let edge = edge();
    change(&edge, &["+p:305419896:seal:enabled:3:-"]);
    judge(&edge, &KEY.field());
    change(&edge, &["-p:305419896:seal"]);
    let gone = &show(&edge, CUSTOMER).services["seal"];
    assert_eq!((gone.state.as_str(), gone.admitted), ("no_service", 1));
    change(&edge, &["+p:305419896:seal:enabled:3:-"]);
    judge(&edge, &KEY.field());
    assert_eq!(show(&edge, CUSTOMER).services["seal"].admitted, 2);
}

#[test]
fn customers_at_both_ends_of_the_range_are_customers() {
    let edge = edge();
    for customer in [1, 1 << 31, u32::MAX] {
        change(&edge, &[format!("+p:{customer}:seal:enabled:3:-")]);
        let key = key(Service::Seal, 1, customer);
        let packed = judge(&edge, &key.field()).packed();
        assert_eq!(packed & 0xffff_ffff, i64::from(customer));
        change(&edge, &[format!("-p:{customer}:seal")]);
        assert_eq!(judge(&edge, &key.field()), refused(Reason::NoService, customer));
        assert_eq!(CustomerId::new(customer).map(CustomerId::get), Some(customer));
    }
}
