//! How an edge stands, for operators: `suiftly edge status`.

use crate::edge::board::EdgeState;
use edgeformat::status::{KeyGroupCheck, Status, TableStatus};
use serde::{Deserialize, Serialize};

const MS_PER_S: i64 = 1_000;
/// For how long an edge may say nothing before it counts as cut off: three of its reports.
const SILENCE_MAX_MS: i64 = 15_000;

/// What an agent tells of its edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentReport {
    /// How the edge stands.
    pub report: EdgeReport,
    /// How many of the times that it was asked to load everything anew it has done so.
    pub resyncs_done: u64,
    /// Which process says it: random, 16 hex digits.
    #[serde(default)]
    pub instance: String,
}

/// One edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EdgeReport {
    /// Its name.
    pub edge: String,
    /// Whether every worker had everything at the last look, which was at most a second ago.
    pub in_step: bool,
    /// For how long it has not been in step, in seconds: how stale it may be.
    pub lag_seconds: i64,
    /// The history, 16 hex digits; empty before the first look.
    pub stream: String,
    /// The last change that every worker has confirmed.
    pub sequence: u64,
    /// The last change in the database.
    pub database_sequence: u64,
    /// Every worker that HAProxy listed at the last look, old ones included.
    pub workers: Vec<WorkerReport>,
    /// Why it is not in step.
    pub last_error: Option<String>,
    /// Operators' map files that are refused, with line and reason.
    pub map_problems: Vec<String>,
    /// How long ago it was heard, in seconds; 0 for the edge on this machine.
    #[serde(default)]
    pub heard_seconds_ago: i64,
    /// What is wrong with its keyring: keys of some groups may be refused there. It is no reason not to be in step.
    #[serde(default)]
    pub key_problems: Vec<String>,
    /// How metering stands there; none from an agent that knows no ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metering: Option<MeteringReport>,
}

/// How metering stands at an edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MeteringReport {
    /// Which of its ledger files workers count in; 0: none.
    pub generation: u64,
    /// Slots of that file.
    pub slots: u64,
    /// How many of them are taken.
    pub taken: u64,
    /// For how long the oldest count has waited to be told, in seconds.
    pub lag_seconds: i64,
    /// Requests let through that nobody is billed for: no slot, or no ledger.
    pub lost: u64,
    /// What is wrong, for an operator. It is no reason not to be in step.
    pub problems: Vec<String>,
}

/// One worker of HAProxy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Its process.
    pub pid: u32,
    /// Whether it is from before a reload and only serves what it had begun.
    pub old: bool,
    /// HAProxy's version.
    pub haproxy: String,
    /// The module's version.
    pub module: String,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// Whether it judges requests; else it refuses each.
    pub ready: bool,
    /// The last change that it has.
    pub sequence: u64,
    /// Its policies.
    pub policies: TableStatus,
    /// Its revocations.
    pub revocations: TableStatus,
    /// Its allowlists, entry by entry; none from a module that knows no such table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowlists: Option<TableStatus>,
    /// The master key groups of its keyring, with the check value of each secret; empty from a module that does not know
    /// them.
    #[serde(default)]
    pub key_groups: Vec<KeyGroupCheck>,
    /// Panics caught in it.
    pub panics: u64,
}

impl EdgeReport {
    /// The edge with this name and state.
    pub fn of(edge: &str, state: &EdgeState, now_ms: i64) -> Self {
        let worker = |(pid, status): (&u32, &Status)| WorkerReport {
            pid: *pid,
            old: state.listed.old.contains(pid),
            haproxy: state.listed.processes.get(pid).map_or_else(String::new, |found| found.version.clone()),
            module: status.version.clone(),
            uptime_seconds: state.listed.processes.get(pid).map_or(0, |found| found.uptime_s),
            ready: status.ready,
            sequence: status.sequence,
            policies: status.policies.clone(),
            revocations: status.revocations.clone(),
            allowlists: status.allowlists.clone(),
            key_groups: status.key_group_checks.clone(),
            panics: status.panics,
        };
        Self {
            edge: edge.to_owned(),
            in_step: state.in_step_since_ms.is_some(),
            lag_seconds: state.behind_since_ms.map_or(0, |since_ms| (now_ms - since_ms).max(0) / MS_PER_S),
            stream: state.database.map_or_else(String::new, |at| at.stream.to_string()),
            // A number of another history would say nothing.
            sequence: match (state.confirmed, state.database) {
                (Some(at), Some(now)) if at.stream == now.stream => at.sequence,
                _ => 0,
            },
            database_sequence: state.database.map_or(0, |at| at.sequence),
            workers: state.statuses.iter().map(worker).collect(),
            last_error: state.last_error.clone(),
            map_problems: state.map_problems.clone(),
            heard_seconds_ago: 0,
            key_problems: state.key_problems.clone(),
            metering: Some(MeteringReport {
                generation: state.metering.generation,
                slots: state.metering.slots as u64,
                taken: state.metering.taken as u64,
                lag_seconds: state.metering.lag_seconds(now_ms),
                lost: state.metering.unplaced.saturating_add(state.metering.uncollected),
                problems: state.metering.problems.clone(),
            }),
        }
    }

    /// The same from another machine, heard a while ago. Who has not been heard for long may be running on with what it
    /// has, and nobody knows with what.
    pub fn heard_of(self, edge: &str, seen_at_ms: i64, now_ms: i64) -> Self {
        let silent_ms = (now_ms - seen_at_ms).max(0);
        let mut report = Self { edge: edge.to_owned(), heard_seconds_ago: silent_ms / MS_PER_S, ..self };
        if silent_ms > SILENCE_MAX_MS {
            report.in_step = false;
            report.lag_seconds = report.lag_seconds.saturating_add(report.heard_seconds_ago);
            if let Some(metering) = &mut report.metering {
                metering.lag_seconds = metering.lag_seconds.saturating_add(report.heard_seconds_ago);
            }
            report.last_error = Some(format!(
                "it has said nothing for {} s; if it is gone for good: suiftly admin edge remove --name {edge}",
                report.heard_seconds_ago
            ));
        } else if !report.in_step {
            report.lag_seconds = report.lag_seconds.saturating_add(report.heard_seconds_ago);
        }
        report
    }
}
