//! A map file is taken whole, or refused with the line and what is wrong there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use apikey::{CustomerId, Fingerprint, Service};
use edgeformat::map_file::{
    MapFileError, default_errors, default_local_revocations, default_services, read_errors,
    read_local_revocations, read_plans, read_services, read_table, write_plans, write_table,
};
use edgeformat::{
    AllowlistEntry, Plan, PlanNumber, Policy, PolicyKey, PolicyState, Reason, Revocation, RevocationKind,
    StreamId,
};
use proptest::prelude::*;

fn policies(count: u32) -> Vec<Policy> {
    let policy = |n: u32| Policy {
        key: PolicyKey { customer: CustomerId::new(n + 1).unwrap(), service: Service::ALL[n as usize % 3] },
        state: PolicyState::ALL[n as usize % 6],
        plan: PlanNumber::new((n % 1024) as u16).unwrap(),
        allowlist: n.is_multiple_of(2),
    };
    (0..count).map(policy).collect()
}

fn read(text: &str) -> Result<Vec<Policy>, MapFileError> {
    let mut entries = Vec::new();
    read_table(text, |entry| {
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

fn text_of(count: u32) -> String {
    write_table(StreamId::from_u64(0xaa), 42, policies(count))
}

#[test]
fn a_table_reads_back_with_its_header() {
    let text = text_of(100);
    let mut entries: Vec<Policy> = Vec::new();
    let header = read_table(&text, |entry| {
        entries.push(entry);
        Ok(())
    })
    .unwrap();
    assert_eq!(entries, policies(100));
    assert_eq!((header.stream, header.sequence, header.count), (StreamId::from_u64(0xaa), 42, 100));
}

#[test]
fn revocations_read_back() {
    let entry = |n: u64| Revocation {
        fingerprint: Fingerprint::from_u64(n << 32 | n),
        in_force_from_s: n * 1000,
        kind: if n.is_multiple_of(2) { RevocationKind::Revoked } else { RevocationKind::Expired },
    };
    let entries: Vec<Revocation> = (0..50).map(entry).collect();
    let text = write_table(StreamId::from_u64(1), 1, entries.clone());
    let mut read = Vec::new();
    read_table(&text, |entry: Revocation| {
        read.push(entry);
        Ok(())
    })
    .unwrap();
    assert_eq!(read, entries);
}

#[test]
fn allowlists_read_back_and_a_mistake_is_named() {
    let lines = ["7 seal 203.0.113.0/24", "7 seal 2001:db8::/32", "8 grpc ::/0"];
    let entries = lines.map(|line| AllowlistEntry::from_fields(line.split(' ')).unwrap());
    let text = write_table(StreamId::from_u64(1), 1, entries);
    assert!(text.starts_with("# suiftly allowlists format=1 stream=0000000000000001 sequence=1 count=3 "));
    let mut read = Vec::new();
    read_table(&text, |entry: AllowlistEntry| {
        read.push(entry);
        Ok(())
    })
    .unwrap();
    assert_eq!(read, entries);
    for (line, expected) in [
        ("8 grpc", "`prefix` is missing"),
        ("8 grpc 10.0.0.7/8", "the block is 10.0.0.0/8"),
        ("8 grpc 2001:DB8::/32", "must be written `2001:db8::/32`"),
        ("8 grpc ::/0 -", "one field too many"),
    ] {
        let error = read_table(&text.replace("8 grpc ::/0", line), |_: AllowlistEntry| Ok(())).unwrap_err();
        assert_eq!(error.line, 5, "{line}: {error}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
}

#[test]
fn comments_and_blank_lines_may_stand_between_entries() {
    let text = text_of(2).replace("\n2 ", "\n\n# the second\n2 ");
    assert_eq!(read(&text).unwrap(), policies(2));
}

#[test]
fn a_table_of_another_kind_is_refused_at_line_1() {
    let text = write_table(StreamId::from_u64(1), 1, Vec::<Revocation>::new());
    assert_eq!(read(&text).unwrap_err().line, 1);
}

#[test]
fn every_mistake_in_a_line_is_refused_at_that_line_with_what_is_wrong() {
    for (line, expected) in [
        ("0 seal enabled 1 -", "customer 0"),
        ("4294967296 seal enabled 1 -", "customer"),
        ("07 seal enabled 1 -", "customer"),
        ("7 walrus enabled 1 -", "seal, grpc and graphql"),
        ("7 Seal enabled 1 -", "seal, grpc and graphql"),
        ("7 seal on 1 -", "no state"),
        ("7 seal enabled 1024 -", "0..=1023"),
        ("7 seal enabled 1", "`allowlist` is missing"),
        ("7 seal enabled 1 yes", "`allowlist` or `-`"),
        ("7 seal enabled 1 - -", "one field too many"),
        ("7", "`service` is missing"),
    ] {
        let text = text_of(3).replace("\n2 ", &format!("\n{line}\n2 "));
        let error = read(&text).unwrap_err();
        assert_eq!(error.line, 4, "{line}: {error}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
}

proptest! {
    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_refused(at: prop::sample::Index, byte in any::<u8>(), cut: bool) {
        let text = text_of(20);
        // The second line is a comment; a change there changes nothing.
        let comment = text.find('\n').unwrap() + 1..text.find("\n1 ").unwrap() + 1;
        let at = at.index(text.len());
        prop_assume!(!comment.contains(&at));
        let damaged = if cut { text.as_bytes()[..at].to_vec() } else {
            let mut bytes = text.clone().into_bytes();
            prop_assume!(bytes[at] != byte);
            bytes[at] = byte;
            bytes
        };
        let Ok(damaged) = String::from_utf8(damaged) else { return Ok(()) };
        if let (Ok(entries), false) = (read(&damaged), damaged == text) {
            // Stream and sequence stand for themselves; white space may be another.
            prop_assert_eq!(entries, policies(20));
            prop_assert!(!cut, "a file that breaks off was taken");
        }
    }
}

#[test]
fn plans_read_back_and_a_number_stands_once() {
    let plan = |n: u16| Plan {
        number: PlanNumber::new(n).unwrap(),
        guaranteed_per_s: u32::from(n) * 10,
        burst_per_s: u32::from(n),
        burst_priority: 2,
    };
    let text = write_plans([plan(1), plan(2)]);
    assert_eq!(read_plans(&text).unwrap(), [plan(1), plan(2)]);
    let error = read_plans(&format!("{text}2 12\n")).unwrap_err();
    assert_eq!((error.line, error.to_string().contains("twice")), (5, true));
    for (line, expected) in [
        ("0 12", "1..=1023"),
        ("1024 12", "1..=1023"),
        ("3 x", "packed rates"),
        ("3", "missing"),
        ("3 281474976710656", "out of range"),
    ] {
        let error = read_plans(&format!("{text}{line}\n")).unwrap_err();
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
}

#[test]
fn the_default_services_and_errors_are_valid() {
    assert_eq!(read_services(&default_services()).unwrap().len(), 3);
    read_errors(&default_errors()).unwrap();
}

#[test]
fn a_service_line_that_makes_no_sense_is_refused() {
    for (line, expected) in
        [("4 seal", "no service number"), ("1", "a line is"), ("1 se al", "no name"), ("1 a;b", "no name")]
    {
        let error = read_services(&format!("{line}\n")).unwrap_err();
        assert!(error.line == 1 && error.to_string().contains(expected), "{line}: {error}");
    }
    assert!(read_services("1 seal\n1 seal\n").unwrap_err().to_string().contains("twice"));
}

#[test]
fn titles_may_be_reworded_and_nothing_else() {
    let text = default_errors();
    let reworded = text.replace("The key was revoked", "Nope, revoked: ask support@example.com");
    assert_ne!(reworded, text);
    read_errors(&reworded).unwrap();
    for (from, to, expected) in [
        ("8 401|revoked|", "8 200|revoked|", "only the title"),
        ("8 401|revoked|", "8 401|fine|", "only the title"),
        ("revoked|16", "revoked|0", "only the title"),
        ("8 401|revoked|The key was revoked|16\n", "", "reason 8 (revoked) is missing"),
        ("8 401|revoked|The key was revoked|16", "8 401", "four parts"),
        ("The key was revoked", "The \"key\"", "a title"),
        ("8 401|", "22 401|", "no reason's number"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let error = read_errors(&changed).unwrap_err().to_string();
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}

#[test]
fn the_example_files_of_the_repository_are_valid_and_show_the_defaults() {
    let read_example = |name: &str| {
        let path = format!("{}/../maps/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert_eq!(read_example("errors.map"), default_errors());
    assert_eq!(read_example("services.map"), default_services());
    assert!(!read_plans(&read_example("plans.map")).unwrap().is_empty());
    assert!(!read(&read_example("policies.map")).unwrap().is_empty());
    let mut revocations = 0;
    read_table(&read_example("revocations.map"), |_: Revocation| {
        revocations += 1;
        Ok(())
    })
    .unwrap();
    assert!(revocations > 0);
    let mut prefixes = 0;
    read_table(&read_example("allowlists.map"), |_: AllowlistEntry| {
        prefixes += 1;
        Ok(())
    })
    .unwrap();
    assert!(prefixes > 0);
    assert_eq!(Reason::all().count(), 21);
}

#[test]
fn local_revocations_are_fingerprints_or_whole_lines_each_once() {
    assert_eq!(read_local_revocations(&default_local_revocations()), Ok(Vec::new()));
    let text = "# mine\n4100000112345678\n4100000212345678 1798761600 expired\n";
    let read = read_local_revocations(text).unwrap();
    assert_eq!(
        read.iter().map(|r| r.text(' ')).collect::<Vec<_>>(),
        ["4100000112345678 0 revoked", "4100000212345678 1798761600 expired"]
    );
    for (line, expected) in [
        ("4100000112345678", "line 4: this fingerprint stands here twice"),
        ("4100", "line 4: a fingerprint is"),
        ("4100000312345678 0", "line 4: the field `kind` is missing"),
    ] {
        let error = read_local_revocations(&format!("{text}{line}\n")).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(read_local_revocations("4100000112345678").is_err(), "a last line that was cut off");
}
