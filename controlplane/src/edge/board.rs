//! What the agents have achieved, for those who wait or ask: the control socket, the API, `/readyz` and `/metrics`.
//!
//! The agent in this process writes [`EdgeState`]; what other edges report is put beside it, from the API and from the
//! table of edges, where other copies of `suiftly serve` leave what was told to them.

use crate::clock::Clock;
use crate::db::stream::Position;
use crate::edge::metering::Metering;
use crate::edge::push::PushCounts;
use crate::edge::report::{AgentReport, EdgeReport};
use crate::edge::usage_counts::UsageCounts;
use crate::edge::workers::Workers;
use edgeformat::StreamId;
use edgeformat::status::Status;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What is known of the edge on this machine.
#[derive(Clone, Default, Debug)]
pub struct EdgeState {
    /// Where the database stands, as of the last look.
    pub database: Option<Position>,
    /// The last position that every worker has confirmed.
    pub confirmed: Option<Position>,
    /// Since when every look has found every worker in step, unix milliseconds; none while one is not.
    pub in_step_since_ms: Option<i64>,
    /// Since when a look has found a worker that is not in step, or none at all, unix milliseconds.
    pub behind_since_ms: Option<i64>,
    /// What each worker said of itself last, by pid.
    pub statuses: BTreeMap<u32, Status>,
    /// Workers in step at the last look, old ones included.
    pub workers: usize,
    /// The workers that HAProxy listed last.
    pub listed: Workers,
    /// Why the last look did not end in step, for a person.
    pub last_error: Option<String>,
    /// Why an operator's map file is refused, or not in every worker.
    pub map_problems: Vec<String>,
    /// What is wrong with the keyring of this edge, or with bringing it into force.
    pub key_problems: Vec<String>,
    /// How metering stands.
    pub metering: Metering,
    /// Plans, policies, revocations and entries of allowlists in the mirror.
    pub plans: usize,
    /// See `plans`.
    pub policies: usize,
    /// See `plans`.
    pub revocations: usize,
    /// See `plans`.
    pub allowlists: usize,
    /// What was sent since the start.
    pub counts: PushCounts,
    /// Looks that ended in an error since the start.
    pub errors: u64,
    /// How many of the times that this edge was asked to load everything anew it has done so.
    pub resyncs_done: u64,
    /// The number of the last request to look that a look has answered.
    answered: u64,
}

/// Another edge that everybody waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OtherEdge {
    /// What it said last.
    pub said: AgentReport,
    /// When, unix milliseconds.
    pub seen_at_ms: i64,
    /// How many times it was asked to load everything anew.
    pub resyncs: u64,
}

/// The checksums of the tables at one position, as the database itself has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableCheck {
    /// The moment.
    pub position: Position,
    /// Of the policies.
    pub policies: String,
    /// Of the revocations.
    pub revocations: String,
    /// Of the allowlists.
    pub allowlists: String,
}

/// The shared board: agents write it, everybody reads it, and anybody can ask the agents to look again.
#[derive(Debug)]
pub struct Board {
    // A mutex with a condition beside it, and not channels: there are many waiters, each for a moment of its
    // own.
    inner: Mutex<Inner>,
    changed: Condvar,
    /// The same for those who may not block: the long polls of other edges.
    wakes: watch::Sender<u64>,
    clock: Clock,
    stopping: Arc<AtomicBool>,
    polls_end: AtomicBool,
    usage: UsageCounts,
    /// The name of the edge on this machine; none where none runs.
    local: Option<String>,
}

#[derive(Default, Debug)]
struct Inner {
    state: EdgeState,
    others: BTreeMap<String, OtherEdge>,
    check: Option<TableCheck>,
    /// How many times a look was asked for.
    requested: u64,
    /// Whether everything is to be written and loaded anew.
    resync: bool,
    /// How many times others have asked for that, as far as they have said.
    resyncs: Option<u64>,
    /// How many wait.
    waiting: usize,
}

