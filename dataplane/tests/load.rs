//! A whole load: nothing of it is visible before the commit, and a wrong one never becomes visible.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the slowest command is worth seeing")]

mod scene;

use apikey::Service;
use dataplane::edge::Edge;
use edgeformat::command::{Apply, COMMAND_LEN_MAX, parts_of};
use edgeformat::status::Applied;
use edgeformat::{Change, StreamId, TableDigest};
use rustix::time::ClockId;
use scene::{apply, apply_text, change, changes, edge, is_admitted, judge, key, refusal_code, show, status};
use std::time::Duration;

const NEW_STREAM: StreamId = StreamId::from_u64(0x0123_4567_89ab_cdef);
const OLD_KEY: scene::Key = key(Service::Seal, 1, 7);
const NEW_KEY: scene::Key = key(Service::Seal, 1, 8);

/// The commands of a load with these entries, one entry a part so that there are several.
fn commands(load: u64, texts: &[&str]) -> Vec<Apply> {
    commands_in_parts(load, changes(texts).into_iter().map(|change| vec![change]).collect())
}

fn commands_in_parts(load: u64, parts: Vec<Vec<Change>>) -> Vec<Apply> {
    let (mut policies, mut revocations, mut allowlists) = (0, 0, 0);
    let (mut policies_digest, mut revocations_digest) = (TableDigest::default(), TableDigest::default());
    let mut allowlists_digest = TableDigest::default();
    for change in parts.iter().flatten() {
        match change {
            Change::SetPolicy(policy) => {
                policies += 1;
                policies_digest.add(policy.digest());
            }
            Change::SetRevocation(revocation) => {
                revocations += 1;
                revocations_digest.add(revocation.digest());
            }
            Change::SetAllowed(entry) => {
                allowlists += 1;
                allowlists_digest.add(entry.digest());
            }
            other => panic!("a load has no {other}"),
        }
    }
    let begin = Apply::Begin { load, stream: NEW_STREAM, sequence: 900, policies, revocations, allowlists };
    let commit = Apply::Commit {
        load,
        parts: u32::try_from(parts.len()).unwrap(),
        policies_digest: policies_digest.get(),
        revocations_digest: revocations_digest.get(),
        allowlists_digest: allowlists_digest.get(),
    };
    let parts = (1..).zip(parts).map(|(part, changes)| Apply::Part { load, part, changes });
    [begin].into_iter().chain(parts).chain([commit]).collect()
}

fn old_edge() -> Edge {
    let edge = edge();
    change(&edge, &["+p:7:seal:enabled:1:-".to_owned(), format!("+r:{}:0:revoked", NEW_KEY.fingerprint())]);
    edge
}

const NEW_TABLES: [&str; 4] = [
    "+p:8:seal:enabled:2:-",
    "+p:9:grpc:disabled:3:allowlist",
    "+r:4100000100000007:0:revoked",
    "+a:9:grpc:203.0.113.0/24",
];

#[test]
fn nothing_of_a_load_is_visible_before_its_commit_and_all_of_it_afterwards() {
    let edge = old_edge();
    let before = status(&edge);
    let commands = commands(1, &NEW_TABLES);
    let (commit, rest) = commands.split_last().unwrap();
    for command in rest {
        let answer = apply(&edge, command);
        assert!(matches!(answer, Applied::Ok { sequence: 1, policies: 1, revocations: 1, .. }), "{answer:?}");
        assert!(is_admitted(&edge, &OLD_KEY.field()) && !is_admitted(&edge, &NEW_KEY.field()));
    }
    let now = status(&edge);
    assert_eq!(
        (now.stream, now.policies, now.revocations),
        (before.stream, before.policies, before.revocations)
    );

    let answer = apply(&edge, commit);
    assert_eq!(answer, Applied::Ok { sequence: 900, changes: 0, policies: 2, revocations: 1, allowlists: 1 });
    assert!(!is_admitted(&edge, &OLD_KEY.field()) && is_admitted(&edge, &NEW_KEY.field()));
    let now = status(&edge);
    assert_eq!((now.stream, now.sequence), (NEW_STREAM.to_string(), 900));
}

