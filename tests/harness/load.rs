//! Paced load, open loop: each request has a time at which it is due, whatever became of those before it. A slow answer
//! delays nobody but the worker that waits for it, so it does not lower the rate that is offered.

use crate::http::{Connection, Failure};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The field in which HAProxy tells a request's id; its log line has the same.
const REQUEST_ID: &str = "x-request-id";

/// A request to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When, from the start.
    pub due: Duration,
    /// Whose: an index into [`Load::lines`].
    pub caller: usize,
}

/// What became of a [`Call`].
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The call.
    pub call: Call,
    /// When it was sent, from the start.
    pub sent: Duration,
    /// When its answer was read.
    pub answered: Duration,
    /// Its status; 0: the connection was lost instead.
    pub status: u16,
    /// Its id, empty where none came.
    pub id: String,
}

impl Outcome {
    /// How long the answer took, from sending.
    pub fn took(&self) -> Duration {
        self.answered.saturating_sub(self.sent)
    }

    /// How much later than due it was sent: the load generator's fault or its machine's.
    pub fn late(&self) -> Duration {
        self.sent.saturating_sub(self.call.due)
    }
}

/// Who calls where.
#[derive(Clone, Debug)]
pub struct Load {
    /// The edge's port.
    pub port: u16,
    /// What each caller sends as its credential, a header line.
    pub lines: Vec<String>,
    /// Path and query.
    pub target: String,
    /// How many connections there are, so also how many requests can be under way at once.
    pub connections: usize,
}

/// Calls of one caller at an even pace, beginning `phase` after the start.
pub fn steady(caller: usize, per_s: f64, phase: Duration, length: Duration) -> Vec<Call> {
    (0_u32..)
        .map(|number| phase + Duration::from_secs_f64(f64::from(number) / per_s))
        .take_while(|due| *due < length)
        .map(|due| Call { due, caller })
        .collect()
}

impl Load {
    /// Sends all calls, each when it is due, and answers their outcomes in the order in which they were due.
    ///
    /// All connections are open before the first is sent.
    pub fn run(&self, mut calls: Vec<Call>) -> Vec<Outcome> {
        calls.sort_by_key(|call| call.due);
        let connections: Vec<_> =
            (0..self.connections).map(|_| Connection::open(self.port).unwrap()).collect();
        let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(calls.len())));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for connection in connections {
                let (calls, next, outcomes) = (&calls, &next, &outcomes);
                scope.spawn(move || {
                    let own = self.work(connection, calls, next, start);
                    outcomes.lock().unwrap().extend(own);
                });
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap();
        outcomes.sort_by_key(|outcome: &Outcome| outcome.call.due);
        outcomes
    }

    fn work(
        &self,
        connection: Connection,
        calls: &[Call],
        next: &AtomicUsize,
        start: Instant,
    ) -> Vec<Outcome> {
        let mut kept = Some(connection);
        let mut outcomes = Vec::new();
        while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(wait) = call.due.checked_sub(start.elapsed()) {
                std::thread::sleep(wait);
            }
            let sent = start.elapsed();
            let (status, id) = self.ask(&mut kept, call.caller);
            outcomes.push(Outcome { call: *call, sent, answered: start.elapsed(), status, id });
        }
        outcomes
    }

    fn ask(&self, kept: &mut Option<Connection>, caller: usize) -> (u16, String) {
        let nothing = (0, String::new());
        // The second time on a new connection: the kept one may have been closed while it was idle.
        for _ in 0..2 {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => match Connection::open(self.port) {
                    Ok(connection) => connection,
                    Err(_) => return nothing,
                },
            };
            match connection.send("GET", &self.target, &[&self.lines[caller]], b"") {
                Ok(answer) => {
                    let id = answer.field(REQUEST_ID).unwrap_or_default().to_owned();
                    *kept = Some(connection);
                    return (answer.status, id);
                }
                Err(Failure::IdleClosed) => {}
                Err(Failure::Connect(_) | Failure::Lost(_)) => return nothing,
            }
        }
        nothing
    }
}

/// The value below which this share of them lies; 0 of none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut ordered = values.to_vec();
    ordered.sort_by(f64::total_cmp);
    let last = ordered.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into what fits memory"
    )]
    let at = (share * last as f64).round() as usize;
    ordered.get(at).copied().unwrap_or(0.0)
}
