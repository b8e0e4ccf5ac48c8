//! `/api/v1/edge/…`: what agents on other machines ask and tell, each with its edge's token and for its edge only.

use crate::app::chain_of;
use crate::changes::feed::{self, Feed};
use crate::changes::transfer::{self, About};
use crate::db::change_log::Numbered;
use crate::db::edges::EdgeRow;
use crate::db::stream::Position;
use crate::db::{Database, DbError, key_groups, stream};
use crate::domain::edges::{self, EdgeToken};
use crate::edge::offer_back;
use crate::edge::report::AgentReport;
use crate::http::State;
use crate::http::bearer::token_of;
use crate::problem::Problem;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use apikey::{CheckValue, Group};
use futures_util::StreamExt;
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The longest that a question may wait for changes.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a waiting question looks without being woken.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many polls of one edge may wait: one that was cut off is given up by its agent before this server notices.
const POLLS_MAX: u32 = 4;
/// The longest report, in bytes.
const REPORT_LEN_MAX: usize = 65_536;
/// The longest offer, in bytes: two million revocations.
const OFFER_LEN_MAX: usize = 128 << 20;
/// How long a report, and an offer, may take to arrive.
const REPORT_LIMIT: Duration = Duration::from_secs(10);
const OFFER_LIMIT: Duration = Duration::from_secs(300);
/// How long the reader of a snapshot may take nothing.
const STALL_LIMIT: Duration = Duration::from_secs(30);
const STALL_LOOK_EVERY: Duration = Duration::from_millis(2);
/// How much of a snapshot travels at once, in bytes.
const CHUNK_LEN: usize = 65_536;
/// How many chunks may wait for a slow reader.
const CHUNKS_MAX: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangesQuery {
    stream: Option<String>,
    after: Option<u64>,
    #[serde(default)]
    wait_ms: u64,
    /// How many requests to load everything anew the edge has heard of.
    resyncs: Option<u64>,
}

/// What an edge has said that it knows.
#[derive(Clone, Copy)]
struct Asked {
    known: Option<Position>,
    resyncs: Option<u64>,
}

/// `GET /api/v1/edge/changes?stream=S&after=N&wait_ms=W`: what comes after N, at once or within W milliseconds; without
/// `stream` and `after` everything. The form is [`transfer`]'s.
pub async fn changes(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let Some(token) = token_of(request.headers(), EdgeToken::from_text) else {
        return Problem::Unauthorized.response();
    };
    let Some((asked, wait)) = asked_of(request.query_string()) else { return Problem::BadQuery.response() };
    let Some(config) = state.database.clone() else { return Problem::NotFound.response() };
    let token = Arc::new(token);
    let deadline = tokio::time::Instant::now() + wait;
    let mut wakes = state.board.wakes();
    let (mut open, mut place) = (None, None);
    loop {
        wakes.mark_unchanged();
        let (config, token, held) = (config.clone(), Arc::clone(&token), open.take());
        let looked = web::block(move || {
            let mut database = match held {
                Some(database) => database,
                None => Database::open_again(&config)?,
            };
            look(&mut database, &token, asked).map(|look| (database, look))
        });
        let (database, look) = match looked.await {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => return failed(&error),
            Err(_) => return Problem::Internal.response(),
        };
        let has_waited = tokio::time::Instant::now() >= deadline || state.board.polls_should_end();
        match look {
            Look::Refused => return Problem::Unauthorized.response(),
            Look::Snapshot(edge) => return snapshot(&state, edge, database).await,
            Look::Changes(edge, known, changes, key_groups) => {
                // Each holds a connection to the database while it waits.
                if place.is_none() {
                    place = Place::take(&state, &edge.edge);
                }
                if place.is_none() {
                    return Problem::Busy.response();
                }
                let is_asked_anew = asked.resyncs.is_some_and(|heard| heard != edge.resyncs);
                if !changes.is_empty() || is_asked_anew || has_waited {
                    return with_changes(about(&state, edge, key_groups), known, changes);
                }
            }
        }
        open = Some(database);
        let until = deadline.min(tokio::time::Instant::now() + LOOK_EVERY);
        // Whoever was woken and whoever was not do the same: look again.
        let _ = tokio::time::timeout_at(until, wakes.changed()).await;
    }
}

/// One of the few polls that an edge may have open; given back when it ends, however it ends.
struct Place {
    polls: Arc<Mutex<HashMap<String, u32>>>,
    edge: String,
}

