//! The other end of `control.sock`: waiting until the edge has what was committed.

use crate::db::stream::Position;
use crate::edge::LOCAL_EDGE;
use crate::edge::control_protocol::{ANSWER_LEN_MAX, Answer, EdgeAnswer, Question};
use crate::edge::report::EdgeReport;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What `serve` may take beyond the limit that it was given.
const ANSWER_SLACK: Duration = Duration::from_secs(2);
const WRITE_LIMIT: Duration = Duration::from_secs(2);

/// Whether the edges have what was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Confirmation {
    /// Every edge has confirmed.
    Applied,
    /// These have not; what was committed stays committed.
    Pending {
        /// The edges.
        waiting_for: Vec<String>,
        /// Why, for a person.
        detail: String,
    },
}

/// Wakes the agent and waits until every edge has confirmed the position, or the limit has passed. With
/// `serve` down it answers at once.
pub fn wait_for(socket: &Path, position: Position, limit: Duration) -> Confirmation {
    match ask(socket, position, limit) {
        Ok(Answer::Waited { applied: true, .. }) => Confirmation::Applied,
        Ok(Answer::Waited { edges, .. }) => pending(edges),
        Ok(Answer::Error { error }) => not_served(format!("`suiftly serve` did not understand: {error}")),
        Ok(Answer::Pong { .. } | Answer::Edges { .. }) => {
            not_served("`suiftly serve` gave another answer than was asked for".to_owned())
        }
        Err(error) => not_served(format!(
            "`suiftly serve` does not answer on {} ({error}); the edge gets the change when it runs again",
            socket.display()
        )),
    }
}

/// Wakes the agent, and does not wait. That `serve` is down is no fault: it reads everything when it starts.
pub fn wake(socket: &Path, position: Position) {
    let _ = ask(socket, position, Duration::ZERO);
}

/// How each edge stands.
///
/// # Errors
/// Why there is no answer, for a person.
pub fn edges(socket: &Path) -> Result<Vec<EdgeReport>, String> {
    match put(socket, &Question::Edges { edges: true }, ANSWER_SLACK) {
        Ok(Answer::Edges { edges }) => Ok(edges),
        other => Err(no_answer(socket, other)),
    }
}

/// Has one edge or all write and load everything anew, and waits until every edge has confirmed, or the limit has passed.
///
/// # Errors
/// Why there is no answer, for a person.
pub fn resync(socket: &Path, edge: Option<&str>, limit: Duration) -> Result<Vec<EdgeAnswer>, String> {
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let question = Question::Resync { resync: true, limit_ms, edge: edge.map(str::to_owned) };
    match put(socket, &question, limit + ANSWER_SLACK) {
        Ok(Answer::Waited { edges, .. }) => Ok(edges),
        other => Err(no_answer(socket, other)),
    }
}

fn no_answer(socket: &Path, answer: std::io::Result<Answer>) -> String {
    match answer {
        Ok(Answer::Error { error }) => format!("`suiftly serve` did not understand: {error}"),
        Ok(_) => "`suiftly serve` gave another answer than was asked for".to_owned(),
        Err(error) => format!(
            "`suiftly serve` does not answer on {} ({error}); start it, or set SUIFTLY_STATE to its folder",
            socket.display()
        ),
    }
}

/// Whether a `suiftly serve` answers there.
pub fn answers(socket: &Path, limit: Duration) -> bool {
    matches!(put(socket, &Question::Ping { ping: true }, limit), Ok(Answer::Pong { .. }))
}

fn ask(socket: &Path, position: Position, limit: Duration) -> std::io::Result<Answer> {
    let question = Question::Wait {
        wait_for_sequence: position.sequence,
        limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        stream: Some(position.stream.to_string()),
    };
    put(socket, &question, limit + ANSWER_SLACK)
}

fn put(socket: &Path, question: &Question, limit: Duration) -> std::io::Result<Answer> {
    let mut connection = UnixStream::connect(socket)?;
    connection.set_write_timeout(Some(WRITE_LIMIT))?;
    connection.set_read_timeout(Some(limit))?;
    let mut text = serde_json::to_string(question)?;
    text.push('\n');
    connection.write_all(text.as_bytes())?;
    let mut line = String::new();
    BufReader::new(connection.take(ANSWER_LEN_MAX)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn pending(edges: Vec<EdgeAnswer>) -> Confirmation {
    let late: Vec<EdgeAnswer> = edges.into_iter().filter(|edge| !edge.applied).collect();
    let details: Vec<String> = late
        .iter()
        .map(|edge| format!("{}: {}", edge.edge, edge.detail.as_deref().unwrap_or("not confirmed in time")))
        .collect();
    Confirmation::Pending {
        waiting_for: late.into_iter().map(|edge| edge.edge).collect(),
        detail: details.join("; "),
    }
}

fn not_served(detail: String) -> Confirmation {
    Confirmation::Pending { waiting_for: vec![LOCAL_EDGE.to_owned()], detail }
}
