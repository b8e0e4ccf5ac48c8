//! From the ledger to the control plane: keeps a file in place that workers count in, reads all files every second, and
//! tells what has changed.
//!
//! A thread of its own: whatever it waits for, revocations do not wait for it. Nothing in it is needed to serve a request;
//! if it stands still, workers count on, and it finds everything when it goes on.

use crate::clock::Clock;
use crate::config::Config;
use crate::edge::board::Board;
use crate::edge::ledger_files::{LedgerFiles, Made};
use crate::edge::ledger_reading::FollowedLedger;
use crate::edge::runtime_socket::{MasterSocket, SocketError};
use edgeformat::StreamId;
use edgeformat::ledger::{Counters, LedgerReading, SLOTS_MAX};
use ledger::LedgerReader;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the files are read.
const TICK: Duration = Duration::from_secs(1);
/// The least time between two times of telling: each writes to the database.
const TELL_EVERY: Duration = Duration::from_secs(3);
/// How many times as long as telling took is rested after it, so that it never takes more than a quarter of the database.
const REST: u32 = 3;
/// The longest rest after it was not heard.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long a reload may take before a worker that counts elsewhere is a problem.
const RELOAD_TAKES_MAX: Duration = Duration::from_secs(15);
/// How long the request for a reload may take.
const RELOAD_LIMIT: Duration = Duration::from_secs(2);
/// The least time between two files.
const REPLACE_EVERY: Duration = Duration::from_secs(30);
/// The same while requests find no slot.
const REPLACE_FULL_EVERY: Duration = Duration::from_secs(3);
const MS_PER_S: i64 = 1_000;

/// Why a reading was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TellError {
    /// It may be taken later.
    Later(String),
    /// It never will: the ledger is another edge's.
    Never(String),
}

/// Where readings go.
pub type Sink = Box<dyn FnMut(&LedgerReading) -> Result<(), TellError> + Send>;

/// How metering stands on this machine.
#[derive(Clone, Default, Debug)]
pub struct Metering {
    /// Which of its files workers count in; 0: none.
    pub generation: u64,
    /// Slots of that file.
    pub slots: usize,
    /// How many of them are taken.
    pub taken: usize,
    /// Files that hold something that may still have to be told, the present one included.
    pub files: usize,
    /// Everything that was counted in them, and in those that were followed to their end since the start.
    pub total: Counters,
    /// The same when this process began.
    pub total_at_start: Counters,
    /// Requests let through that found no slot, as far as this process has seen; nobody is billed for them.
    pub unplaced: u64,
    /// Requests let through that stand, or stood, in a worker's memory only, as far as this process has seen; nobody is billed
    /// for them.
    pub uncollected: u64,
    /// Since when something waits to be told, unix milliseconds.
    pub waiting_since_ms: Option<i64>,
    /// How many times telling has failed since the start.
    pub errors: u64,
    /// What is wrong, for an operator.
    pub problems: Vec<String>,
}

impl Metering {
    /// What was counted since this process began: numbers that begin at 0 with it, as Prometheus wants them.
    pub fn since_start(&self) -> Counters {
        self.total.since(&self.total_at_start)
    }

    /// For how long the oldest count has waited to be told, in seconds.
    pub fn lag_seconds(&self, now_ms: i64) -> i64 {
        self.waiting_since_ms.map_or(0, |since_ms| (now_ms - since_ms).max(0) / MS_PER_S)
    }
}

/// Has a file in place that workers can count in, before HAProxy starts. `policies` is how many customers' services there
/// are.
pub fn prepare(config: &Config, clock: Clock, policies: usize) -> Prepared {
    let files = LedgerFiles::new(config.state.folder.clone(), clock, config.edge.boot_id.as_deref());
    let made = files.make_sure(LedgerFiles::slots_for(policies));
    Prepared { files, made }
}

/// The files as they are before HAProxy starts.
#[derive(Debug)]
pub struct Prepared {
    files: LedgerFiles,
    made: Made,
}

