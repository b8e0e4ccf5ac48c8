//! The usage ledger: there, whole, with room, and closed to others.

use super::{Finding, Patient};
use ledger::LedgerReader;
use std::os::unix::fs::MetadataExt;

pub(super) fn ledger(patient: &Patient<'_>) -> Vec<Finding> {
    const CHECK: &str = "usage ledger";
    let path = patient.config.state.ledger();
    let reader = match LedgerReader::open(&path) {
        Ok(reader) => reader,
        Err(error) => {
            let todo = "the agent (`suiftly serve` or `suiftly agent`) makes it, and sets a damaged one aside: is it running, has it seen this one? Requests are served, and nobody is billed for them";
            return vec![Finding::problem(CHECK, error.to_string(), todo)];
        }
    };
    let (slots, taken) = reader.fill();
    let generation = reader.header().map_or(0, |header| header.generation);
    let seen = format!("{}: generation {generation}, {taken} of {slots} slots taken", path.display());
    let mut findings = vec![if taken < slots / 4 * 3 {
        Finding::ok(CHECK, seen)
    } else {
        let todo = "the agent replaces it when it is half full: see its log, and the free disk";
        Finding::problem(CHECK, seen, todo)
    }];
    if !reader.unplaced().is_zero() {
        let seen =
            format!("{} requests were counted for nobody, since it was full", reader.unplaced().admitted());
        findings.push(Finding::problem(CHECK, seen, "see docs/FAILURE-MODES.md, `SuiftlyCountedForNobody`"));
    }
    let mode = std::fs::metadata(&path).map_or(0, |found| found.mode() & 0o777);
    if mode & 0o007 != 0 {
        let seen = format!("{} is open to everybody on this machine (mode {mode:04o})", path.display());
        findings.push(Finding::problem(CHECK, seen, format!("chmod o= {}", path.display())));
    }
    findings
}