/// How a wait ended for one edge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitedEdge {
    /// Its name.
    pub edge: String,
    /// Whether every worker of it has confirmed what was waited for.
    pub applied: bool,
    /// The last sequence that every worker of it has confirmed.
    pub sequence: u64,
    /// Why it was not applied, for a person.
    pub detail: Option<String>,
}

/// How a wait ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waited {
    /// Whether every edge has confirmed.
    pub applied: bool,
    /// Each edge that was waited for.
    pub edges: Vec<WaitedEdge>,
}

impl Waited {
    /// The names of those that have not confirmed.
    pub fn waiting_for(&self) -> Vec<String> {
        self.edges.iter().filter(|edge| !edge.applied).map(|edge| edge.edge.clone()).collect()
    }

    /// Why they have not, for a person.
    pub fn detail(&self) -> Option<String> {
        let late: Vec<String> = self
            .edges
            .iter()
            .filter(|edge| !edge.applied)
            .map(|edge| format!("{}: {}", edge.edge, edge.detail.as_deref().unwrap_or(NOT_IN_TIME)))
            .collect();
        (!late.is_empty()).then(|| late.join("; "))
    }

    /// The lowest sequence that an edge has confirmed; 0 where there is none.
    pub fn sequence(&self) -> u64 {
        self.edges.iter().map(|edge| edge.sequence).min().unwrap_or(0)
    }
}

const NOT_IN_TIME: &str = "it has not confirmed it in time";

impl Board {
    /// An empty board of a process with an agent of its own, whose edge has this name.
    pub fn new(clock: Clock, local: &str) -> Self {
        Self::of(clock, Some(local.to_owned()))
    }

    /// An empty board of a process without an edge.
    pub fn without_edge(clock: Clock) -> Self {
        Self::of(clock, None)
    }

    fn of(clock: Clock, local: Option<String>) -> Self {
        Self {
            inner: Mutex::default(),
            changed: Condvar::new(),
            wakes: watch::Sender::new(0),
            clock,
            stopping: Arc::default(),
            polls_end: AtomicBool::new(false),
            usage: UsageCounts::default(),
            local,
        }
    }

    /// What is known of the edge on this machine.
    pub fn state(&self) -> EdgeState {
        self.lock().state.clone()
    }

    /// How metering stands on this machine.
    pub fn metering(&self) -> Metering {
        self.lock().state.metering.clone()
    }

    /// Publishes how metering stands on this machine.
    pub fn publish_metering(&self, metering: Metering) {
        self.lock().state.metering = metering;
        self.changed.notify_all();
    }

    /// What was taken of the edges' ledgers.
    pub const fn usage(&self) -> &UsageCounts {
        &self.usage
    }

    /// The name of the edge on this machine; none where none runs.
    pub fn local(&self) -> Option<&str> {
        self.local.as_deref()
    }

    /// How every edge stands, the one on this machine first.
    pub fn edges(&self) -> Vec<EdgeReport> {
        let now_ms = self.clock.now_ms();
        let inner = self.lock();
        let local = self.local.iter().map(|edge| EdgeReport::of(edge, &inner.state, now_ms));
        let others = inner.others.iter().map(|(edge, other)| other.report(edge, now_ms));
        local.chain(others).collect()
    }

    /// Asks the agent to look now, and wakes the polls of other agents.
    pub fn wake(&self) {
        self.lock().requested += 1;
        self.tell();
    }

    /// Hears of every [`Self::wake`], for those who may not block.
    pub fn wakes(&self) -> watch::Receiver<u64> {
        self.wakes.subscribe()
    }

    fn tell(&self) {
        self.changed.notify_all();
        self.wakes.send_modify(|wakes| *wakes = wakes.wrapping_add(1));
    }

    /// Asks the agent to trust nothing that it knows of files and workers, and to make all of it anew.
    pub fn ask_for_resync(&self) {
        self.lock().resync = true;
    }

