//! What the module answers on the runtime socket. One JSON object on one line each.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The answer to `suiftly status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the module.
    pub version: String,
    /// `Lua 5.3` or `Lua 5.4`: what HAProxy was built with.
    pub lua: String,
    /// Whether requests can be judged; `false` means that each is refused with `not_ready`.
    pub ready: bool,
    /// Why it is not ready, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Random, 16 hex digits: another one means that HAProxy was reloaded or restarted.
    pub instance: String,
    /// When the module was loaded, unix seconds.
    pub loaded_at_s: u64,
    /// The stream that the tables belong to, 16 hex digits.
    pub stream: String,
    /// The last change that is in the tables.
    pub sequence: u64,
    /// The policy table.
    pub policies: TableStatus,
    /// The revocation table.
    pub revocations: TableStatus,
    /// Revocations that are gone and whose bits are still in the filter; they take room until the next whole load.
    #[serde(default)]
    pub filter_stale_entries: u64,
    /// The allowlists, entry by entry; none from a module that knows no such table and refuses whom it would be asked of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowlists: Option<TableStatus>,
    /// What the operator of this edge refuses beside it; none from a module that knows no such table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_revocations: Option<TableStatus>,
    /// Master key groups of the keyring.
    pub key_groups: Vec<u8>,
    /// The same with the check value of each secret; empty from a module that does not know them.
    #[serde(default)]
    pub key_group_checks: Vec<KeyGroupCheck>,
    /// Groups whose version 0 keys are accepted.
    pub accept_v0_groups: Vec<u8>,
    /// Requests admitted since the module was loaded.
    pub admitted: u64,
    /// Of those: served above the guaranteed rate.
    #[serde(default)]
    pub burst: u64,
    /// Of those: refused by HAProxy after all, for the limit, the address, the source or the body.
    #[serde(default)]
    pub rejected: u64,
    /// Of those: answered by HAProxy itself for want of a server's answer.
    #[serde(default)]
    pub unserved: u64,
    /// Requests refused by the module since it was loaded, by reason's code; with those of reasons 16 to 18 that HAProxy
    /// refused after the module had let them through.
    pub refused: BTreeMap<String, u64>,
    /// Where this process counts; none from a module that knows no ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
    /// Panics caught since the module was loaded; each was answered `not_ready`.
    pub panics: u64,
}

/// Where a process counts what its customers use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedgerStatus {
    /// The ledger's id, 16 hex digits; none while the counts are in the process's memory only.
    pub id: Option<String>,
    /// The ledger's generation.
    pub generation: u64,
    /// Slots.
    pub slots: u64,
    /// How many of them are taken.
    pub taken: u64,
    /// Whether requests count when they are answered, and not when they are let through.
    #[serde(default)]
    pub counted_at_answer: bool,
    /// Why there is no ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Requests let through that no ledger has; they are billed to nobody.
    #[serde(default)]
    pub uncollected: u64,
}

/// A master key group and which secret it has, without telling it. A list of these and not a map by number: serde
/// cannot read a map's numbers back inside an untagged enumeration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct KeyGroupCheck {
    /// 0 to 31.
    pub group: u8,
    /// [`apikey::CheckValue`], 8 hex digits.
    pub check: String,
}

/// How one table stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TableStatus {
    /// Entries.
    pub count: u64,
    /// Checksum of the entries, 16 hex digits.
    pub checksum: String,
    /// Entries that fit before the table must be loaded anew, larger.
    pub capacity: u64,
}

/// The answer to `suiftly show <customer>`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShowCustomer {
    /// Whose.
    pub customer: u32,
    /// The services that the edge knows, by name.
    pub services: BTreeMap<String, ShowService>,
}

/// One service of a customer as the edge has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ShowService {
    /// `enabled`, or the code of the refusal; `no_service` where there is no policy but counts.
    pub state: String,
    /// The plan's number.
    pub plan: u16,
    /// Whether addresses are asked for.
    pub allowlist: bool,
    /// From which addresses its keys may be used while they are; prefixes in rising order.
    #[serde(default)]
    pub allowed: Vec<String>,
    /// Requests that all workers admitted since the usage ledger was made.
    pub admitted: u64,
    /// Requests that they refused for this customer and service since then (reasons 8 to 15).
    pub refused: u64,
    /// Requests that they let through and HAProxy then refused: limit, address, source, body.
    #[serde(default)]
    pub rejected: u64,
    /// Requests that were served above the guaranteed rate.
    #[serde(default)]
    pub burst: u64,
    /// Requests that HAProxy answered itself for want of a server's answer.
    #[serde(default)]
    pub unserved: u64,
}

/// The answer to `suiftly apply`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Applied {
    /// Done; the agent compares these with what it sent.
    Ok {
        /// The sequence afterwards.
        sequence: u64,
        /// How many changes this command brought; 0 where the edge had them already.
        changes: u32,
        /// Policies afterwards.
        policies: u64,
        /// Revocations afterwards.
        revocations: u64,
        /// Entries of allowlists afterwards.
        #[serde(default)]
        allowlists: u64,
    },
    /// Nothing was applied.
    Refused {
        /// One of [`refused`].
        code: String,
        /// What was wrong, for a person.
        detail: String,
        /// Where the edge stands.
        sequence: u64,
    },
}

/// Codes in [`Applied::Refused`]; the agent decides by them.
pub mod refused {
    /// The command could not be read.
    pub const MALFORMED: &str = "malformed";
    /// The edge's tables belong to another stream: load them whole.
    pub const OTHER_STREAM: &str = "other_stream";
    /// The edge lacks changes before this delta: load it whole, or send what is missing.
    pub const GAP: &str = "gap";
    /// The reserved room is used up: load it whole, which makes room.
    pub const FULL: &str = "full";
    /// No such load, a part out of order, or a wrong count or checksum at commit: begin anew.
    pub const LOAD: &str = "load";
    /// The module is not ready.
    pub const NOT_READY: &str = "not_ready";
}