/// Starts the thread; it ends when the board says so.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(
    prepared: Prepared,
    master_socket: PathBuf,
    board: Arc<Board>,
    clock: Clock,
    sink: Sink,
) -> std::io::Result<()> {
    let meter = Meter {
        files: prepared.files,
        present: None,
        former: Vec::new(),
        ended: Counters::default(),
        ended_unplaced: 0,
        uncollected: BTreeMap::new(),
        stream: None,
        total_at_start: None,
        replaced_at: None,
        reload: None,
        problem: None,
        alarms: Vec::new(),
        telling: None,
        next_telling: clock.instant(),
        failed_in_a_row: 0,
        errors: 0,
        logged: Vec::new(),
        socket: MasterSocket::new(master_socket, clock.clone()),
        board,
        clock,
        sink,
    };
    std::thread::Builder::new()
        .name("edge-metering".to_owned())
        .spawn(move || meter.run(prepared.made))
        .map(drop)
}

struct Meter {
    files: LedgerFiles,
    present: Option<FollowedLedger>,
    former: Vec<FollowedLedger>,
    /// What was counted in files that are gone.
    ended: Counters,
    /// Requests that found no slot in those.
    ended_unplaced: u64,
    /// By worker's instance: the most that its memory had and no ledger.
    uncollected: BTreeMap<String, u64>,
    /// The history that the database is in, as far as is known.
    stream: Option<StreamId>,
    total_at_start: Option<Counters>,
    replaced_at: Option<Instant>,
    /// For which file a reload was asked for, and when.
    reload: Option<(String, Instant)>,
    /// Why there is no file to count in.
    problem: Option<String>,
    /// What an operator should know for as long as this process runs.
    alarms: Vec<String>,
    /// Why telling failed.
    telling: Option<String>,
    next_telling: Instant,
    failed_in_a_row: u32,
    errors: u64,
    logged: Vec<String>,
    socket: MasterSocket,
    board: Arc<Board>,
    clock: Clock,
    sink: Sink,
}

impl Meter {
    fn run(mut self, made: Made) {
        self.take_in(made);
        self.find_former();
        if !self.files.knows_the_boot() {
            self.alarms.push(
                "which run of this machine this is cannot be found out; set SUIFTLY_BOOT_ID (in a unit: %b). Without it what a power cut leaves of the ledger may be counted on"
                    .to_owned(),
            );
        }
        // Whoever asks now must not take it for a machine without a ledger; and telling may take a while.
        self.read();
        self.publish(None);
        while !self.board.is_stopping() {
            self.look();
            self.board.wait_for_news(TICK, |_| false);
        }
        // What was counted since stays in the files; but what can be told now need not wait for the next start.
        self.read();
        self.tell();
    }

    /// One function for start, crash, damage and growth: what should be, what is, make it so.
    fn look(&mut self) {
        self.keep_a_file_in_place();
        self.read();
        if self.clock.instant() >= self.next_telling {
            self.tell();
        }
        let reload = self.have_workers_count_in_it();
        self.publish(reload);
    }

    fn keep_a_file_in_place(&mut self) {
        let policies = self.board.state().policies;
        let is_damaged = !LedgerReader::open(&self.files.present()).is_ok_and(|reader| {
            reader.header().copied() == self.present.as_ref().map(|present| *present.header())
        });
        if is_damaged {
            return self.take_in(self.files.make_sure(LedgerFiles::slots_for(policies)));
        }
        let Some(present) = &self.present else { return };
        let (slots, taken) = present.reader().fill();
        let is_full = !present.reader().unplaced().is_zero();
        // No file has more than the most slots: more policies than that must not have HAProxy reloaded again and again.
        if taken < slots / 2 && slots >= policies.min(SLOTS_MAX) && !is_full {
            self.problem = None;
            return;
        }
        let now = self.clock.instant();
        let rest = if is_full { REPLACE_FULL_EVERY } else { REPLACE_EVERY };
        if self.replaced_at.is_some_and(|at| now.saturating_duration_since(at) < rest) {
            return;
        }
        let slots_after = self.files.slots_after(present.header(), policies);
        tracing::info!(
            slots,
            taken,
            policies,
            slots_after,
            "the usage ledger becomes too full; another one takes its place"
        );
        let made = self.files.replace(present.reader(), slots_after);
        self.replaced_at = Some(now);
        self.take_in(made);
    }

