//! The reconciler: what should be, what is, make it so.
//!
//! One function, `look`, is called at start, at every signal and every second, with no input but its source (the
//! database, or a control plane on another machine) and the machine. A crash at any point of it is repaired by the
//! next call. With the source away it goes on keeping files and workers what they should be by all it has heard.
//!
//! It deliberately does not decide anything: what a customer may do is decided by [`crate::domain`] alone.

use crate::app::chain_of;
use crate::changes::feed::{Feed, Snapshot};
use crate::clock::Clock;
use crate::config::Config;
use crate::edge::board::Board;
use crate::edge::key_groups::KeyGroups;
use crate::edge::local_revocations::LocalRevocations;
use crate::edge::map_files::{self, Drafts, MapFileIoError, MapFiles};
use crate::edge::mirror::Mirror;
use crate::edge::operator_maps::OperatorMaps;
use crate::edge::push::{PushCounts, PushError, Pusher};
use crate::edge::runtime_socket::MasterSocket;
use crate::edge::scanner::{Scan, ScanOf};
use crate::edge::source::{Source, SourceError};
use crate::edge::workers::Workers;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the agent looks without being asked: a hand edit or a restarted HAProxy is noticed within this.
const TICK: Duration = Duration::from_secs(1);
/// The same while the edge is not in step: an HAProxy that comes back is brought up to date at once.
const TICK_WHILE_BEHIND: Duration = Duration::from_millis(200);

