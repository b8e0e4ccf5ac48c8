//! The journal beside the tables' files: read at the start, and once more before the first request, so that a worker which
//! was loading while a key was revoked never admits it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scene;

use dataplane::allowed::is_allowed;
use dataplane::edge::Edge;
use edgeformat::command::Apply;
use edgeformat::journal::{FILE, write_header, write_lines};
use edgeformat::map_file::Entry;
use edgeformat::map_file::{read_table, write_snapshot};
use edgeformat::status::Applied;
use edgeformat::{AllowlistEntry, Change, Decision, Policy, Reason, Revocation, StreamId};
use scene::state::{KEY, REVOKED_KEY, State, allowlists, policies, revocations};
use scene::{STREAM, apply, changes, is_admitted, judge, refused, status};
use std::fs::{self, OpenOptions};
use std::io::Write;

const JOURNAL: &str = "maps/changes.journal";

fn revoke_key() -> Change {
    format!("+r:{}:0:revoked", KEY.fingerprint()).parse().unwrap()
}

fn restore_revoked_key() -> Change {
    format!("-r:{}", REVOKED_KEY.fingerprint()).parse().unwrap()
}

fn snapshot<E: Entry + Clone>(text: &str, sequence: u64) -> String {
    let mut entries = Vec::new();
    read_table::<E>(text, |entry| {
        entries.push(entry);
        Ok(())
    })
    .unwrap();
    write_snapshot(STREAM, sequence, entries)
}

/// Tables at 42 and a journal after 42 that holds these changes, a line each.
fn state(lines: &[Change]) -> State {
    let state = State::good();
    state.write("maps/policies.map", &snapshot::<Policy>(&policies(STREAM, 42), 42));
    state.write("maps/revocations.map", &snapshot::<Revocation>(&revocations(STREAM, 42), 42));
    state.write(JOURNAL, &write_header(STREAM, 42));
    for (change, from) in lines.iter().zip(42..) {
        append(&state, &write_lines(STREAM, from, [*change]));
    }
    state
}

fn append(state: &State, text: &str) {
    OpenOptions::new().append(true).open(state.path(JOURNAL)).unwrap().write_all(text.as_bytes()).unwrap();
}

/// As the agent shortens a journal.
fn replace(state: &State, text: &str) {
    state.write("maps/draft", text);
    fs::rename(state.path("maps/draft"), state.path(JOURNAL)).unwrap();
}

fn is_not_ready(edge: &Edge) -> bool {
    judge(edge, &KEY.field()) == refused(Reason::NotReady, KEY.customer)
}

#[test]
fn what_the_journal_says_is_in_force_after_the_start() {
    let state = state(&[revoke_key(), restore_revoked_key()]);
    let edge = state.start().unwrap();
    assert_eq!((status(&edge).sequence, status(&edge).problem), (44, None));
    assert_eq!(judge(&edge, &KEY.field()), refused(Reason::Revoked, KEY.customer));
    assert!(is_admitted(&edge, &REVOKED_KEY.field()));
    assert_eq!((status(&edge).revocations.count, status(&edge).ready), (1, true));
}

/// The tables' files are written one after the other, and the journal is shortened after both.
#[test]
fn each_table_takes_what_came_after_its_own_sequence() {
    let state = state(&[revoke_key(), restore_revoked_key()]);
    // This file is of 50: both lines are older than it, and must not bring an older state back.
    let later = snapshot::<Revocation>(&revocations(STREAM, 42), 50);
    state.write("maps/revocations.map", &later);
    let edge = state.start().unwrap();
    assert_eq!(status(&edge).sequence, 44);
    assert!(is_admitted(&edge, &KEY.field()));
    assert!(!is_admitted(&edge, &REVOKED_KEY.field()));
}

