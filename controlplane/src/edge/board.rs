//! What the agent has achieved, for those who wait or ask: the control socket, `/readyz` and `/metrics`.

use crate::clock::Clock;
use crate::db::stream::Position;
use crate::edge::push::PushCounts;
use crate::edge::workers::Workers;
use edgeformat::status::Status;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// Plans, policies and revocations in the mirror.
    pub plans: usize,
    /// See `plans`.
    pub policies: usize,
    /// See `plans`.
    pub revocations: usize,
    /// What was sent since the start.
    pub counts: PushCounts,
    /// Looks that ended in an error since the start.
    pub errors: u64,
    /// The number of the last request to look that a look has answered.
    answered: u64,
}

/// The shared board: the agent writes it, everybody reads it, and anybody can ask the agent to look again.
#[derive(Debug)]
pub struct Board {
    // A mutex with a condition beside it, and not channels: there are many waiters, each for a moment of its
    // own.
    inner: Mutex<Inner>,
    changed: Condvar,
    clock: Clock,
    stopping: Arc<AtomicBool>,
}

#[derive(Default, Debug)]
struct Inner {
    state: EdgeState,
    /// How many times a look was asked for.
    requested: u64,
    /// Whether everything is to be written and loaded anew.
    resync: bool,
}

/// How a wait ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waited {
    /// Whether every worker has confirmed what was waited for.
    pub applied: bool,
    /// The last sequence that every worker has confirmed.
    pub sequence: u64,
    /// Why it was not applied, for a person.
    pub detail: Option<String>,
}

impl Board {
    /// An empty board.
    pub fn new(clock: Clock) -> Self {
        Self { inner: Mutex::default(), changed: Condvar::new(), clock, stopping: Arc::default() }
    }

    /// What is known now.
    pub fn state(&self) -> EdgeState {
        self.lock().state.clone()
    }

    /// Asks the agent to look now.
    pub fn wake(&self) {
        self.lock().requested += 1;
        self.changed.notify_all();
    }

    /// Asks the agent to trust nothing that it knows of files and workers, and to make all of it anew.
    pub fn ask_for_resync(&self) {
        self.lock().resync = true;
    }

    /// For the agent: whether that was asked for since the last call.
    pub fn take_resync(&self) -> bool {
        std::mem::take(&mut self.lock().resync)
    }

    /// Asks everybody to stop.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Taken and given back, so that nobody is between looking at the flag and going to sleep.
        drop(self.lock());
        self.changed.notify_all();
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

    /// Wakes the agent and waits until every worker has confirmed `sequence`, by a look that began after this
    /// call: what was confirmed before may be gone with a worker that was restarted since.
    pub fn wait_for(&self, stream: Option<edgeformat::StreamId>, sequence: u64, limit: Duration) -> Waited {
        let deadline = self.clock.instant() + limit;
        let mut inner = self.lock();
        inner.requested += 1;
        let mine = inner.requested;
        self.changed.notify_all();
        loop {
            if let Some(waited) = other_stream(&inner.state, stream) {
                return waited;
            }
            if is_applied(&inner.state, mine, sequence) {
                return Waited { applied: true, sequence: confirmed_sequence(&inner.state), detail: None };
            }
            let left = self.left(deadline);
            if left.is_zero() || self.is_stopping() {
                return not_applied(&inner.state);
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn left(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.clock.instant())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each holder leaves the state whole at every step, so what a panic left behind can be read.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_applied(state: &EdgeState, request: u64, sequence: u64) -> bool {
    state.answered >= request && state.in_step_since_ms.is_some() && confirmed_sequence(state) >= sequence
}

fn confirmed_sequence(state: &EdgeState) -> u64 {
    state.confirmed.map_or(0, |position| position.sequence)
}

/// A sequence number means nothing in another history: the asker uses another database than we.
fn other_stream(state: &EdgeState, asked: Option<edgeformat::StreamId>) -> Option<Waited> {
    let (ours, asked) = (state.database?, asked?);
    if ours.stream == asked {
        return None;
    }
    let detail =
        "the running `suiftly serve` uses another database; give both the same DATABASE_URL".to_owned();
    Some(Waited { applied: false, sequence: confirmed_sequence(state), detail: Some(detail) })
}

fn not_applied(state: &EdgeState) -> Waited {
    let detail =
        state.last_error.clone().unwrap_or_else(|| "the edge has not confirmed it in time".to_owned());
    Waited { applied: false, sequence: confirmed_sequence(state), detail: Some(detail) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeformat::StreamId;

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
        let board = Board::new(Clock::system());
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
        let board = Board::new(Clock::system());
        confirm(&board, 0, 5);
        let waited = board.wait_for(Some(StreamId::from_u64(8)), 1, Duration::from_secs(60));
        assert!(!waited.applied && waited.detail.is_some_and(|detail| detail.contains("DATABASE_URL")));
    }

    #[test]
    fn a_wait_ends_when_the_program_stops() {
        let board = Board::new(Clock::system());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| board.wait_for(None, 5, Duration::from_secs(60)));
            board.stop();
            assert!(waiter.join().is_ok_and(|waited| !waited.applied));
        });
    }
}
