//! Brings every worker in step with the mirror, and says so only when every one is.

use crate::clock::Clock;
use crate::edge::mirror::Mirror;
use crate::edge::plan_map;
use crate::edge::runtime_socket::{MasterSocket, SocketError, unusable};
use crate::edge::workers::{Workers, parse_show_proc};
use crate::random::{self, NoRandom};
use edgeformat::command::{Apply, parts_of};
use edgeformat::status::{Applied, Status, refused};
use edgeformat::{Change, Revocation, StreamId, TableDigest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long one call may take in all. A load of a million revocations takes a few seconds a worker.
const PUSH_LIMIT: Duration = Duration::from_secs(60);
/// How long a worker that fails is tried again within one call: one that is starting answers soon.
const RETRY_LIMIT: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// Why not every worker is in step.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// HAProxy runs without a worker that takes new connections.
    #[error("HAProxy has no running worker")]
    NoWorker,
    /// A worker could not be asked or told.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A worker refused a command.
    #[error("worker {pid} refused the changes ({code}): {detail}")]
    Refused {
        /// The worker.
        pid: u32,
        /// One of [`edgeformat::status::refused`].
        code: String,
        /// The worker's own words.
        detail: String,
    },
    /// A worker took everything and still has something else.
    #[error("worker {pid} does not have what it was told: {what}; it is loaded whole next")]
    Differs {
        /// The worker.
        pid: u32,
        /// What differs.
        what: String,
    },
    /// A worker has changes of the same history that we have not: what we have is old, and would bring revoked keys back.
    #[error(
        "worker {pid} is at change {worker}, and only {agent} are known here: the map files or the database are older than \
         what is in force. It is left as it is until the rest has come; if it never will (a database that was put back by \
         hand), `suiftly edge resync` loads what is here, and admits what was revoked since"
    )]
    Ahead {
        /// The worker.
        pid: u32,
        /// Its last change.
        worker: u64,
        /// Ours.
        agent: u64,
    },
    /// A worker has everything and still refuses every request.
    #[error("worker {pid} is not ready: {problem}")]
    NotReady {
        /// The worker.
        pid: u32,
        /// The worker's own words.
        problem: String,
    },
    /// There is no random number for a load.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The program ends.
    #[error("suiftly is stopping")]
    Stopping,
}

/// What was done, for metrics; counted also where it ended in an error.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PushCounts {
    /// Workers that were sent something.
    pub pushes: u64,
    /// Of these, workers that were loaded whole.
    pub loads: u64,
    /// Of these, workers that stood at the right sequence with the wrong tables.
    pub repairs: u64,
}

/// Sends changes to the workers.
#[derive(Clone, Debug)]
pub struct Pusher {
    socket: MasterSocket,
    clock: Clock,
    /// Set when the program ends; looked at between commands. Relaxed is enough: it guards no other data.
    stopping: Arc<AtomicBool>,
    /// Workers that did not have what they were told; these are loaded whole next.
    distrusted: BTreeSet<u32>,
    /// Whether all that run now are.
    distrusts_everyone: bool,
    /// What each worker said of itself last, for metrics.
    statuses: BTreeMap<u32, Status>,
}

/// What one worker needs.
enum Need {
    Nothing,
    Delta(Vec<(u64, Change)>),
    Load,
}

impl Pusher {
    /// Talks over this socket until `stopping` is set.
    pub const fn new(socket: MasterSocket, clock: Clock, stopping: Arc<AtomicBool>) -> Self {
        Self {
            socket,
            clock,
            stopping,
            distrusted: BTreeSet::new(),
            distrusts_everyone: false,
            statuses: BTreeMap::new(),
        }
    }

    /// Every worker that runs at the next call is loaded whole, whatever it says.
    pub const fn distrust_everyone(&mut self) {
        self.distrusts_everyone = true;
    }