/// A list that others have confirmed while this worker was loading: neither an address that has left it nor a policy
/// that began to ask is missed.
#[test]
fn an_allowlist_that_changed_while_the_worker_was_loading_holds_for_its_first_request() {
    let change = |text: &str| text.parse::<Change>().unwrap();
    let [home, office] = ["203.0.113.7", "198.51.100.7"];
    let allow = |address: &str| change(&format!("+a:7:seal:{address}/32"));
    let state = state(&[allow(home), allow(office)]);
    let edge = state.start().unwrap();
    append(&state, &write_lines(STREAM, 44, [change(&format!("-a:7:seal:{office}/32"))]));
    append(&state, &write_lines(STREAM, 45, [change("+p:7:seal:enabled:3:allowlist")]));
    let Decision::Admitted { allowlist: true, .. } = judge(&edge, &KEY.field()) else {
        panic!("not asked for")
    };
    let packed = judge(&edge, &KEY.field()).packed();
    assert!(is_allowed(&edge, format!("{home} {packed}").as_bytes()));
    assert!(!is_allowed(&edge, format!("{office} {packed}").as_bytes()));
    assert_eq!((status(&edge).sequence, status(&edge).allowlists.unwrap().count), (46, 3));
}

/// Lists of a later moment than the journal's lines are not brought back to an older one.
#[test]
fn lists_take_what_came_after_their_own_sequence() {
    let entry = |sign: char| format!("{sign}a:7:seal:203.0.113.7/32").parse::<Change>().unwrap();
    let state = state(&[entry('+'), entry('-')]);
    let later = snapshot::<AllowlistEntry>(&allowlists(STREAM, 42), 43).replace("sequence=43", "sequence=50");
    state.write("maps/allowlists.map", &later);
    let edge = state.start().unwrap();
    assert_eq!((status(&edge).sequence, status(&edge).allowlists.unwrap().count), (44, 2));
}

#[test]
fn tables_whose_journal_is_gone_are_refused() {
    let state = state(&[]);
    fs::remove_file(state.path(JOURNAL)).unwrap();
    state.is_refused(JOURNAL, &["cannot be read", "No such file", "suiftly serve"]);
}

#[test]
fn a_line_that_was_being_written_when_the_machine_stopped_is_left_out() {
    let state = state(&[restore_revoked_key()]);
    let line = write_lines(STREAM, 43, [revoke_key()]);
    append(&state, line.get(..line.len() - 1).unwrap());
    let edge = state.start().unwrap();
    assert_eq!(status(&edge).sequence, 43);
    assert!(is_admitted(&edge, &KEY.field()));
}

#[test]
fn any_other_damage_is_refused_with_its_line() {
    let state = state(&[restore_revoked_key(), revoke_key()]);
    let good = state.read(JOURNAL);
    for (from, to, expected) in [
        (":0:revoked", ":9:revoked", "line 4: the line does not match its checksum"),
        ("42 43 ", "43 44 ", "line 3: the line does not match its checksum"),
        ("after=42", "after=41", "line 3: the line begins after 42"),
        ("format=1", "format=2", "line 1: the first line must be"),
    ] {
        assert!(good.contains(from));
        state.write(JOURNAL, &good.replacen(from, to, 1));
        state.is_refused(JOURNAL, &[expected]);
    }
    let (_, without_header) = good.split_once('\n').unwrap();
    state.write(JOURNAL, without_header);
    state.is_refused(JOURNAL, &["line 1: "]);
    state.write(JOURNAL, "");
    state.is_refused(JOURNAL, &["its first line is missing"]);
}

#[test]
fn a_journal_that_does_not_join_its_tables_is_refused() {
    let state = state(&[]);
    state.write(JOURNAL, &(write_header(STREAM, 43) + &write_lines(STREAM, 43, [revoke_key()])));
    state.is_refused(JOURNAL, &["begins after 43, a table ends at 42: changes between them are missing"]);
    state.write(JOURNAL, &write_header(StreamId::from_u64(5), 42));
    state.is_refused(JOURNAL, &["it belongs to stream 0000000000000005"]);
}

