//! Tells the control plane how the edge on this machine stands: at once when it has something new, and every few seconds in
//! any case, so that silence means something.

use crate::clock::Clock;
use crate::edge::board::{Board, EdgeState};
use crate::edge::report::{AgentReport, EdgeReport};
use crate::random;
use edgeformat::status::KeyGroupCheck;
use std::sync::Arc;
use std::time::Duration;

/// How often something is said in any case.
const EVERY: Duration = Duration::from_secs(5);
/// How long it rests after it was not heard.
const REST: Duration = Duration::from_secs(1);

/// Where a report goes.
pub type Sink = Box<dyn FnMut(&AgentReport) -> Result<(), String> + Send>;

/// Starts the thread; it ends when the board says so. `gap` is the least time between two reports.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(board: Arc<Board>, clock: Clock, gap: Duration, sink: Sink) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("edge-reporter".to_owned())
        .spawn(move || run(&board, &clock, gap, sink))
        .map(drop)
}

/// Which process has said this report, if that can be read.
pub fn instance_of(report: &str) -> Option<String> {
    serde_json::from_str(report).ok().map(|said: AgentReport| said.instance)
}

fn run(board: &Board, clock: &Clock, gap: Duration, mut sink: Sink) {
    let instance = format!("{:016x}", random::nonzero_u64().unwrap_or_default());
    let mut told = None;
    let mut logged = None;
    while !board.is_stopping() {
        let state = board.wait_for_news(EVERY, |state| told.as_ref() != Some(&News::of(state)));
        if board.is_stopping() {
            return;
        }
        let report = AgentReport {
            report: EdgeReport::of(board.local().unwrap_or_default(), &state, clock.now_ms()),
            resyncs_done: state.resyncs_done,
            instance: instance.clone(),
        };
        match sink(&report) {
            Ok(()) => {
                told = Some(News::of(&state));
                logged = None;
                std::thread::sleep(gap);
            }
            Err(error) => {
                if logged.as_ref() != Some(&error) {
                    tracing::warn!(error, "how this edge stands could not be told; trying again");
                }
                logged = Some(error);
                std::thread::sleep(REST);
            }
        }
    }
}

/// What is told at once when it changes.
#[derive(PartialEq, Eq)]
struct News {
    database: Option<crate::db::stream::Position>,
    confirmed: Option<crate::db::stream::Position>,
    is_in_step: bool,
    resyncs_done: u64,
    last_error: Option<String>,
    map_problems: Vec<String>,
    key_problems: Vec<String>,
    metering_problems: Vec<String>,
    key_groups: Vec<Vec<KeyGroupCheck>>,
    workers: Vec<u32>,
}

impl News {
    fn of(state: &EdgeState) -> Self {
        Self {
            database: state.database,
            confirmed: state.confirmed,
            is_in_step: state.in_step_since_ms.is_some(),
            resyncs_done: state.resyncs_done,
            last_error: state.last_error.clone(),
            map_problems: state.map_problems.clone(),
            key_problems: state.key_problems.clone(),
            metering_problems: state.metering.problems.clone(),
            key_groups: state.statuses.values().map(|status| status.key_group_checks.clone()).collect(),
            workers: state.listed.all().collect(),
        }
    }
}