    /// How many times others have asked this edge to load everything anew. The first number is where counting begins: who
    /// starts has nothing to make anew.
    pub fn take_in_resyncs(&self, resyncs: u64) {
        let mut inner = self.lock();
        match inner.resyncs.replace(resyncs) {
            None => inner.state.resyncs_done = resyncs,
            Some(before) if before < resyncs => {
                inner.resync = true;
                inner.requested += 1;
                drop(inner);
                self.changed.notify_all();
            }
            Some(_) => {}
        }
    }

    /// For the agent: whether everything is to be made anew, and the count that is done with it.
    pub fn take_resync(&self) -> (bool, Option<u64>) {
        let mut inner = self.lock();
        (std::mem::take(&mut inner.resync), inner.resyncs)
    }

    /// Takes in what another edge has said.
    pub fn hear(&self, edge: &str, said: AgentReport, seen_at_ms: i64, resyncs: u64) {
        self.lock().others.insert(edge.to_owned(), OtherEdge { said, seen_at_ms, resyncs });
        self.changed.notify_all();
    }

    /// Takes in which other edges there are; of each the later word counts.
    pub fn set_others(&self, mut others: BTreeMap<String, OtherEdge>) {
        let mut inner = self.lock();
        for (edge, known) in &inner.others {
            if let Some(other) = others.get_mut(edge).filter(|other| other.seen_at_ms < known.seen_at_ms) {
                (other.said, other.seen_at_ms) = (known.said.clone(), known.seen_at_ms);
            }
        }
        inner.others = others;
        drop(inner);
        self.changed.notify_all();
    }

    /// Takes in the checksums of a fresh look at the whole database.
    pub fn set_check(&self, check: TableCheck) {
        self.lock().check = Some(check);
    }

    /// The checksums of the last look at the whole database.
    pub fn check(&self) -> Option<TableCheck> {
        self.lock().check.clone()
    }

    /// Whether anybody waits for edges.
    pub fn is_waited(&self) -> bool {
        self.lock().waiting > 0
    }

    /// Asks the polls of other edges to end.
    pub fn end_polls(&self) {
        self.polls_end.store(true, Ordering::Relaxed);
        self.tell();
    }

    /// Whether they should.
    pub fn polls_should_end(&self) -> bool {
        self.polls_end.load(Ordering::Relaxed)
    }

