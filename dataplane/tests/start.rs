//! The module starts with good files only; with any other it says which file, where and what is wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scene;

use dataplane::settings::Settings;
use edgeformat::map_file::write_table;
use edgeformat::{Policy, Revocation, StreamId};
use scene::state::{KEY, REVOKED_KEY, State, allowlists, policies, revocations};
use scene::{STREAM, is_admitted, status};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

const MAPS: [&str; 6] =
    ["plans.map", "services.map", "errors.map", "policies.map", "revocations.map", "allowlists.map"];

/// Good files, but for this one.
fn a_file_is_refused(name: &str, text: &str, expected: &[&str]) {
    let state = State::good();
    state.write(name, text);
    state.is_refused(name, expected);
}

#[test]
fn good_files_start_an_edge_that_knows_what_they_say() {
    let edge = State::good().start().unwrap();
    assert!(is_admitted(&edge, &KEY.field()));
    assert!(!is_admitted(&edge, &REVOKED_KEY.field()));
    let status = status(&edge);
    assert_eq!((status.stream, status.sequence), (STREAM.to_string(), 42));
    assert_eq!((status.policies.count, status.revocations.count), (2, 1));
    assert_eq!((status.key_groups, status.accept_v0_groups), (vec![1], vec![]));
}

#[test]
fn the_example_maps_of_the_repository_start_an_edge() {
    let state = State::good();
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../maps");
    for name in MAPS {
        fs::copy(examples.join(name), state.path("maps").join(name)).unwrap();
    }
    let edge = state.start().unwrap();
    assert_eq!((status(&edge).policies.count, status(&edge).revocations.count), (3, 3));
}

#[test]
fn an_absent_file_is_named() {
    for name in MAPS.map(|name| format!("maps/{name}")).iter().map(String::as_str).chain(["keyring.toml"]) {
        let state = State::good();
        fs::remove_file(state.path(name)).unwrap();
        state.is_refused(name, &["cannot be read", "No such file"]);
    }
}

#[test]
fn an_empty_file_is_refused_except_where_nothing_may_stand_in_it() {
    for name in MAPS.map(|name| format!("maps/{name}")).iter().map(String::as_str).chain(["keyring.toml"]) {
        let state = State::good();
        state.write(name, "");
        // An edge may have no plans and, drained, no service.
        let may_be_empty = ["maps/plans.map", "maps/services.map"].contains(&name);
        assert_eq!(state.start().is_ok(), may_be_empty, "{name}");
    }
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    for name in MAPS.map(|name| format!("maps/{name}")).iter().map(String::as_str).chain(["keyring.toml"]) {
        let state = State::good();
        fs::write(state.path(name), [0xff; 64]).unwrap();
        state.is_refused(name, &["UTF-8"]);
    }
}

#[test]
fn a_keyring_that_others_may_read_is_refused_and_the_remedy_named() {
    for mode in [0o644, 0o640, 0o604, 0o660, 0o620] {
        let state = State::good();
        state.chmod("keyring.toml", mode);
        state.is_refused("keyring.toml", &[&format!("mode {mode:04o}"), "chmod 600"]);
    }
    let state = State::good();
    state.chmod("keyring.toml", 0o400);
    assert!(state.start().is_ok());
}

#[test]
fn a_malformed_keyring_is_refused_without_showing_a_secret() {
    let good = State::good().read("keyring.toml");
    let secret = good.split('"').nth(1).unwrap().to_owned();
    let cases = [
        (good.replace("default_group = 1", "default_group = 2"), "default_group names group 2"),
        (good.replace("default_group = 1", ""), "default_group"),
        (good.replace("[groups]", "[group]"), "unknown field"),
        (good.replace(&secret, &secret[..62]), "64 hex digits"),
        (good.replace("1 = \"", "32 = \""), "0 to 31"),
        (good.replace('"', ""), "line 3"),
        (format!("accept_v0_groups = [3]\n{good}"), "accept_v0_groups names group 3"),
        ("#".repeat(70_000), "larger than"),
    ];
    for (text, expected) in cases {
        let state = State::good();
        state.write("keyring.toml", &text);
        state.is_refused("keyring.toml", &[expected]);
        let error = state.start().err().unwrap();
        assert!(!error.contains(&secret[..8]), "{error}");
    }
}