    fn take_in(&mut self, made: Made) {
        if let Some(alarm) = made.alarm {
            tracing::error!(alarm, "a usage ledger could not be used");
        }
        self.problem = made.problem;
        let Some((reader, header)) =
            made.reader.and_then(|reader| reader.header().copied().map(|header| (reader, header)))
        else {
            return;
        };
        if self.present.as_ref().is_some_and(|present| present.header().id == header.id) {
            return;
        }
        let present = FollowedLedger::new(self.files.present(), reader, header);
        if let Some(mut before) = self.present.replace(present) {
            // Whatever happened to its first bytes, we have it open, and workers count in it until they are reloaded.
            let generation = before.header().generation;
            before.moved_to(made.aside.unwrap_or_else(|| self.files.former_path(generation)));
            self.former.push(before);
        }
    }

    /// Files that an earlier process has left.
    fn find_former(&mut self) {
        self.files.tidy_up();
        let Ok(paths) = self.files.former() else { return };
        for path in paths {
            if self.former.iter().any(|known| known.path() == path) {
                continue;
            }
            match LedgerReader::open(&path).map(|reader| (reader.header().copied(), reader)) {
                Ok((Some(header), reader)) => self.former.push(FollowedLedger::new(path, reader, header)),
                Ok((None, _)) => {}
                Err(error) => self.alarms.push(format!("a former usage ledger cannot be read: {error}")),
            }
        }
    }

    fn read(&mut self) {
        let now_ms = self.clock.now_ms();
        let stream = self.board.state().database.map(|position| position.stream);
        let before = self.stream;
        self.stream = stream.or(before);
        if before.is_some() && self.stream != before {
            // A database from a backup lacks what was told since; what it has already is not taken twice.
            tracing::info!("the database is another one than before; all that was counted is told again");
            self.present.iter_mut().chain(&mut self.former).for_each(FollowedLedger::tell_all_again);
        }
        self.present.iter_mut().for_each(|ledger| ledger.read(now_ms, false));
        self.former.iter_mut().for_each(|ledger| ledger.read(now_ms, true));
    }

    fn tell(&mut self) {
        let begun = self.clock.instant();
        let mut failed = None;
        // One that is not taken does not keep the others from being told.
        let former = std::mem::take(&mut self.former);
        for mut ledger in former {
            match ledger.tell(&mut self.sink) {
                Ok(()) if ledger.is_over() => self.end(ledger),
                Ok(()) => self.former.push(ledger),
                Err(error) => {
                    self.former.push(ledger);
                    failed = Some(error);
                }
            }
        }
        if let Some(Err(error)) = self.present.as_mut().map(|ledger| ledger.tell(&mut self.sink)) {
            failed = Some(error);
        }
        let now = self.clock.instant();
        let rest = match &failed {
            None => {
                self.failed_in_a_row = 0;
                TELL_EVERY.max(now.saturating_duration_since(begun) * REST)
            }
            Some(_) => {
                self.failed_in_a_row += 1;
                self.errors += 1;
                (TICK * 2_u32.saturating_pow(self.failed_in_a_row.min(6) - 1)).min(RETRY_MAX)
            }
        };
        self.next_telling = now + rest;
        self.telling = failed.map(|error| match error {
            TellError::Later(why) => format!("the control plane was not told what was used: {why}"),
            TellError::Never(why) => format!("the control plane refuses the usage ledger: {why}"),
        });
    }

    /// All of it was taken, and nobody counts in it any more.
    fn end(&mut self, ledger: FollowedLedger) {
        if let Err(error) = self.files.forget(ledger.path()) {
            tracing::warn!(%error, file = %ledger.path().display(), "a former ledger cannot be deleted");
            return self.former.push(ledger);
        }
        let unplaced = ledger.reader().unplaced().admitted();
        if unplaced > 0 {
            tracing::error!(unplaced, "requests were counted for nobody: the ledger was full");
        }
        self.ended = self.ended.plus(&ledger.total());
        self.ended_unplaced = self.ended_unplaced.saturating_add(unplaced);
    }