    /// Asks everybody to stop.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Taken and given back, so that nobody is between looking at the flag and going to sleep.
        drop(self.lock());
        self.tell();
    }

    /// Whether everybody should stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The flag behind [`Self::is_stopping`], for who must look at it without the board.
    pub fn stopping_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopping)
    }

    /// For the agent: sleeps until a look is asked for or `tick` has passed, and answers the number of the
    /// request that the next look answers.
    pub fn next_look(&self, tick: Duration) -> u64 {
        let inner = self.lock();
        let nothing_new = |inner: &mut Inner| inner.requested == inner.state.answered && !self.is_stopping();
        let waited = self.changed.wait_timeout_while(inner, tick, nothing_new);
        waited.unwrap_or_else(PoisonError::into_inner).0.requested
    }

    /// For the agent: publishes the result of a look. `update` changes the state.
    pub fn publish(&self, answers: u64, update: impl FnOnce(&mut EdgeState)) {
        let mut inner = self.lock();
        update(&mut inner.state);
        inner.state.answered = answers;
        drop(inner);
        self.changed.notify_all();
    }

    /// For who tells others how this edge stands: sleeps until `is_news` or `limit` has passed, and answers how it stands.
    pub fn wait_for_news(&self, limit: Duration, is_news: impl Fn(&EdgeState) -> bool) -> EdgeState {
        let nothing_new = |inner: &mut Inner| !is_news(&inner.state) && !self.is_stopping();
        let waited = self.changed.wait_timeout_while(self.lock(), limit, nothing_new);
        waited.unwrap_or_else(PoisonError::into_inner).0.state.clone()
    }

    /// Wakes the agents and waits until every edge has confirmed `sequence`; the one on this machine by a look that began
    /// after this call, since what was confirmed before may be gone with a worker that was restarted since.
    pub fn wait_for(&self, stream: Option<StreamId>, sequence: u64, limit: Duration) -> Waited {
        let deadline = self.clock.instant() + limit;
        let mut inner = self.lock();
        inner.requested += 1;
        inner.waiting += 1;
        let mine = inner.requested;
        self.tell();
        let waited = loop {
            let waited = self.waited(&inner, mine, stream, sequence);
            let left = deadline.saturating_duration_since(self.clock.instant());
            if waited.applied || is_other_stream(&inner.state, stream) || left.is_zero() || self.is_stopping()
            {
                break waited;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        inner.waiting -= 1;
        waited
    }

    fn waited(&self, inner: &Inner, request: u64, stream: Option<StreamId>, sequence: u64) -> Waited {
        let local = self.local.iter().map(|edge| local_waited(edge, &inner.state, request, stream, sequence));
        let now_ms = self.clock.now_ms();
        let others = inner.others.iter().map(|(edge, other)| other.waited(edge, stream, sequence, now_ms));
        let edges: Vec<WaitedEdge> = local.chain(others).collect();
        Waited { applied: edges.iter().all(|edge| edge.applied), edges }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each holder leaves the state whole at every step, so what a panic left behind can be read.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OtherEdge {
    /// How it stands, as far as is known now.
    fn report(&self, edge: &str, now_ms: i64) -> EdgeReport {
        self.said.report.clone().heard_of(edge, self.seen_at_ms, now_ms)
    }

    fn waited(&self, edge: &str, stream: Option<StreamId>, sequence: u64, now_ms: i64) -> WaitedEdge {
        let report = self.report(edge, now_ms);
        let is_same_stream = stream.is_none_or(|stream| stream.to_string() == report.stream);
        let is_resynced = self.said.resyncs_done >= self.resyncs;
        // Confirmed is confirmed, whatever has happened to the edge since: the change is in its files.
        let applied = is_same_stream && is_resynced && report.sequence >= sequence;
        let detail = (!applied).then(|| report.last_error.clone()).flatten();
        WaitedEdge { edge: edge.to_owned(), applied, sequence: report.sequence, detail }
    }
}

fn local_waited(
    edge: &str,
    state: &EdgeState,
    request: u64,
    stream: Option<StreamId>,
    sequence: u64,
) -> WaitedEdge {
    let confirmed = state.confirmed.map_or(0, |position| position.sequence);
    let other_stream = is_other_stream(state, stream);
    let applied = !other_stream
        && state.answered >= request
        && state.in_step_since_ms.is_some()
        && confirmed >= sequence;
    let detail = if other_stream {
        let detail = "the running `suiftly serve` uses another database; give both the same DATABASE_URL";
        Some(detail.to_owned())
    } else {
        state.last_error.clone().filter(|_| !applied)
    };
    WaitedEdge { edge: edge.to_owned(), applied, sequence: confirmed, detail }
}

/// A sequence number means nothing in another history: the asker uses another database than we.
fn is_other_stream(state: &EdgeState, asked: Option<StreamId>) -> bool {
    matches!((state.database, asked), (Some(ours), Some(asked)) if ours.stream != asked)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    fn at(sequence: u64) -> Position {
        Position { stream: StreamId::from_u64(9), sequence }
    }

    fn confirm(board: &Board, answers: u64, sequence: u64) {
        board.publish(answers, |state| {
            state.database = Some(at(sequence));
            state.confirmed = Some(at(sequence));
            state.in_step_since_ms = Some(1);
        });
    }

    #[test]
    fn a_look_that_began_before_the_wait_does_not_answer_it() {
        let board = Board::new(Clock::system(), "local");
        confirm(&board, 0, 5);
        let waited = board.wait_for(None, 5, Duration::from_millis(20));
        assert!(!waited.applied, "{waited:?}");
        let answers = board.next_look(Duration::ZERO);
        confirm(&board, answers, 5);
        std::thread::scope(|scope| {
            let waiter =
                scope.spawn(|| board.wait_for(Some(StreamId::from_u64(9)), 5, Duration::from_secs(5)));
            let answers = board.next_look(Duration::from_secs(5));
            confirm(&board, answers, 5);
            assert!(waiter.join().is_ok_and(|waited| waited.applied));
        });
    }

    #[test]
    fn a_wait_for_another_database_ends_at_once_and_says_so() {
        let board = Board::new(Clock::system(), "local");
        confirm(&board, 0, 5);
        let waited = board.wait_for(Some(StreamId::from_u64(8)), 1, Duration::from_secs(60));
        assert!(!waited.applied && waited.detail().is_some_and(|detail| detail.contains("DATABASE_URL")));
    }

    #[test]
    fn a_wait_ends_when_the_program_stops() {
        let board = Board::new(Clock::system(), "local");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| board.wait_for(None, 5, Duration::from_secs(60)));
            board.stop();
            assert!(waiter.join().is_ok_and(|waited| !waited.applied));
        });
    }

    fn said(sequence: u64) -> AgentReport {
        let mut report = EdgeReport::of("x", &EdgeState::default(), 0);
        (report.stream, report.sequence, report.in_step) =
            (StreamId::from_u64(9).to_string(), sequence, true);
        AgentReport { report, resyncs_done: 0, instance: String::new() }
    }

    fn named(board: &Board, sequence: u64) -> Vec<String> {
        board.wait_for(Some(StreamId::from_u64(9)), sequence, Duration::ZERO).waiting_for()
    }

    #[test]
    fn every_edge_is_waited_for_and_who_is_late_is_named() {
        let board = Board::without_edge(Clock::standing_at(1_000));
        assert!(named(&board, 7).is_empty(), "nobody is there to be waited for");
        board.hear("fra1", said(7), 1_000, 0);
        board.hear("nyc1", said(6), 1_000, 0);
        assert_eq!(named(&board, 7), ["nyc1"]);
        // An older word from the table does not undo the later one, and an edge that is gone is not waited for.
        let old = OtherEdge { said: said(5), seen_at_ms: 500, resyncs: 0 };
        board.set_others([("fra1".to_owned(), old)].into());
        assert!(named(&board, 7).is_empty());
        // Another history's numbers confirm nothing.
        let waited = board.wait_for(Some(StreamId::from_u64(8)), 1, Duration::ZERO);
        assert_eq!(waited.waiting_for(), ["fra1"]);
        // Nor does what was said before a resync.
        board.hear("fra1", said(7), 2_000, 1);
        assert_eq!(named(&board, 7), ["fra1"]);
    }

    #[test]
    fn an_edge_that_is_not_heard_any_more_is_not_in_step_and_says_for_how_long() {
        let clock = Clock::standing_at(1_000);
        let board = Board::without_edge(clock.clone());
        board.hear("fra1", said(7), 1_000, 0);
        assert!(board.edges()[0].in_step);
        clock.advance(Duration::from_secs(60));
        let edge = &board.edges()[0];
        assert!(!edge.in_step && edge.lag_seconds == 60, "{edge:?}");
        assert!(edge.last_error.as_ref().is_some_and(|error| error.contains("edge remove --name fra1")));
    }

    #[test]
    fn the_first_count_of_resyncs_is_no_request() {
        let board = Board::new(Clock::system(), "local");
        board.take_in_resyncs(3);
        assert_eq!((board.take_resync(), board.state().resyncs_done), ((false, Some(3)), 3));
        board.take_in_resyncs(4);
        assert_eq!(board.take_resync(), (true, Some(4)));
        board.take_in_resyncs(4);
        assert_eq!(board.take_resync(), (false, Some(4)));
    }
}