#[test]
fn a_malformed_line_is_refused_with_its_number_and_the_reason() {
    let state = State::good();
    let edit = |name: &str, from: &str, to: &str| {
        let text = state.read(name);
        assert!(text.contains(from), "{name} has no {from:?}");
        text.replacen(from, to, 1)
    };
    let fingerprint = REVOKED_KEY.fingerprint().to_string();
    let cases = [
        (
            "maps/plans.map",
            edit("maps/plans.map", "3 12", "3"),
            "line 3: the field `packed rates` is missing",
        ),
        ("maps/plans.map", edit("maps/plans.map", "3 12", "0 12"), "line 3: a plan number is 1..=1023"),
        (
            "maps/plans.map",
            edit("maps/plans.map", "3 12\n", "3 12\n3 13\n"),
            "line 4: plan 3 stands here twice",
        ),
        (
            "maps/services.map",
            edit("maps/services.map", "2 grpc", "4 mail"),
            "line 4: `4` is no service number",
        ),
        (
            "maps/services.map",
            edit("maps/services.map", "2 grpc", "1 grpc"),
            "line 4: service 1 stands here twice",
        ),
        (
            "maps/services.map",
            edit("maps/services.map", "2 grpc", "2 a b"),
            "line 4: `a b` is no name of a backend",
        ),
        (
            "maps/errors.map",
            edit("maps/errors.map", "8 401|", "8 200|"),
            "line 10: reason 8 is `401|revoked|",
        ),
        (
            "maps/errors.map",
            edit("maps/errors.map", "8 401|revoked", "7 401|revoked"),
            "line 10: reason 7 is",
        ),
        ("maps/errors.map", edit("maps/errors.map", "8 401|", "# 401|"), "reason 8 (revoked) is missing"),
        (
            "maps/policies.map",
            edit("maps/policies.map", "7 seal enabled", "0 seal enabled"),
            "line 3: customer 0",
        ),
        ("maps/policies.map", edit("maps/policies.map", "8 grpc", "8 mail"), "line 4: `mail` is no service"),
        (
            "maps/policies.map",
            edit("maps/policies.map", "disabled 3", "disabled 1024"),
            "line 4: a plan number is 0..=1023",
        ),
        (
            "maps/policies.map",
            edit("maps/policies.map", "suiftly policies", "suiftly plans"),
            "line 1: the first line must begin",
        ),
        (
            "maps/revocations.map",
            edit("maps/revocations.map", " 0 revoked", " soon revoked"),
            "line 3: `in force from`",
        ),
        ("maps/revocations.map", edit("maps/revocations.map", " 0 revoked", " 0 gone"), "line 3: a kind is"),
        (
            "maps/revocations.map",
            edit("maps/revocations.map", &fingerprint, "4100"),
            "line 3: a fingerprint is",
        ),
        (
            "maps/revocations.map",
            edit("maps/revocations.map", "sequence=42", "sequence=x"),
            "line 1: `sequence`",
        ),
    ];
    for (name, text, expected) in cases {
        a_file_is_refused(name, &text, &[expected]);
    }
}

#[test]
fn an_entry_that_stands_twice_is_refused_even_if_count_and_checksum_fit() {
    let line = "7 seal enabled 3 -";
    let policy = || Policy::from_fields(line.split(' ')).unwrap();
    let text = write_table(STREAM, 42, [policy(), policy()]);
    a_file_is_refused("maps/policies.map", &text, &["line 4: this customer and service stands here twice"]);
    let line = format!("{} 0 revoked", REVOKED_KEY.fingerprint());
    let revocation = || Revocation::from_fields(line.split(' ')).unwrap();
    let text = write_table(STREAM, 42, [revocation(), revocation()]);
    a_file_is_refused("maps/revocations.map", &text, &["line 4: this fingerprint stands here twice"]);
}

