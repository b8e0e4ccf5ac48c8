//! Waiting until every edge holds a master key group, or no edge holds it any more.

use crate::clock::Clock;
use crate::db::stream::Position;
use crate::edge::LOCAL_EDGE;
use crate::edge::control_client;
use crate::edge::report::{EdgeReport, WorkerReport};
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
    if !edge.in_step || edge.sequence < position.sequence || edge.workers.is_empty() {
        let why = edge.last_error.clone();
        return Some(
            why.unwrap_or_else(|| format!("it has change {} of {}", edge.sequence, position.sequence)),
        );
    }
    let has_another = |worker: &&WorkerReport| {
        let held = |group: Group| worker.key_groups.iter().find(|held| held.group == group.get());
        match expected {
            Expected::Held(group, check) => held(group).is_none_or(|held| held.check != check.to_string()),
            Expected::Gone(group) => held(group).is_some(),
        }
    };
    let worker = edge.workers.iter().find(has_another)?;
    // What is wrong with other groups keeps nobody from using this one.
    if !edge.key_problems.is_empty() {
        return Some(edge.key_problems.join("; "));
    }
    let from_before = if worker.old { " (from before the reload, with connections still open)" } else { "" };
    Some(format!("worker {}{from_before} still has the former keyring", worker.pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeformat::StreamId;
    use edgeformat::status::{KeyGroupCheck, TableStatus};

    const AT: Position = Position { stream: StreamId::from_u64(9), sequence: 5 };

    fn worker(pid: u32, old: bool, groups: &[(u8, &str)]) -> WorkerReport {
        let table = TableStatus { count: 0, checksum: String::new(), capacity: 0 };
        let held = |(group, check): &(u8, &str)| KeyGroupCheck { group: *group, check: (*check).to_owned() };
        WorkerReport {
            pid,
            old,
            haproxy: String::new(),
            module: String::new(),
            uptime_seconds: 0,
            ready: true,
            sequence: 5,
            policies: table.clone(),
            revocations: table,
            allowlists: None,
            key_groups: groups.iter().map(held).collect(),
            panics: 0,
        }
    }

    fn edge(name: &str, workers: Vec<WorkerReport>) -> EdgeReport {
        let mut state = crate::edge::board::EdgeState::default();
        state.in_step_since_ms = Some(1);
        let report = EdgeReport::of(name, &state, 1);
        EdgeReport { workers, sequence: 5, stream: AT.stream.to_string(), ..report }
    }

    fn late(edges: &[EdgeReport], expected: Expected) -> String {
        let late = unconfirmed(edges, expected, AT);
        late.into_iter().map(|late| format!("{}: {}|", late.edge, late.detail)).collect()
    }

    #[test]
    fn every_worker_of_every_edge_must_say_so() {
        let Some((group, check)) = Group::new(2).zip("00112233".parse().ok()) else { unreachable!() };
        let held = Expected::Held(group, check);
        let (has, lacks) = ([(1, "aaaaaaaa"), (2, "00112233")], [(1, "aaaaaaaa")]);
        let good = edge("one", vec![worker(1, false, &has)]);
        assert_eq!(late(&[good.clone(), edge("two", vec![worker(2, false, &has)])], held), "");
        let old = edge("two", vec![worker(2, false, &has), worker(3, true, &lacks)]);
        assert!(late(&[good.clone(), old.clone()], held).starts_with("two: worker 3 (from before"));
        let other = edge("two", vec![worker(2, false, &[(2, "00112234")])]);
        assert!(late(&[good.clone(), other], held).starts_with("two: worker 2 still"));
        assert!(late(&[edge("two", Vec::new())], held).starts_with("two: "), "no worker is no confirmation");
        let behind = EdgeReport { sequence: 4, ..good.clone() };
        assert_eq!(late(&[behind], held), "one: it has change 4 of 5|");
        let elsewhere = EdgeReport { stream: "0".repeat(16), ..good.clone() };
        assert!(late(&[elsewhere], held).contains("another database"));
        let not_in_step =
            EdgeReport { in_step: false, last_error: Some("it is down".to_owned()), ..good.clone() };
        assert_eq!(late(&[not_in_step], held), "one: it is down|");
        // A problem with another group is none of this one.
        let problem = vec!["lacks group 1".to_owned()];
        assert_eq!(late(&[EdgeReport { key_problems: problem.clone(), ..good.clone() }], held), "");
        assert_eq!(late(&[EdgeReport { key_problems: problem, ..old }], held), "two: lacks group 1|");
        let gone = Expected::Gone(group);
        assert!(late(&[good], gone).starts_with("one: worker 1 still"));
        assert_eq!(late(&[edge("one", vec![worker(1, false, &lacks)])], gone), "");
    }
}