impl Place {
    fn take(state: &State, edge: &str) -> Option<Self> {
        let mut polls = state.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let open = polls.entry(edge.to_owned()).or_default();
        if *open >= POLLS_MAX {
            return None;
        }
        *open += 1;
        Some(Self { polls: Arc::clone(&state.polls), edge: edge.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut polls = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = polls.get_mut(&self.edge) {
            *open = open.saturating_sub(1);
        }
    }
}

fn asked_of(query: &str) -> Option<(Asked, Duration)> {
    let query = web::Query::<ChangesQuery>::from_query(query).ok()?;
    let known = match (&query.stream, query.after) {
        (None, None) => None,
        (Some(stream), Some(sequence)) => Some(Position { stream: stream.parse().ok()?, sequence }),
        _ => return None,
    };
    let wait = Duration::from_millis(query.wait_ms);
    (wait <= WAIT_MAX).then_some((Asked { known, resyncs: query.resyncs }, wait))
}

type KeyGroups = Vec<(Group, CheckValue)>;

enum Look {
    Refused,
    Changes(EdgeRow, Position, Vec<Numbered>, KeyGroups),
    /// Everything has to be sent; it is not read yet.
    Snapshot(EdgeRow),
}

fn look(database: &mut Database, token: &EdgeToken, asked: Asked) -> Result<Look, DbError> {
    let Some(edge) = edges::authenticate(database, token)? else { return Ok(Look::Refused) };
    let Some(known) = asked.known else { return Ok(Look::Snapshot(edge)) };
    database.read(|tx| {
        Ok(match feed::changes_after(tx, known)? {
            Some(changes) => Look::Changes(edge, known, changes, key_groups::held(tx)?),
            None => Look::Snapshot(edge),
        })
    })
}

fn about(state: &State, edge: EdgeRow, key_groups: KeyGroups) -> About {
    let key_groups = key_groups.into_iter().collect();
    About { edge: edge.edge, resyncs: edge.resyncs, check: state.board.check(), key_groups }
}

fn with_changes(
    about: About,
    known: Position,
    changes: Vec<crate::db::change_log::Numbered>,
) -> HttpResponse {
    let mut text = Vec::new();
    match transfer::write(&mut text, &about, known, Feed::Changes(changes)) {
        Ok(()) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text),
        Err(_) => Problem::Internal.response(),
    }
}

/// Millions of entries are written while they travel, and only for a few edges at a time: each takes some hundred megabytes
/// while it is read.
async fn snapshot(state: &State, edge: EdgeRow, mut database: Database) -> HttpResponse {
    let Ok(permit) = Arc::clone(&state.snapshots).try_acquire_owned() else {
        return Problem::Busy.response();
    };
    tracing::info!(edge = edge.edge, "an edge is sent everything");
    let read = web::block(move || database.read(feed::snapshot)).await;
    let snapshot = match read {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(error)) => return failed(&error),
        Err(_) => return Problem::Internal.response(),
    };
    let about = about(state, edge, snapshot.key_groups.clone());
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    // What breaks off lacks its last line, so the reader throws it away.
    drop(tokio::task::spawn_blocking(move || {
        let known = snapshot.position;
        let to = BufWriter::with_capacity(CHUNK_LEN, Chunks(sender));
        let written = transfer::write(to, &about, known, Feed::Snapshot(snapshot));
        if let Err(error) = written {
            tracing::warn!(edge = about.edge, %error, "a snapshot broke off");
        }
        drop(permit);
    }));
    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (Ok::<_, io::Error>(chunk), receiver))
    });
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").streaming(chunks)
}