/// A file that breaks off anywhere is refused: a missing revocation would let a key through.
#[test]
fn a_table_that_was_cut_off_anywhere_is_refused() {
    for (name, text) in [
        ("maps/policies.map", policies(STREAM, 42)),
        ("maps/revocations.map", revocations(STREAM, 42)),
        ("maps/allowlists.map", allowlists(STREAM, 42)),
    ] {
        let state = State::good();
        for len in 0..text.len() {
            state.write(name, text.get(..len).unwrap());
            state.is_refused(name, &["line "]);
        }
        state.write(name, &text);
        assert!(state.start().is_ok());
    }
}

#[test]
fn a_changed_entry_is_refused_by_the_checksum() {
    let text = policies(STREAM, 42).replace("8 grpc disabled", "8 grpc enabled");
    a_file_is_refused("maps/policies.map", &text, &["changed by hand or damaged"]);
}

#[test]
fn a_header_that_lies_about_the_count_is_refused_and_reserves_no_room_for_it() {
    for (name, text, count) in [
        ("maps/policies.map", policies(STREAM, 42), "count=2"),
        ("maps/revocations.map", revocations(STREAM, 42), "count=1"),
        ("maps/allowlists.map", allowlists(STREAM, 42), "count=2"),
    ] {
        for lie in ["count=0", "count=3", "count=1000000000", "count=18446744073709551615"] {
            let start = Instant::now();
            a_file_is_refused(name, &text.replace(count, lie), &["its first line says"]);
            // Room for a billion entries would be tens of gigabytes, not to be had or not in this time.
            assert!(start.elapsed().as_secs() < 5, "{name} {lie}");
        }
        a_file_is_refused(name, &text.replace(count, "count=18446744073709551616"), &["line 1: `count`"]);
        a_file_is_refused(name, &text.replace(count, "count=-1"), &["line 1: `count`"]);
    }
}

#[test]
fn tables_of_two_streams_serve_and_ask_to_be_loaded_anew() {
    let state = State::good();
    state.write("maps/revocations.map", &revocations(StreamId::from_u64(1), 50));
    let edge = state.start().unwrap();
    assert!(is_admitted(&edge, &KEY.field()) && !is_admitted(&edge, &REVOKED_KEY.field()));
    let status = status(&edge);
    assert_eq!((status.stream, status.sequence), (StreamId::NONE.to_string(), 0));
}

#[test]
fn tables_of_two_sequences_stand_at_the_smaller_one() {
    for (policies_at, revocations_at) in [(41, 42), (42, 41)] {
        let state = State::good();
        state.write("maps/policies.map", &policies(STREAM, policies_at));
        state.write("maps/revocations.map", &revocations(STREAM, revocations_at));
        let status = status(&state.start().unwrap());
        assert_eq!((status.stream, status.sequence), (STREAM.to_string(), 41));
    }
}

#[test]
fn settings_come_from_the_environment_and_have_defaults_under_the_state_folder() {
    let read = |pairs: &'static [(&str, &str)]| {
        Settings::read(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    };
    let settings = read(&[("SUIFTLY_STATE", "var")]).unwrap();
    assert_eq!((settings.maps, settings.keyring), ("var/maps".into(), "var/keyring.toml".into()));
    let settings = read(&[("SUIFTLY_STATE", "var"), ("SUIFTLY_KEYRING", "elsewhere.toml")]).unwrap();
    assert_eq!(settings.keyring, PathBuf::from("elsewhere.toml"));
    let settings = read(&[("SUIFTLY_STATE", "var"), ("SUIFTLY_KEYRING", "")]).unwrap();
    assert_eq!(settings.keyring, PathBuf::from("var/keyring.toml"));
    assert!(read(&[]).is_err() && read(&[("SUIFTLY_STATE", "")]).is_err());
}