#[test]
fn an_empty_load_empties_the_tables() {
    let edge = old_edge();
    for command in commands(1, &[]) {
        assert!(matches!(apply(&edge, &command), Applied::Ok { .. }));
    }
    assert!(!is_admitted(&edge, &OLD_KEY.field()));
    assert_eq!((status(&edge).policies.count, status(&edge).revocations.count), (0, 0));
}

/// Sends the commands after `spoil` has changed them: one must be refused, and nothing may change.
fn is_refused(spoil: impl FnOnce(&mut Vec<Apply>)) {
    let edge = old_edge();
    let mut commands = commands(1, &NEW_TABLES);
    spoil(&mut commands);
    let answers: Vec<_> = commands.iter().map(|command| apply(&edge, command)).collect();
    let refused = answers.iter().find(|answer| matches!(answer, Applied::Refused { .. }));
    assert_eq!(refused.map(refusal_code), Some("load"), "{answers:?}");
    assert!(is_admitted(&edge, &OLD_KEY.field()) && !is_admitted(&edge, &NEW_KEY.field()), "{answers:?}");
    assert_eq!(status(&edge).sequence, 1);
}

#[test]
fn parts_out_of_order_or_missing_are_refused() {
    is_refused(|commands| commands.swap(1, 2));
    is_refused(|commands| drop(commands.remove(1)));
    is_refused(|commands| drop(commands.remove(3)));
    is_refused(|commands| drop(commands.remove(0)));
}

/// An agent that lost an answer may send the part again.
#[test]
fn a_part_that_comes_twice_is_refused_the_second_time_and_the_load_goes_on() {
    let edge = old_edge();
    for (place, command) in commands(1, &NEW_TABLES).iter().enumerate() {
        assert!(matches!(apply(&edge, command), Applied::Ok { .. }), "{}", command.text());
        if matches!(command, Apply::Part { .. }) {
            assert_eq!(refusal_code(&apply(&edge, command)), "load", "command {place}");
        }
    }
    assert!(is_admitted(&edge, &NEW_KEY.field()));
}

#[test]
fn a_wrong_count_is_refused() {
    fn announce(commands: &mut [Apply], more: [u32; 3]) {
        let Some(Apply::Begin { policies, revocations, allowlists, .. }) = commands.first_mut() else {
            panic!("no begin")
        };
        let [more_policies, more_revocations, more_entries] = more;
        *policies += more_policies;
        *revocations += more_revocations;
        *allowlists += more_entries;
    }
    is_refused(|commands| announce(commands, [1, 0, 0]));
    is_refused(|commands| announce(commands, [0, 1, 0]));
    is_refused(|commands| announce(commands, [0, 0, 1]));
    is_refused(|commands| {
        let Some(Apply::Commit { parts, .. }) = commands.last_mut() else { panic!("no commit") };
        *parts += 1;
    });
}

#[test]
fn a_wrong_checksum_is_refused() {
    is_refused(|commands| {
        let Some(Apply::Commit { policies_digest, .. }) = commands.last_mut() else { panic!("no commit") };
        *policies_digest ^= 1;
    });
    is_refused(|commands| {
        let Some(Apply::Commit { revocations_digest, .. }) = commands.last_mut() else { panic!("no commit") };
        *revocations_digest ^= 1;
    });
    is_refused(|commands| {
        let Some(Apply::Commit { allowlists_digest, .. }) = commands.last_mut() else { panic!("no commit") };
        *allowlists_digest ^= 1;
    });
    // The count is right, one entry is another one.
    is_refused(|commands| {
        let Some(Apply::Part { changes, .. }) = commands.get_mut(1) else { panic!("no part") };
        *changes = scene::changes(&["+p:8:seal:enabled:3:-"]);
    });
}

#[test]
fn a_load_takes_only_entries_that_are_there() {
    for text in ["-p:8:seal", "-r:4100000100000007", "-a:9:grpc:203.0.113.0/24", "+l:1:12", "-l:1"] {
        is_refused(|commands| {
            let Some(Apply::Part { changes, .. }) = commands.get_mut(1) else { panic!("no part") };
            changes.extend(scene::changes(&[text]));
        });
    }
}

