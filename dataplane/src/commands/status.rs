//! `suiftly status`: how this process stands.

use crate::allowlists;
use crate::commands::to_json;
use crate::edge::Edge;
use crate::panic_guard::guarded;
use crate::tables::Tables;
use edgeformat::status::{Status, TableStatus};

/// The answer; `lua` is the version of Lua in this HAProxy.
pub fn run(edge: &Edge, lua: &str) -> String {
    to_json(&status(edge, lua))
}

fn status(edge: &Edge, lua: &str) -> Status {
    let table = |count: usize, digest: edgeformat::TableDigest, room: usize| TableStatus {
        count: count as u64,
        checksum: digest.to_string(),
        capacity: room as u64,
    };
    guarded(edge, (), || edge.journal.look_again(edge));
    let problem = edge.journal.problem();
    let tables = edge.tables.read();
    let none = || table(0, Default::default(), 0);
    let (readable, stream, sequence, policies, revocations, stale, allowlists) = match &tables {
        None => (false, String::new(), 0, none(), none(), 0, none()),
        Some(tables) => {
            let Tables { policies, revocations, allowlists, .. } = &**tables;
            (
                true,
                tables.stream.to_string(),
                tables.sequence,
                table(policies.len(), policies.digest(), policies.room()),
                table(revocations.len(), revocations.digest(), revocations.room()),
                revocations.stale() as u64,
                table(allowlists.len(), allowlists.digest(), allowlists::ENTRIES_MAX),
            )
        }
    };
    drop(tables);
    let [burst, rejected, unserved] = edge.counts.outcomes();
    let (count, digest, room) = edge.local_revocations.status();
    let local_revocations = Some(table(count, digest, room));
    let problem =
        if readable { problem } else { Some("a command panicked earlier; reload HAProxy".to_owned()) };
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lua: lua.to_owned(),
        ready: problem.is_none(),
        problem,
        instance: format!("{:016x}", edge.instance),
        loaded_at_s: edge.loaded_at_s,
        stream,
        sequence,
        policies,
        revocations,
        filter_stale_entries: stale,
        allowlists: Some(allowlists),
        local_revocations,
        key_groups: edge.keyring.groups(),
        key_group_checks: edge.keyring.checks(),
        accept_v0_groups: edge.keyring.accept_v0_groups(),
        admitted: edge.counts.admitted_in_all(),
        burst,
        rejected,
        unserved,
        ledger: Some(edge.usage.status()),
        refused: edge.counts.refused_by_code(),
        panics: edge.counts.panics(),
    }
}