struct Chunks(mpsc::Sender<Bytes>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut chunk = Bytes::copy_from_slice(bytes);
        let mut waited = Duration::ZERO;
        loop {
            chunk = match self.0.try_send(chunk) {
                Ok(()) => return Ok(bytes.len()),
                Err(TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
                // A reader that has vanished says nothing.
                Err(TrySendError::Full(_)) if waited >= STALL_LIMIT => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(TrySendError::Full(chunk)) => chunk,
            };
            std::thread::sleep(STALL_LOOK_EVERY);
            waited += STALL_LOOK_EVERY;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `POST /api/v1/edge/report`: how the edge of the token stands. 204.
pub async fn report(request: HttpRequest, mut body: web::Payload, state: web::Data<State>) -> HttpResponse {
    let Some(token) = token_of(request.headers(), EdgeToken::from_text) else {
        return Problem::Unauthorized.response();
    };
    if state.database.is_none() {
        return Problem::NotFound.response();
    }
    let text = match read_body(&mut body, REPORT_LEN_MAX, REPORT_LIMIT).await {
        Ok(text) => text,
        Err(problem) => return problem.response(),
    };
    let Ok(said) = serde_json::from_slice::<AgentReport>(&text) else { return Problem::BadReport.response() };
    match web::block(move || take_report(&state, &token, said)).await {
        Ok(Ok(true)) => HttpResponse::NoContent().finish(),
        Ok(Ok(false)) => Problem::Unauthorized.response(),
        Ok(Err(error)) => failed(&error),
        Err(_) => Problem::Internal.response(),
    }
}

/// A whole body of bounded length, within a time: who has vanished says nothing, and would hold a place for ever.
pub(super) async fn read_body(
    body: &mut web::Payload,
    len_max: usize,
    limit: Duration,
) -> Result<Vec<u8>, Problem> {
    let read = async {
        let mut text = Vec::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Problem::BodyBroken)?;
            if text.len() + chunk.len() > len_max {
                return Err(Problem::TooLarge);
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    };
    tokio::time::timeout(limit, read).await.unwrap_or(Err(Problem::BodyBroken))
}

/// Whoever waits here hears it at once; whoever waits in another copy of `suiftly serve` reads it in the table.
fn take_report(state: &State, token: &EdgeToken, mut said: AgentReport) -> Result<bool, DbError> {
    let Some(config) = &state.database else { return Ok(false) };
    let mut database = Database::open_again(config)?;
    let Some(row) = edges::authenticate(&mut database, token)? else { return Ok(false) };
    let now_ms = state.clock.now_ms();
    said.report.edge.clone_from(&row.edge);
    let ours = database.read(stream::position)?;
    if said.report.stream == ours.stream.to_string() && said.report.sequence > ours.sequence {
        // The database was put back by hand: what the edge has confirmed is not what has these numbers now.
        let theirs = Position { sequence: said.report.sequence, ..ours };
        if let Err(error) = offer_back::offer(&mut database, &row.edge, theirs, &[], now_ms) {
            tracing::error!(error = chain_of(&error), edge = row.edge, "another history could not be begun");
        }
        state.board.wake();
        return Ok(true);
    }
    let text = serde_json::to_string(&said)
        .map_err(|error| DbError::Unexpected { table: "edges", detail: error.to_string() })?;
    state.board.hear(&row.edge, said, now_ms, row.resyncs);
    edges::take_report(&mut database, &row.edge, &text, now_ms)?;
    Ok(true)
}

/// `POST /api/v1/edge/offered`: the revocations that an edge knows which has followed another history than the database's, in
/// [`transfer`]'s form of a snapshot. 204 when those that were forgotten are in force again.
pub async fn offered(request: HttpRequest, mut body: web::Payload, state: web::Data<State>) -> HttpResponse {
    let Some(token) = token_of(request.headers(), EdgeToken::from_text) else {
        return Problem::Unauthorized.response();
    };
    let Some(config) = state.database.clone() else { return Problem::NotFound.response() };
    let known = web::block(move || {
        let mut database = Database::open_again(&config)?;
        edges::authenticate(&mut database, &token).map(|edge| (database, edge))
    });
    // Before anything of a long body is kept.
    let (mut database, edge) = match known.await {
        Ok(Ok((database, Some(edge)))) => (database, edge),
        Ok(Ok((_, None))) => return Problem::Unauthorized.response(),
        Ok(Err(error)) => return failed(&error),
        Err(_) => return Problem::Internal.response(),
    };
    let Ok(_permit) = Arc::clone(&state.offers).try_acquire_owned() else {
        return Problem::Busy.response();
    };
    let text = match read_body(&mut body, OFFER_LEN_MAX, OFFER_LIMIT).await {
        Ok(text) => text,
        Err(problem) => return problem.response(),
    };
    let (now_ms, board) = (state.clock.now_ms(), Arc::clone(&state.board));
    let done = web::block(move || {
        let Ok((_, Feed::Snapshot(offered))) = transfer::read(text.as_slice(), None) else {
            return Ok(false);
        };
        let (theirs, known) = (offered.position, offered.revocations);
        offer_back::offer(&mut database, &edge.edge, theirs, &known, now_ms).map(|()| true)
    });
    match done.await {
        Ok(Ok(true)) => {
            board.wake();
            HttpResponse::NoContent().finish()
        }
        Ok(Ok(false)) => Problem::BadReport.response(),
        Ok(Err(error)) => {
            tracing::error!(error = chain_of(&error), "what an edge has offered could not be kept");
            Problem::Internal.response()
        }
        Err(_) => Problem::Internal.response(),
    }
}

pub(super) fn failed(error: &DbError) -> HttpResponse {
    tracing::error!(error = chain_of(error), "an edge could not be answered");
    Problem::Internal.response()
}