/// Why a look did not end with every worker in step.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// There is no word of what should be; files and workers are what they should be by the last one.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A map file could not be made; nothing was pushed.
    #[error(transparent)]
    MapFile(#[from] MapFileIoError),
    /// A worker is not in step.
    #[error(transparent)]
    Push(#[from] PushError),
}

/// Keeps the files and the workers of this machine in step with the database.
pub struct Agent {
    source: Box<dyn Source>,
    mirror: Mirror,
    /// Another number whenever the mirror was replaced and did not only take in changes.
    generation: u64,
    maps: PathBuf,
    files: MapFiles,
    /// Writes the tables whole beside the ones in force.
    drafting: Option<JoinHandle<Option<Result<Drafts, MapFileIoError>>>>,
    pusher: Pusher,
    operator_maps: OperatorMaps,
    local_revocations: LocalRevocations,
    /// What is wrong with them.
    map_problems: Vec<String>,
    key_groups: KeyGroups,
    /// What is wrong with the keyring.
    key_problems: Vec<String>,
    scans: Receiver<Scan>,
    board: Arc<Board>,
    clock: Clock,
    /// How many requests to load everything anew the look that runs fulfils.
    resyncs: Option<u64>,
    /// The error that was logged last, so that an HAProxy that is down fills no log.
    logged_error: Option<String>,
}

impl Agent {
    /// Writes the map files as `mirror` says, which `source` goes on from. HAProxy can start after this.
    ///
    /// # Errors
    /// [`LookError::MapFile`].
    pub fn start(
        source: Box<dyn Source>,
        mirror: Mirror,
        config: &Config,
        board: Arc<Board>,
        scans: Receiver<Scan>,
        clock: Clock,
    ) -> Result<Self, LookError> {
        let mut files = MapFiles::new(config.state.maps());
        files.make_durable(&mirror, 0)?;
        let maps = config.state.maps();
        let socket = MasterSocket::new(config.state.haproxy_master_socket(), clock.clone());
        let local_revocations = LocalRevocations::new(&maps, clock.clone());
        let operator_maps = OperatorMaps::new(&maps, socket.clone(), clock.clone());
        let key_groups = KeyGroups::new(config.keyring.file.clone(), socket.clone(), clock.clone());
        let pusher = Pusher::new(socket, clock.clone(), board.stopping_flag());
        board.publish(0, |state| {
            state.database = Some(mirror.position());
            state.last_error = Some("HAProxy was not looked at yet".to_owned());
        });
        Ok(Self {
            source,
            mirror,
            generation: 0,
            maps,
            files,
            drafting: None,
            pusher,
            operator_maps,
            local_revocations,
            map_problems: Vec::new(),
            key_groups,
            key_problems: Vec::new(),
            scans,
            board,
            clock,
            resyncs: None,
            logged_error: None,
        })
    }

    /// Looks until the board says stop.
    pub fn run(mut self) {
        // The first look is not waited for.
        let mut answers = self.board.next_look(Duration::ZERO);
        while !self.board.is_stopping() {
            let mut counts = PushCounts::default();
            let result = self.look(&mut counts);
            let tick = if result.is_ok() { TICK } else { TICK_WHILE_BEHIND };
            self.publish(answers, counts, result);
            answers = self.board.next_look(tick);
        }
    }

    /// The one function: source → mirror → files → every worker. The order is the promise: what is not on
    /// disk is not pushed.
    fn look(&mut self, counts: &mut PushCounts) -> Result<Workers, LookError> {
        let (resync, resyncs) = self.board.take_resync();
        self.resyncs = resyncs;
        let followed = if resync { self.begin_anew() } else { self.follow_the_source() };
        if let Some(key_groups) = self.source.key_groups() {
            self.mirror.set_key_groups(key_groups);
        }
        self.source.compare(&self.mirror);
        self.take_in_a_scan(counts);
        self.adopt_drafts()?;
        self.files.make_durable(&self.mirror, self.generation)?;
        self.key_problems = self.key_groups.look_at_the_file(self.mirror.key_groups());
        let workers = self.pusher.bring_every_worker_in_step(&self.mirror, counts)?;
        self.key_problems.extend(self.key_groups.bring_in_force(&workers, self.pusher.statuses()));
        self.map_problems = self.operator_maps.look(&workers);
        self.map_problems.extend(self.local_revocations.look(&self.pusher));
        followed?;
        Ok(workers)
    }

    /// Everything from the source, or what is known if it has nothing now, into new files, into every worker.
    fn begin_anew(&mut self) -> Result<(), SourceError> {
        self.generation += 1;
        self.pusher.distrust_everyone();
        if let Some(snapshot) = self.source.anew()? {
            self.adopt(snapshot)?;
        }
        Ok(())
    }

    /// Takes a snapshot for the mirror. One of another history, or from before where we are, is of a database that was
    /// restored: what only we know as revoked is offered to it first.
    fn adopt(&mut self, snapshot: Snapshot) -> Result<(), SourceError> {
        let (ours, theirs) = (self.mirror.position(), snapshot.position);
        let snapshot = if theirs.stream == ours.stream && theirs.sequence >= ours.sequence {
            Some(snapshot)
        } else {
            self.source.offer(&self.mirror, snapshot)?
        };
        if let Some(snapshot) = snapshot {
            self.mirror = Mirror::from_snapshot(snapshot);
            self.generation += 1;
        }
        Ok(())
    }

    fn follow_the_source(&mut self) -> Result<(), SourceError> {
        match self.source.after(self.mirror.position())? {
            Feed::Changes(changes) if changes.is_empty() => {}
            Feed::Changes(changes) => {
                self.mirror.advance(changes);
            }
            Feed::Snapshot(snapshot) => self.adopt(snapshot)?,
        }
        Ok(())
    }

    /// Takes a scan, if one is there: repairs what differs, and has the tables' files written from the scan if the journal
    /// has become long.
    fn take_in_a_scan(&mut self, counts: &mut PushCounts) {
        let Ok(Scan { mirror: mut scan, of }) = self.scans.try_recv() else { return };
        if of == ScanOf::Files {
            // Files hold none.
            scan.set_key_groups(self.mirror.key_groups().clone());
        }
        // Changes that came after the scan; where they are no longer held, the next scan will do.
        scan.advance(self.mirror.changes_after(scan.position().sequence).unwrap_or_default());
        let is_same_moment = scan.position() == self.mirror.position();
        if let Some(difference) = self.mirror.difference(&scan).filter(|_| is_same_moment) {
            let what = match of {
                ScanOf::Database => {
                    "the database holds what its change log never said; the edge is repaired. Change it with `suiftly admin` only"
                }
                ScanOf::Files => "the map files are not what was written into them; they are written anew",
            };
            tracing::error!(
                plans = difference.plans,
                policies = difference.policies,
                revocations = difference.revocations,
                allowlists = difference.allowlists,
                key_groups = difference.key_groups,
                sequence = scan.position().sequence,
                "{what}"
            );
            if matches!(of, ScanOf::Database) {
                self.mirror = scan;
            }
            self.generation += 1;
            counts.repairs += 1;
        } else {
            let wants_drafts = self.files.wants_drafts() && is_same_moment;
            self.let_go_of(scan, wants_drafts);
        }
    }

    /// On a thread: to write or to free a million entries takes a while, and somebody may wait for a revocation.
    fn let_go_of(&mut self, scan: Mirror, write_drafts: bool) {
        let (maps, generation) = (self.maps.clone(), self.generation);
        let write_drafts = write_drafts && self.drafting.is_none();
        let work = move || write_drafts.then(|| map_files::write_drafts(&maps, &scan, generation));
        match std::thread::Builder::new().name("edge-drafts".to_owned()).spawn(work) {
            Ok(thread) if write_drafts => self.drafting = Some(thread),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "no thread for writing the map files; the journal grows on"),
        }
    }

    fn adopt_drafts(&mut self) -> Result<(), MapFileIoError> {
        let Some(thread) = self.drafting.take_if(|thread| thread.is_finished()) else { return Ok(()) };
        match thread.join() {
            Ok(Some(drafts)) => self.files.adopt(&drafts?),
            // The thread panicked; what it wrote is of no use, and the next one begins anew.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn publish(&mut self, answers: u64, counts: PushCounts, result: Result<Workers, LookError>) {
        let position = self.mirror.position();
        let error = result.as_ref().err().map(chain_of);
        self.log(error.as_ref());
        let (plans, policies, revocations) =
            (self.mirror.plans().len(), self.mirror.policies().len(), self.mirror.revocations().len());
        let allowlists = self.mirror.allowlists().len();
        let now_ms = self.clock.now_ms();
        let statuses = self.pusher.statuses().clone();
        let (map_problems, key_problems) = (self.map_problems.clone(), self.key_problems.clone());
        let resyncs = self.resyncs;
        self.board.publish(answers, |state| {
            (state.plans, state.policies, state.revocations) = (plans, policies, revocations);
            state.allowlists = allowlists;
            state.database = Some(position);
            state.counts.pushes += counts.pushes;
            state.counts.loads += counts.loads;
            state.counts.repairs += counts.repairs;
            state.errors += u64::from(error.is_some());
            state.statuses = statuses;
            state.map_problems = map_problems;
            state.key_problems = key_problems;
            match result {
                Ok(workers) => {
                    state.confirmed = Some(position);
                    state.workers = workers.all().count();
                    state.listed = workers;
                    state.in_step_since_ms.get_or_insert(now_ms);
                    state.behind_since_ms = None;
                    state.resyncs_done = resyncs.unwrap_or(state.resyncs_done);
                }
                Err(_) => {
                    state.workers = 0;
                    state.in_step_since_ms = None;
                    state.behind_since_ms.get_or_insert(now_ms);
                }
            }
            state.last_error = error;
        });
    }

    fn log(&mut self, error: Option<&String>) {
        match (error, &self.logged_error) {
            (Some(error), logged) if logged.as_ref() != Some(error) => {
                tracing::warn!(
                    error,
                    sequence = self.mirror.position().sequence,
                    "the edge is not in step; trying again"
                );
            }
            (None, Some(_)) => {
                tracing::info!(sequence = self.mirror.position().sequence, "the edge is in step again");
            }
            _ => {}
        }
        self.logged_error = error.cloned();
    }
}