    /// Brings every worker in step: the old ones, which still serve connections, and those that start
    /// meanwhile.
    ///
    /// # Errors
    /// [`PushError`]: at least one worker that HAProxy lists is not in step, or there is none.
    pub fn bring_every_worker_in_step(
        &mut self,
        mirror: &Mirror,
        counts: &mut PushCounts,
    ) -> Result<Workers, PushError> {
        let start = self.clock.instant();
        let (deadline, retry_until) = (start + PUSH_LIMIT, start + RETRY_LIMIT);
        let mut in_step = BTreeSet::new();
        loop {
            let workers = self.workers(deadline)?;
            if std::mem::take(&mut self.distrusts_everyone) {
                self.distrusted.extend(workers.all());
            }
            let pending: Vec<u32> = workers.all().filter(|pid| !in_step.contains(pid)).collect();
            self.distrusted.retain(|pid| workers.all().any(|listed| listed == *pid));
            self.statuses.retain(|pid, _| workers.all().any(|listed| listed == *pid));
            if pending.is_empty() {
                // This list was made after the last confirmation, so nobody has been left out.
                return if workers.current.is_empty() { Err(PushError::NoWorker) } else { Ok(workers) };
            }
            let mut failures = BTreeMap::new();
            for pid in pending {
                match self.bring_in_step(pid, mirror, counts, deadline) {
                    Ok(()) => {
                        in_step.insert(pid);
                    }
                    Err(PushError::Stopping) => return Err(PushError::Stopping),
                    Err(error) => {
                        failures.insert(pid, error);
                    }
                }
            }
            // One that has gone meanwhile is no failure; one that is still listed is.
            let still = self.workers(deadline)?;
            failures.retain(|pid, _| still.all().any(|listed| listed == *pid));
            let worth_a_retry = failures.values().all(may_pass) && self.clock.instant() < retry_until;
            match failures.pop_first() {
                Some((_, error)) if !worth_a_retry => return Err(error),
                Some(_) => std::thread::sleep(RETRY_PAUSE),
                None => {}
            }
        }
    }

    /// What each worker of the last list said of itself last, by pid.
    pub const fn statuses(&self) -> &BTreeMap<u32, Status> {
        &self.statuses
    }

    fn workers(&self, deadline: Instant) -> Result<Workers, PushError> {
        self.go_on()?;
        let command = "show proc";
        let reply = self.socket.ask_master(command, deadline)?;
        Ok(parse_show_proc(&reply).map_err(|reason| unusable(command, reason))?)
    }

    fn bring_in_step(
        &mut self,
        pid: u32,
        mirror: &Mirror,
        counts: &mut PushCounts,
        deadline: Instant,
    ) -> Result<(), PushError> {
        let before = self.status(pid, deadline)?;
        let ours = mirror.position();
        let is_ahead = has_stream(&before, ours.stream) && before.sequence > ours.sequence;
        if is_ahead && !self.distrusted.contains(&pid) {
            return Err(PushError::Ahead { pid, worker: before.sequence, agent: ours.sequence });
        }
        let mut problem = before.problem.clone();
        let mut changed = plan_map::put_plans(&self.socket, pid, mirror.plans(), deadline)?;
        let need = if self.distrusted.contains(&pid) { Need::Load } else { need_of(&before, mirror) };
        if !matches!(need, Need::Nothing) {
            changed = true;
            let repair = before.sequence == mirror.position().sequence
                && has_stream(&before, mirror.position().stream)
                && difference(&before, mirror).is_some();
            counts.repairs += u64::from(repair);
            self.send(pid, &before, need, mirror, counts, deadline)?;
            let after = self.status(pid, deadline)?;
            if let Some(what) = difference(&after, mirror) {
                self.distrusted.insert(pid);
                return Err(PushError::Differs { pid, what });
            }
            self.distrusted.remove(&pid);
            problem = after.problem;
        }
        if let Some(problem) = problem {
            return Err(PushError::NotReady { pid, problem });
        }
        changed |= plan_map::take_surplus_out(&self.socket, pid, mirror.plans(), deadline)?;
        counts.pushes += u64::from(changed);
        Ok(())
    }

    fn send(
        &self,
        pid: u32,
        before: &Status,
        need: Need,
        mirror: &Mirror,
        counts: &mut PushCounts,
        deadline: Instant,
    ) -> Result<(), PushError> {
        let Need::Delta(changes) = need else {
            counts.loads += 1;
            return self.load(pid, before, mirror, deadline);
        };
        match self.delta(pid, before.sequence, mirror.position().stream, changes, deadline) {
            Err(PushError::Refused { code, .. }) if load_helps(&code) => {
                counts.loads += 1;
                self.load(pid, before, mirror, deadline)
            }
            other => other,
        }
    }

    /// Sends the changes after `from` in parts, each of which ends with a whole change.
    fn delta(
        &self,
        pid: u32,
        mut from: u64,
        stream: StreamId,
        changes: Vec<(u64, Change)>,
        deadline: Instant,
    ) -> Result<(), PushError> {
        // One sequence number is one change, so the length of a part says where it ends.
        for part in parts_of(changes.into_iter().map(|(_, change)| change)) {
            let to = from + part.len() as u64;
            let sent = part.len();
            let applied = self.apply(pid, &Apply::Delta { stream, from, to, changes: part }, deadline)?;
            confirm_sequence(pid, applied, to)?;
            confirm_count(pid, applied, sent)?;
            from = to;
        }
        Ok(())
    }

