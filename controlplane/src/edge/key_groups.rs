//! The keyring file of this edge: what it holds, whether that is what the edge should hold, and the reload that brings a
//! changed file into force.
//!
//! No secret passes a socket: HAProxy reads the file itself when it loads, so a new group is a seamless reload, asked for
//! once for each version of the file and only after the file was read and found good. Whether a worker has the secret is
//! seen by its check value.

use crate::app::chain_of;
use crate::clock::Clock;
use crate::edge::map_files::Stamp;
use crate::edge::runtime_socket::{MasterSocket, SocketError};
use crate::edge::workers::Workers;
use crate::keyring;
use apikey::{CheckValue, Group};
use edgeformat::status::{KeyGroupCheck, Status};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long the request for a reload may take.
const RELOAD_LIMIT: Duration = Duration::from_secs(2);
/// How long a reload may take before a worker that still has the former keyring is a problem: a million revocations load
/// in about a second.
const RELOAD_TAKES_MAX: Duration = Duration::from_secs(15);

/// The keyring file as it was read last, and which version of it HAProxy was asked to load.
#[derive(Debug)]
pub struct KeyGroups {
    path: PathBuf,
    socket: MasterSocket,
    clock: Clock,
    /// The version that was read last.
    seen: Option<Stamp>,
    /// What it holds; none where it cannot be used.
    file: Option<FileGroups>,
    /// Why it cannot be used.
    file_problem: Option<String>,
    /// For which version a reload was asked for, and when.
    reload: Option<(Stamp, Instant)>,
    /// What was wrong at the last look, so that it is logged once.
    problems: Vec<String>,
}

/// What a worker that has read the file says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct FileGroups {
    checks: Vec<KeyGroupCheck>,
    accept_v0_groups: Vec<u8>,
}

impl KeyGroups {
    /// The file at this path; nothing is read yet.
    pub const fn new(path: PathBuf, socket: MasterSocket, clock: Clock) -> Self {
        Self {
            path,
            socket,
            clock,
            seen: None,
            file: None,
            file_problem: None,
            reload: None,
            problems: Vec::new(),
        }
    }

    /// Reads the file if it has changed, and answers what is wrong with it, for operators: it cannot be used, or does not
    /// hold what this edge should. That keeps nothing else from working.
    pub fn look_at_the_file(&mut self, wanted: &BTreeMap<Group, CheckValue>) -> Vec<String> {
        self.read_if_changed();
        let problems: Vec<String> = match (&self.file, &self.file_problem) {
            (_, Some(problem)) => vec![problem.clone()],
            (Some(file), None) => {
                wanted.iter().filter_map(|(group, check)| self.lacks(file, *group, *check)).collect()
            }
            (None, None) => Vec::new(),
        };
        if let Some(problem) = problems.first().filter(|_| problems != self.problems) {
            tracing::warn!(
                problem,
                "the keyring of this edge is not what it should be; HAProxy is not reloaded with it"
            );
        }
        self.problems = problems.clone();
        problems
    }

    /// Has HAProxy reload where a current worker has another keyring than the file, once for each version of the file.
    /// Old workers keep theirs until they are gone. Answers what is wrong.
    pub fn bring_in_force(&mut self, workers: &Workers, statuses: &BTreeMap<u32, Status>) -> Option<String> {
        let (Some(file), Some(stamp)) = (&self.file, self.seen) else { return None };
        let has_another = |pid: &&u32| statuses.get(pid).is_some_and(|status| !file.is_in(status));
        let pid = *workers.current.iter().find(has_another)?;
        match self.reload {
            Some((version, asked_at)) if version == stamp => {
                let waited = self.clock.instant().saturating_duration_since(asked_at);
                (waited > RELOAD_TAKES_MAX).then(|| {
                    format!(
                        "worker {pid} has not taken in the keyring {}, though HAProxy was asked to reload; its log says why",
                        self.path.display()
                    )
                })
            }
            _ => self.ask_for_a_reload(stamp, pid),
        }
    }

    fn ask_for_a_reload(&mut self, stamp: Stamp, pid: u32) -> Option<String> {
        tracing::info!(
            worker.pid = pid,
            file = %self.path.display(),
            "the keyring is not the one that HAProxy has loaded; it is reloaded"
        );
        let asked_at = self.clock.instant();
        match self.socket.ask_master("reload", asked_at + RELOAD_LIMIT) {
            // HAProxy up to 2.6 starts itself anew at once, and the connection breaks; later ones answer when the new
            // worker has loaded, which may take longer than we wait. Whether it has is seen in its status.
            Ok(_) | Err(SocketError::Broken { .. } | SocketError::Timeout { .. }) => {
                self.reload = Some((stamp, asked_at));
                None
            }
            Err(error) => Some(format!("HAProxy could not be asked to reload: {}", chain_of(&error))),
        }
    }

    fn read_if_changed(&mut self) {
        let stamp = std::fs::metadata(&self.path).ok().map(|found| Stamp::of(&found));
        // One that could not be used is read at each look: a corrected mode or owner is no new version.
        if stamp == self.seen && self.file.is_some() {
            return;
        }
        self.seen = stamp;
        match keyring::load(&self.path) {
            Ok(keyring) => {
                let check = |(group, check): (Group, CheckValue)| KeyGroupCheck {
                    group: group.get(),
                    check: check.to_string(),
                };
                let mut accept_v0_groups: Vec<u8> =
                    keyring.accept_v0_groups.iter().map(|group| group.get()).collect();
                accept_v0_groups.sort_unstable();
                accept_v0_groups.dedup();
                let checks = keyring.checks().into_iter().map(check).collect();
                (self.file, self.file_problem) = (Some(FileGroups { checks, accept_v0_groups }), None);
            }
            Err(error) => (self.file, self.file_problem) = (None, Some(chain_of(&error))),
        }
    }

    fn lacks(&self, file: &FileGroups, group: Group, check: CheckValue) -> Option<String> {
        let held = file.checks.iter().find(|held| held.group == group.get());
        let path = self.path.display();
        match held {
            Some(held) if held.check == check.to_string() => None,
            Some(held) => Some(format!(
                "the keyring of this edge ({path}) holds another secret under group {group} (check value {}, not {check}); \
                 copy the keyring file there",
                held.check
            )),
            None => Some(format!(
                "the keyring of this edge ({path}) lacks group {group}; copy the keyring file there"
            )),
        }
    }
}

impl FileGroups {
    /// Whether a worker has loaded this. One whose module knows no check values is judged by its groups' numbers.
    fn is_in(&self, status: &Status) -> bool {
        let same_groups = if status.key_group_checks.is_empty() {
            self.checks.iter().map(|held| held.group).eq(status.key_groups.iter().copied())
        } else {
            self.checks == status.key_group_checks
        };
        same_groups && self.accept_v0_groups == status.accept_v0_groups
    }
}