    /// A worker that counts in another file, or in its memory, gets this one by a reload. Asked for once for each file; old
    /// workers keep what they have until they are gone.
    fn have_workers_count_in_it(&mut self) -> Option<String> {
        let id = self.present.as_ref()?.header().id.to_string();
        let state = self.board.state();
        let elsewhere = |pid: &&u32| {
            let ledger = state.statuses.get(pid).and_then(|status| status.ledger.as_ref());
            ledger.is_some_and(|ledger| ledger.id.as_deref() != Some(id.as_str()))
        };
        let pid = *state.listed.current.iter().find(elsewhere)?;
        let now = self.clock.instant();
        match &self.reload {
            Some((asked_for, at)) if *asked_for == id => {
                let is_late = now.saturating_duration_since(*at) > RELOAD_TAKES_MAX;
                let why = state.statuses.get(&pid).and_then(|status| status.ledger.clone()?.problem);
                is_late.then(|| {
                    format!(
                        "worker {pid} does not count in the usage ledger, though HAProxy was reloaded: {}",
                        why.as_deref().unwrap_or("it counts in another one")
                    )
                })
            }
            _ => {
                tracing::info!(
                    worker.pid = pid,
                    ledger = id,
                    "a worker counts in another ledger; HAProxy is reloaded"
                );
                // See `key_groups`: a reload breaks the connection, or takes longer than we wait.
                match self.socket.ask_master("reload", now + RELOAD_LIMIT) {
                    Ok(_) | Err(SocketError::Broken { .. } | SocketError::Timeout { .. }) => {
                        self.reload = Some((id, now));
                        None
                    }
                    Err(error) => Some(format!("HAProxy could not be asked to reload: {error}")),
                }
            }
        }
    }

    fn publish(&mut self, reload: Option<String>) {
        let statuses = self.board.state().statuses;
        for status in statuses.values() {
            let now = status.ledger.as_ref().map_or(0, |ledger| ledger.uncollected);
            if now > 0 {
                // A worker that was reloaded takes its memory with it; what was lost stays lost.
                let most = self.uncollected.entry(status.instance.clone()).or_default();
                *most = now.max(*most);
            }
        }
        let all = || self.former.iter().chain(&self.present);
        let unplaced: u64 = all().map(|ledger| ledger.reader().unplaced().admitted()).sum();
        let header = self.present.as_ref().map(|present| *present.header());
        let (slots, taken) = self.present.as_ref().map_or((0, 0), |present| present.reader().fill());
        let total = all().fold(self.ended, |sum, ledger| sum.plus(&ledger.total()));
        let files = all().count();
        let waiting_since_ms = all().filter_map(FollowedLedger::waiting_since_ms).min();
        let mut problems: Vec<String> =
            [&self.problem, &self.telling, &reload].into_iter().flatten().cloned().collect();
        problems.extend(self.alarms.iter().cloned());
        problems.extend(self.files.set_aside_before().iter().map(|aside| {
            format!(
                "a ledger that could not be read was set aside; what it counted after it was collected last is in no bill. `suiftly usage dump --despite-damage {aside}` shows it; delete it when you have looked",
                aside = aside.display()
            )
        }));
        if problems != self.logged {
            if let Some(problem) = problems.first() {
                tracing::warn!(problem, "metering is not as it should be");
            }
            self.logged.clone_from(&problems);
        }
        self.board.publish_metering(Metering {
            generation: header.map_or(0, |header| header.generation),
            slots,
            taken,
            files,
            total,
            total_at_start: *self.total_at_start.get_or_insert(total),
            unplaced: unplaced.saturating_add(self.ended_unplaced),
            uncollected: self.uncollected.values().sum(),
            waiting_since_ms,
            errors: self.errors,
            problems,
        });
    }
}