    /// Replaces all tables of a worker; nothing of it is visible there before the end.
    fn load(&self, pid: u32, before: &Status, mirror: &Mirror, deadline: Instant) -> Result<(), PushError> {
        // 53 bits, so that a reader in any language holds it.
        let load = random::nonzero_u64()? >> 11;
        let position = mirror.position();
        let takes_allowlists = before.allowlists.is_some();
        let allowlists = || mirror.allowlists().iter().filter(|_| takes_allowlists);
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let begin = Apply::Begin {
            load,
            stream: position.stream,
            sequence: position.sequence,
            policies: count(mirror.policies().len()),
            revocations: count(mirror.revocations().len()),
            allowlists: count(allowlists().count()),
        };
        tracing::info!(
            worker.pid = pid,
            sequence = position.sequence,
            policies = mirror.policies().len(),
            revocations = mirror.revocations().len(),
            allowlists = allowlists().count(),
            "loading the tables of a worker whole"
        );
        self.apply(pid, &begin, deadline)?;
        let policies = mirror.policies().values().copied().map(Change::SetPolicy);
        let revocations = mirror.revocations().values().copied().map(Change::SetRevocation);
        let mut parts = 0;
        let entries = policies.chain(revocations).chain(allowlists().copied().map(Change::SetAllowed));
        for changes in parts_of(entries) {
            parts += 1;
            let sent = changes.len();
            let applied = self.apply(pid, &Apply::Part { load, part: parts, changes }, deadline)?;
            confirm_count(pid, applied, sent)?;
        }
        let commit = Apply::Commit {
            load,
            parts,
            policies_digest: mirror.policies_digest().get(),
            revocations_digest: mirror.revocations_digest().get(),
            allowlists_digest: if takes_allowlists { mirror.allowlists_digest().get() } else { 0 },
        };
        let applied = self.apply(pid, &commit, deadline)?;
        confirm_sequence(pid, applied, position.sequence)
    }

    /// Replaces the operator's own revocations in a worker.
    ///
    /// # Errors
    /// [`PushError`]; the worker then has what it had before.
    pub fn load_local_revocations(
        &self,
        pid: u32,
        revocations: &[Revocation],
        digest: TableDigest,
        deadline: Instant,
    ) -> Result<(), PushError> {
        let load = random::nonzero_u64()? >> 11;
        let count = u32::try_from(revocations.len()).unwrap_or(u32::MAX);
        self.apply(pid, &Apply::LocalBegin { load, revocations: count }, deadline)?;
        let mut parts = 0;
        for changes in parts_of(revocations.iter().copied().map(Change::SetRevocation)) {
            parts += 1;
            let sent = changes.len();
            let applied = self.apply(pid, &Apply::LocalPart { load, part: parts, changes }, deadline)?;
            confirm_count(pid, applied, sent)?;
        }
        self.apply(pid, &Apply::LocalCommit { load, parts, revocations_digest: digest.get() }, deadline)?;
        Ok(())
    }

    fn apply(&self, pid: u32, apply: &Apply, deadline: Instant) -> Result<Confirmed, PushError> {
        self.go_on()?;
        let command = format!("suiftly apply {}", apply.text());
        let reply = self.socket.ask_worker(pid, &command, deadline)?;
        match parse_json(&command, &reply)? {
            Applied::Ok { sequence, changes, .. } => Ok(Confirmed { sequence, changes }),
            Applied::Refused { code, detail, .. } => Err(PushError::Refused { pid, code, detail }),
        }
    }

    fn status(&mut self, pid: u32, deadline: Instant) -> Result<Status, PushError> {
        self.go_on()?;
        let command = "suiftly status";
        let status: Status = parse_json(command, &self.socket.ask_worker(pid, command, deadline)?)?;
        self.statuses.insert(pid, status.clone());
        Ok(status)
    }

    fn go_on(&self) -> Result<(), PushError> {
        if self.stopping.load(Ordering::Relaxed) { Err(PushError::Stopping) } else { Ok(()) }
    }
}

/// What a worker answered to one command.
#[derive(Clone, Copy)]
struct Confirmed {
    sequence: u64,
    changes: u32,
}

fn confirm_sequence(pid: u32, applied: Confirmed, expected: u64) -> Result<(), PushError> {
    if applied.sequence == expected {
        return Ok(());
    }
    let what = format!("it stands at sequence {} after it was brought to {expected}", applied.sequence);
    Err(PushError::Differs { pid, what })
}

/// HAProxy drops what does not fit its buffers without a word. 0 says that the worker had the changes
/// already.
fn confirm_count(pid: u32, applied: Confirmed, sent: usize) -> Result<(), PushError> {
    if applied.changes == 0 || usize::try_from(applied.changes) == Ok(sent) {
        return Ok(());
    }
    Err(PushError::Differs { pid, what: format!("it took {} of {sent} changes", applied.changes) })
}