#[test]
fn a_second_begin_forgets_the_first_load() {
    let edge = old_edge();
    let (first, second) = (commands(1, &NEW_TABLES), commands(2, &["+p:7:grpc:enabled:1:-"]));
    apply(&edge, first.first().unwrap());
    apply(&edge, first.get(1).unwrap());
    apply(&edge, second.first().unwrap());
    for command in first.iter().skip(2) {
        assert_eq!(refusal_code(&apply(&edge, command)), "load", "{}", command.text());
    }
    for command in second.iter().skip(1) {
        assert!(matches!(apply(&edge, command), Applied::Ok { .. }), "{}", command.text());
    }
    assert!(is_admitted(&edge, &key(Service::Grpc, 1, 7).field()));
}

#[test]
fn a_load_is_committed_once() {
    let edge = old_edge();
    let commands = commands(1, &NEW_TABLES);
    for command in &commands {
        apply(&edge, command);
    }
    assert_eq!(refusal_code(&apply(&edge, commands.last().unwrap())), "load");
    assert!(is_admitted(&edge, &NEW_KEY.field()));
}

#[test]
fn a_delta_during_a_load_is_applied_to_the_tables_in_force() {
    let edge = old_edge();
    let commands = commands(1, &NEW_TABLES);
    let (commit, rest) = commands.split_last().unwrap();
    for command in rest {
        apply(&edge, command);
    }
    change(&edge, &["-p:7:seal"]);
    assert!(!is_admitted(&edge, &OLD_KEY.field()));
    assert!(matches!(apply(&edge, commit), Applied::Ok { sequence: 900, .. }));
}

/// The agent decides what is right: a change made by hand, which moved the sequence on, is put back by a load.
#[test]
fn a_load_older_than_the_tables_of_its_stream_puts_back_what_was_changed_by_hand() {
    let edge = edge();
    let load = commands(1, &NEW_TABLES);
    let put_back = || load.iter().map(|command| apply(&edge, command)).last();
    put_back();
    let by_hand = changes(&["-r:4100000100000007", "+p:9:grpc:enabled:3:-"]);
    apply(&edge, &Apply::Delta { stream: NEW_STREAM, from: 900, to: 901, changes: by_hand });
    assert!(is_admitted(&edge, &key(Service::Grpc, 1, 9).field()));

    assert!(matches!(put_back(), Some(Applied::Ok { sequence: 900, policies: 2, revocations: 1, .. })));
    assert!(!is_admitted(&edge, &key(Service::Grpc, 1, 9).field()));
}

#[test]
fn counts_of_customers_survive_a_load() {
    let edge = old_edge();
    judge(&edge, &OLD_KEY.field());
    judge(&edge, &OLD_KEY.field());
    for texts in [&["+p:7:seal:disabled:1:-"][..], &["+p:8:seal:enabled:1:-"]] {
        for command in commands(1, texts) {
            assert!(matches!(apply(&edge, &command), Applied::Ok { .. }));
        }
        judge(&edge, &OLD_KEY.field());
    }
    let shown = show(&edge, 7).services.remove("seal").unwrap();
    // The third request met a disabled service, the fourth none at all.
    assert_eq!((shown.state.as_str(), shown.admitted, shown.refused), ("no_service", 2, 2));
}

/// HAProxy's watchdog ends a thread that stays busy; its limit is far above this one.
const COMMAND_MAX: Duration = Duration::from_millis(20);

