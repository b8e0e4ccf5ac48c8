//! A whole load over the runtime socket: begin, parts, commit. Nothing of it is visible before the commit, and no
//! command of it works longer than it takes to take in one part.

use crate::allowlists::{self, Allowlists};
use crate::edge::Edge;
use crate::policies::Policies;
use crate::revocations::Revocations;
use crate::tables::{Tables, applied, not_ready};
use edgeformat::status::{Applied, refused};
use edgeformat::{Change, StreamId};
use std::sync::PoisonError;

/// The most policies and the most revocations that a load may announce. To reserve the room for both tables is one command; for 16
/// million entries each it took 50 ms, for these 6.
const ENTRIES_MAX: u32 = 2_000_000;

/// A load that has begun.
pub struct Load {
    number: u64,
    parts: u32,
    expected_policies: u32,
    expected_revocations: u32,
    expected_allowlists: u32,
    tables: Tables,
}

/// What a load announces at its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Announced {
    /// The number that names it.
    pub load: u64,
    /// The stream of the new tables.
    pub stream: StreamId,
    /// The sequence of the new tables.
    pub sequence: u64,
    /// How many policies will come.
    pub policies: u32,
    /// How many revocations will come.
    pub revocations: u32,
    /// How many entries of allowlists will come.
    pub allowlists: u32,
}

/// The checksums that the tables must have at the end of a load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digests {
    /// Of the policies.
    pub policies: u64,
    /// Of the revocations.
    pub revocations: u64,
    /// Of the entries of allowlists.
    pub allowlists: u64,
}

/// Begins a load; one that had begun before is forgotten.
pub fn begin(edge: &Edge, announced: Announced) -> Applied {
    let Announced { load, stream, sequence, policies, revocations, allowlists } = announced;
    if policies > ENTRIES_MAX || revocations > ENTRIES_MAX {
        return refuse(edge, format!("a table has at most {ENTRIES_MAX} entries"));
    }
    if allowlists as usize > allowlists::ENTRIES_MAX {
        return refuse(edge, format!("allowlists have at most {} entries in all", allowlists::ENTRIES_MAX));
    }
    let tables = Tables {
        stream,
        sequence,
        policies: Policies::with_room_for(policies as usize),
        revocations: Revocations::with_room_for(revocations as usize),
        allowlists: Allowlists::default(),
    };
    let new = Load {
        number: load,
        parts: 0,
        expected_policies: policies,
        expected_revocations: revocations,
        expected_allowlists: allowlists,
        tables,
    };
    let old = edge.load.lock().unwrap_or_else(PoisonError::into_inner).replace(new);
    drop(old);
    accepted(edge, 0)
}

/// Takes in one part.
pub fn part(edge: &Edge, load: u64, part: u32, changes: &[Change]) -> Applied {
    let mut current = edge.load.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(current) = current.as_mut().filter(|current| current.number == load) else {
        return refuse(edge, format!("no load {load} has begun; begin it anew"));
    };
    if part != current.parts + 1 {
        return refuse(edge, format!("part {} is next, not {part}", current.parts + 1));
    }
    let belongs = |change: &Change| {
        matches!(change, Change::SetPolicy(_) | Change::SetRevocation(_) | Change::SetAllowed(_))
    };
    if !changes.iter().all(belongs) {
        return refuse(edge, "a load has only +p, +r and +a".to_owned());
    }
    for change in changes {
        if let Err(full) = current.tables.apply(change) {
            return refuse(edge, format!("more entries than were announced: {full}"));
        }
    }
    current.parts = part;
    accepted(edge, u32::try_from(changes.len()).unwrap_or(u32::MAX))
}

/// Ends a load: the new tables are in force if everything has come.
pub fn commit(edge: &Edge, load: u64, parts: u32, expected: Digests) -> Applied {
    let taken = {
        let mut current = edge.load.lock().unwrap_or_else(PoisonError::into_inner);
        current.take_if(|current| current.number == load)
    };
    let Some(current) = taken else {
        return refuse(edge, format!("no load {load} has begun; begin it anew"));
    };
    let tables = current.tables;
    let complete = current.parts == parts
        && tables.policies.len() == current.expected_policies as usize
        && tables.revocations.len() == current.expected_revocations as usize
        && tables.allowlists.len() == current.expected_allowlists as usize;
    if !complete {
        return refuse(edge, "not all announced parts and entries have come; begin the load anew".to_owned());
    }
    let found = Digests {
        policies: tables.policies.digest().get(),
        revocations: tables.revocations.digest().get(),
        allowlists: tables.allowlists.digest().get(),
    };
    if found != expected {
        return refuse(
            edge,
            "the tables do not have the announced checksums; begin the load anew".to_owned(),
        );
    }
    edge.tables.replace(tables)
}

fn accepted(edge: &Edge, changes: u32) -> Applied {
    match edge.tables.read() {
        None => not_ready(),
        Some(tables) => applied(&tables, changes),
    }
}

fn refuse(edge: &Edge, detail: String) -> Applied {
    let sequence = edge.tables.read().map_or(0, |tables| tables.sequence);
    Applied::Refused { code: refused::LOAD.to_owned(), detail, sequence }
}
