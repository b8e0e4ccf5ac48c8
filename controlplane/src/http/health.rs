//! `/healthz`: the process is alive. `/readyz`: it does its work.

use crate::app::chain_of;
use crate::config::DatabaseConfig;
use crate::db::{Database, DbError, stream};
use crate::http::State;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use std::time::Duration;

/// How long the database may take to answer.
const DATABASE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Alive {
    status: &'static str,
    version: &'static str,
}

/// `GET /healthz`: 200 as long as the process can answer at all.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Alive { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// What is missing, for a person; empty when ready.
    lacking: Vec<String>,
    database_sequence: Option<u64>,
    /// Of the edge on this machine.
    edge_sequence: Option<u64>,
    workers: usize,
    /// How many edges there are.
    edges: usize,
    /// Those that are not in step, or are not heard any more. An edge elsewhere that lags is no reason to send callers of this
    /// API elsewhere, so only the one on this machine counts for `ready`.
    edges_lagging: Vec<String>,
}

/// `GET /readyz`: 200 when the database answers and every worker of the edge on this machine (if one belongs to it), at least
/// one, is in step with it.
pub async fn readyz(state: web::Data<State>) -> HttpResponse {
    let mut lacking = Vec::new();
    let database_sequence = match &state.database {
        // An agent alone knows of it what the control plane has told.
        None => state.board.state().database.map(|position| position.sequence),
        Some(config) => match ask_database(config.clone()).await {
            Ok(sequence) => Some(sequence),
            Err(error) => {
                lacking.push(format!("database: {error}"));
                None
            }
        },
    };
    let edge = state.board.state();
    if edge.in_step_since_ms.is_none() && state.board.local().is_some() {
        let why = edge.last_error.unwrap_or_else(|| "not in step yet".to_owned());
        lacking.push(format!("edge: {why}"));
    }
    let edges = state.board.edges();
    let readiness = Readiness {
        ready: lacking.is_empty(),
        lacking,
        database_sequence,
        edge_sequence: edge.confirmed.map(|position| position.sequence),
        workers: edge.workers,
        edges: edges.len(),
        edges_lagging: edges.into_iter().filter(|edge| !edge.in_step).map(|edge| edge.edge).collect(),
    };
    if readiness.ready {
        HttpResponse::Ok().json(readiness)
    } else {
        HttpResponse::ServiceUnavailable().json(readiness)
    }
}

async fn ask_database(database: DatabaseConfig) -> Result<u64, String> {
    let look = web::block(move || {
        Database::open_again(&database)?.read(stream::position).map(|position| position.sequence)
    });
    let answer = tokio::time::timeout(DATABASE_LIMIT, look).await;
    let answer: Result<u64, DbError> = answer
        .map_err(|_| format!("it did not answer within {} s", DATABASE_LIMIT.as_secs()))?
        .map_err(|_| "the look was cancelled".to_owned())?;
    answer.map_err(|error| chain_of(&error))
}