/// What this thread has worked so far: the watchdog's measure, too, and other work on the machine is not in it.
fn worked() -> Duration {
    rustix::time::clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// A neighbour may still slow one run down through the memory, but hardly all.
fn is_fast_enough(slowest_of_each_run: &[Duration]) {
    println!("the slowest command of each run: {slowest_of_each_run:?}");
    if !cfg!(debug_assertions) {
        assert!(slowest_of_each_run.iter().any(|slowest| *slowest <= COMMAND_MAX));
    }
}

#[test]
fn a_load_of_100_000_entries_of_each_table_has_no_command_longer_than_20_ms() {
    const COUNT: u32 = 100_000;
    let policies = (1..=COUNT).map(|customer| format!("+p:{}:seal:enabled:1:-", customer * 40_000));
    let revocations = (1..=COUNT).map(|customer| format!("+r:41000002{:08X}:0:revoked", customer * 40_000));
    let prefixes = (1..=COUNT).map(|n| format!("+a:{}:seal:2001:db8:{:x}::/48", n / 100 + 1, n % 65_535 + 1));
    let entries = changes(&policies.chain(revocations).chain(prefixes).collect::<Vec<_>>());
    let commands: Vec<_> = commands_in_parts(1, parts_of(entries)).iter().map(Apply::text).collect();
    for text in &commands {
        // With the longest prefix that the master's socket needs.
        assert!("@!4194304 suiftly apply ".len() + text.len() <= COMMAND_LEN_MAX, "{} bytes", text.len());
    }

    let edge = edge();
    let load = || {
        let times = commands.iter().map(|text| {
            let start = worked();
            let answer = apply_text(&edge, text);
            assert!(matches!(answer, Applied::Ok { .. }), "{answer:?}");
            worked() - start
        });
        times.max().unwrap()
    };
    load();
    // From the second load on there are large tables to be thrown away.
    let runs = if cfg!(debug_assertions) { 1 } else { 3 };
    is_fast_enough(&(0..runs).map(|_| load()).collect::<Vec<_>>());
    assert_eq!((status(&edge).policies.count, status(&edge).revocations.count), (COUNT.into(), COUNT.into()));
    assert_eq!(status(&edge).allowlists.unwrap().count, u64::from(COUNT));
    assert!(is_admitted(&edge, &key(Service::Seal, 1, 40_000).field()));
    assert!(!is_admitted(&edge, &key(Service::Seal, 2, 40_000).field()));
}

#[test]
fn the_largest_load_begins_within_20_ms_and_a_larger_one_is_refused() {
    const ENTRIES_MAX: u32 = 2_000_000;
    const PREFIXES_MAX: u32 = 500_000;
    let edge = edge();
    let begin = |policies, revocations, allowlists| {
        let begin =
            Apply::Begin { load: 1, stream: NEW_STREAM, sequence: 900, policies, revocations, allowlists };
        let start = worked();
        (apply(&edge, &begin), worked() - start)
    };
    for (policies, revocations, allowlists) in
        [(ENTRIES_MAX + 1, 0, 0), (0, ENTRIES_MAX + 1, 0), (0, 0, PREFIXES_MAX + 1)]
    {
        assert_eq!(refusal_code(&begin(policies, revocations, allowlists).0), "load");
    }
    let times = [(); 5].map(|()| {
        let (answer, took) = begin(ENTRIES_MAX, ENTRIES_MAX, PREFIXES_MAX);
        assert!(matches!(answer, Applied::Ok { .. }), "{answer:?}");
        took
    });
    is_fast_enough(&times);
}

/// The most that there can be: to throw it away is a part of the next commit.
#[test]
fn a_load_of_all_the_prefixes_that_fit_has_no_command_longer_than_20_ms() {
    let text =
        |n: u32| format!("+a:{}:seal:2001:db8:{:x}:{:x}::/64", n / 100 + 1, (n >> 12) + 1, (n & 0xfff) + 1);
    let entries = changes(&(0..500_000).map(text).collect::<Vec<_>>());
    let commands: Vec<_> = commands_in_parts(1, parts_of(entries)).iter().map(Apply::text).collect();
    let edge = edge();
    let load = || {
        let times = commands.iter().map(|text| {
            let start = worked();
            let answer = apply_text(&edge, text);
            assert!(matches!(answer, Applied::Ok { .. }), "{answer:?}");
            worked() - start
        });
        times.max().unwrap()
    };
    load();
    let runs = if cfg!(debug_assertions) { 1 } else { 3 };
    is_fast_enough(&(0..runs).map(|_| load()).collect::<Vec<_>>());
    assert_eq!(status(&edge).allowlists.unwrap().count, 500_000);
}