#[test]
fn a_change_confirmed_while_a_worker_was_loading_is_in_force_at_its_first_request() {
    let state = state(&[]);
    let edge = state.start().unwrap();
    append(&state, &write_lines(STREAM, 42, [revoke_key()]));
    assert_eq!(judge(&edge, &KEY.field()), refused(Reason::Revoked, KEY.customer));
    assert_eq!(status(&edge).sequence, 43);
    // From now on the agent sends what is new; the file is not read for every request.
    append(&state, &write_lines(STREAM, 43, [restore_revoked_key()]));
    assert!(!is_admitted(&edge, &REVOKED_KEY.field()));
}

#[test]
fn the_same_if_the_journal_was_shortened_meanwhile() {
    let state = state(&[restore_revoked_key()]);
    let edge = state.start().unwrap();
    let lines = write_lines(STREAM, 42, [restore_revoked_key()]) + &write_lines(STREAM, 43, [revoke_key()]);
    replace(&state, &(write_header(STREAM, 42) + &lines));
    assert!(is_admitted(&edge, &REVOKED_KEY.field()));
    assert_eq!(judge(&edge, &KEY.field()), refused(Reason::Revoked, KEY.customer));
}

#[test]
fn while_something_is_missing_every_request_is_refused_until_the_agent_has_sent_it() {
    let state = state(&[]);
    let edge = state.start().unwrap();
    let lines = write_lines(STREAM, 43, [restore_revoked_key()]);
    replace(&state, &(write_header(STREAM, 43) + &lines));
    assert!(is_not_ready(&edge));
    let now = status(&edge);
    assert_eq!((now.ready, now.sequence), (false, 42));
    assert_eq!(now.problem.unwrap(), format!("{FILE} ends at 44, the tables at 42"));

    let delta = |from, to, change: Change| Apply::Delta { stream: STREAM, from, to, changes: vec![change] };
    assert!(matches!(apply(&edge, &delta(42, 43, revoke_key())), Applied::Ok { .. }));
    assert!(is_not_ready(&edge));
    assert!(matches!(apply(&edge, &delta(43, 44, restore_revoked_key())), Applied::Ok { .. }));
    assert_eq!(judge(&edge, &KEY.field()), refused(Reason::Revoked, KEY.customer));
    assert!(is_admitted(&edge, &REVOKED_KEY.field()));
    assert_eq!(status(&edge).problem, None);
}

#[test]
fn a_journal_that_vanished_or_was_damaged_meanwhile_refuses_every_request() {
    let vanished = state(&[]);
    let edge = vanished.start().unwrap();
    fs::remove_file(vanished.path(JOURNAL)).unwrap();
    assert!(is_not_ready(&edge));
    assert!(status(&edge).problem.unwrap().contains("cannot be opened"));
    // Put back by the agent, and seen at its next question.
    vanished.write(JOURNAL, &write_header(STREAM, 42));
    assert!(status(&edge).ready && is_admitted(&edge, &KEY.field()));

    let damaged = state(&[]);
    let edge = damaged.start().unwrap();
    append(&damaged, "42 43 0000000000000000 -r:1\n");
    assert!(is_not_ready(&edge));
    assert!(status(&edge).problem.unwrap().contains("line 3: the line does not match its checksum"));
}

/// More than is read at once: requests are refused until the end is reached, each reads on.
#[test]
fn a_long_journal_is_caught_up_with_step_by_step() {
    let state = state(&[]);
    let edge = state.start().unwrap();
    let many = (0..100_000).map(|n: u64| format!("+r:{:016X}:0:revoked", 0x4100_0001_0000_0100 + n % 1000));
    let mut many = changes(&many.collect::<Vec<_>>());
    many.push(revoke_key());
    append(&state, &write_lines(STREAM, 42, many));
    let refusals = std::iter::from_fn(|| Some(judge(&edge, &KEY.field())));
    let waited =
        refusals.take(20).take_while(|decision| *decision == refused(Reason::NotReady, KEY.customer)).count();
    assert!((1..10).contains(&waited), "{waited} steps");
    assert_eq!(judge(&edge, &KEY.field()), refused(Reason::Revoked, KEY.customer));
}
