//! Waiting until every edge holds a master key group, or no edge holds it any more.

use crate::clock::Clock;
use crate::db::stream::Position;
use crate::edge::LOCAL_EDGE;
use crate::edge::control_client;
use crate::edge::report::EdgeReport;
use apikey::{CheckValue, Group};
use std::path::Path;
use std::time::Duration;

/// How often the edges' reports are read.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What every worker of every edge must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// It holds the group, with the secret that has this check value.
    Held(Group, CheckValue),
    /// It does not hold the group.
    Gone(Group),
}

/// An edge that has not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unconfirmed {
    /// Its name.
    pub edge: String,
    /// Why not, for a person.
    pub detail: String,
}

/// Wakes the agents and waits until every edge has taken in the change at `position` and every worker of it says what is
/// expected, those from before a reload included: a key of a new group must be admitted on every open connection. Empty
/// when all have confirmed; with `serve` down it answers at once.
pub fn wait_until(
    socket: &Path,
    expected: Expected,
    position: Position,
    limit: Duration,
    clock: &Clock,
) -> Vec<Unconfirmed> {
    let deadline = clock.instant() + limit;
    control_client::wake(socket, position);
    loop {
        let unconfirmed = match control_client::edges(socket) {
            Ok(edges) => unconfirmed(&edges, expected, position),
            Err(detail) => return vec![Unconfirmed { edge: LOCAL_EDGE.to_owned(), detail }],
        };
        if unconfirmed.is_empty() || clock.instant() >= deadline {
            return unconfirmed;
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// The edges that have not confirmed, by what they report.
pub fn unconfirmed(edges: &[EdgeReport], expected: Expected, position: Position) -> Vec<Unconfirmed> {
    let why = |edge: &EdgeReport| {
        Some(Unconfirmed { edge: edge.edge.clone(), detail: lacks(edge, expected, position)? })
    };
    edges.iter().filter_map(why).collect()
}

/// Why an edge has not confirmed; none where it has.
fn lacks(edge: &EdgeReport, expected: Expected, position: Position) -> Option<String> {
    if edge.stream != position.stream.to_string() {
        return Some("it follows another database; give all the same DATABASE_URL".to_owned());
    }
    if !edge.key_problems.is_empty() {
        return Some(edge.key_problems.join("; "));
    }
    if !edge.in_step || edge.sequence < position.sequence || edge.workers.is_empty() {
        let why = edge.last_error.clone();
        return Some(
            why.unwrap_or_else(|| format!("it has change {} of {}", edge.sequence, position.sequence)),
        );
    }
    edge.workers.iter().find_map(|worker| {
        let held = |group: Group| worker.key_groups.iter().find(|held| held.group == group.get());
        let is_so = match expected {
            Expected::Held(group, check) => held(group).is_some_and(|held| held.check == check.to_string()),
            Expected::Gone(group) => held(group).is_none(),
        };
        let from_before =
            if worker.old { " (from before the reload, with connections still open)" } else { "" };
        (!is_so).then(|| format!("worker {}{from_before} still has the former keyring", worker.pid))
    })
}