fn parse_json<T: serde::de::DeserializeOwned>(command: &str, reply: &str) -> Result<T, PushError> {
    // HAProxy answers with its help where nobody has registered the command.
    let reply = reply.trim();
    if !reply.starts_with('{') {
        return Err(unusable(command, "the worker does not know the command; is the module loaded?").into());
    }
    let unreadable = |error: serde_json::Error| {
        let what = if error.is_eof() { "it breaks off" } else { "it is not what this version understands" };
        unusable(command, format!("{what} ({error})")).into()
    };
    serde_json::from_str(reply).map_err(unreadable)
}

/// Whether a worker that starts, or an old one that ends, may explain the failure.
fn may_pass(error: &PushError) -> bool {
    match error {
        PushError::Socket(SocketError::Unsendable(_)) => false,
        PushError::Socket(_) | PushError::Differs { .. } | PushError::NotReady { .. } => true,
        PushError::Refused { code, .. } => code == refused::LOAD || code == refused::GAP,
        PushError::NoWorker | PushError::Ahead { .. } | PushError::Random(_) | PushError::Stopping => false,
    }
}

fn load_helps(code: &str) -> bool {
    [refused::GAP, refused::OTHER_STREAM, refused::FULL, refused::LOAD].contains(&code)
}

fn need_of(status: &Status, mirror: &Mirror) -> Need {
    if difference(status, mirror).is_none() {
        return if has_stale_filter(status) { Need::Load } else { Need::Nothing };
    }
    let position = mirror.position();
    if !has_stream(status, position.stream) || status.sequence >= position.sequence {
        return Need::Load;
    }
    let changes = mirror.changes_after(status.sequence);
    changes.filter(|changes| takes_all(status, changes)).map_or(Need::Load, Need::Delta)
}

/// Whether a tenth of the filter's room is taken by revocations that are gone: then it is built anew.
const fn has_stale_filter(status: &Status) -> bool {
    status.filter_stale_entries.saturating_mul(10) > status.revocations.capacity
}

/// Whether the worker's module understands these changes. One from before allowlists is loaded whole instead, without
/// them: it refuses everybody whose address it would have to look at, and still gets every revocation.
fn takes_all(status: &Status, changes: &[(u64, Change)]) -> bool {
    let is_allowlist = |change: &Change| matches!(change, Change::SetAllowed(_) | Change::RemoveAllowed(_));
    status.allowlists.is_some() || !changes.iter().any(|(_, change)| is_allowlist(change))
}

fn has_stream(status: &Status, stream: StreamId) -> bool {
    status.stream == stream.to_string()
}

/// What differs between a worker and the mirror; none where it is in step.
fn difference(status: &Status, mirror: &Mirror) -> Option<String> {
    let position = mirror.position();
    if !has_stream(status, position.stream) {
        return Some(format!("its tables belong to stream {:.16}, not {}", status.stream, position.stream));
    }
    if status.sequence != position.sequence {
        return Some(format!("it stands at sequence {}, not {}", status.sequence, position.sequence));
    }
    let allowlists = status.allowlists.as_ref();
    let tables = [
        ("policies", Some(&status.policies), mirror.policies().len(), mirror.policies_digest()),
        ("revocations", Some(&status.revocations), mirror.revocations().len(), mirror.revocations_digest()),
        ("allowlists", allowlists, mirror.allowlists().len(), mirror.allowlists_digest()),
    ];
    let mut known =
        tables.into_iter().filter_map(|(name, table, count, digest)| Some((name, table?, count, digest)));
    let differs = known.find(|(_, table, count, digest)| {
        usize::try_from(table.count) != Ok(*count) || table.checksum != digest.to_string()
    });
    differs.map(|(name, table, count, _)| {
        format!("its {name} ({} entries) do not have the checksum of the database's ({count})", table.count)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::changes::feed::Snapshot;
    use crate::db::stream::Position;

    #[test]
    fn a_worker_in_step_is_loaded_whole_when_a_tenth_of_its_filter_is_stale() {
        let position = Position { stream: StreamId::from_u64(9), sequence: 5 };
        let mirror = Mirror::from_snapshot(Snapshot::empty(position));
        let status = |stale: u64| -> Status {
            let table = serde_json::json!({"count": 0, "checksum": "0000000000000000", "capacity": 1000});
            serde_json::from_value(serde_json::json!({
                "version": "0", "lua": "5.4", "ready": true, "problem": null, "instance": "1", "loaded_at_s": 0,
                "stream": position.stream.to_string(), "sequence": 5, "policies": table, "revocations": table,
                "filter_stale_entries": stale, "allowlists": table, "key_groups": [], "accept_v0_groups": [],
                "admitted": 0, "refused": {}, "panics": 0
            }))
            .unwrap()
        };
        assert!(matches!(need_of(&status(100), &mirror), Need::Nothing));
        assert!(matches!(need_of(&status(101), &mirror), Need::Load));
    }
}
