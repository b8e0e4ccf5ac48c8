//! `POST /api/v1/edge/usage`: what an edge has counted.

use crate::db::Database;
use crate::domain::edges::{self, EdgeToken};
use crate::domain::usage::{self, UsageError};
use crate::http::State;
use crate::http::bearer::token_of;
use crate::http::edge_api::{failed, read_body};
use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use edgeformat::ledger::LedgerReading;
use std::time::Duration;

/// The longest reading, in bytes: 20,000 slots take a fifth of it.
const READING_LEN_MAX: usize = 8 << 20;
/// How long a reading may take to arrive.
const READING_LIMIT: Duration = Duration::from_secs(10);
/// How many readings one edge may tell at once: the one before may have been given up by its agent and not by us.
const READINGS_MAX: u32 = 2;

/// Takes a reading of a ledger of the token's edge. 204 once it is in the database; telling it again changes nothing. 403
/// `not_your_ledger` is for ever.
pub async fn usage(request: HttpRequest, mut body: web::Payload, state: web::Data<State>) -> HttpResponse {
    let Some(token) = token_of(request.headers(), EdgeToken::from_text) else {
        return Problem::Unauthorized.response();
    };
    let Some(config) = state.database.clone() else { return Problem::NotFound.response() };
    let known = web::block(move || {
        let mut database = Database::open_again(&config)?;
        edges::authenticate(&mut database, &token).map(|edge| (database, edge))
    });
    // Before anything of a long body is kept.
    let (database, edge) = match known.await {
        Ok(Ok((database, Some(row)))) => (database, row.edge),
        Ok(Ok((_, None))) => return Problem::Unauthorized.response(),
        Ok(Err(error)) => return failed(&error),
        Err(_) => return Problem::Internal.response(),
    };
    let Some(place) = state.readings.take(&edge, READINGS_MAX) else { return Problem::Busy.response() };
    let text = match read_body(&mut body, READING_LEN_MAX, READING_LIMIT).await {
        Ok(text) => text,
        Err(problem) => return problem.response(),
    };
    let Ok(reading) = serde_json::from_slice::<LedgerReading>(&text) else {
        return Problem::BadReport.response();
    };
    drop(text);
    match web::block(move || take(database, &state, &edge, &reading, place)).await {
        Ok(Ok(())) => HttpResponse::NoContent().finish(),
        Ok(Err(error)) => refused(&error),
        Err(_) => Problem::Internal.response(),
    }
}

/// The place is given back when the work is done, also where nobody waits for the answer any more.
fn take<Place>(
    mut database: Database,
    state: &State,
    edge: &str,
    reading: &LedgerReading,
    _place: Place,
) -> Result<(), UsageError> {
    let now_ms = state.clock.now_ms();
    let taken = usage::take(&mut database, edge, reading, now_ms);
    state.board.usage().note(edge, &taken, now_ms);
    taken.map(drop)
}

fn refused(error: &UsageError) -> HttpResponse {
    match error {
        UsageError::Malformed(_) => Problem::BadReport.response(),
        UsageError::TooMany => Problem::TooLarge.response(),
        UsageError::OtherEdge { .. } => Problem::NotYourLedger.response(),
        UsageError::TooMuchSetAside | UsageError::TooManyLedgers => {
            tracing::error!(%error, "usage is not taken");
            Problem::Busy.response()
        }
        UsageError::Db(error) => failed(error),
    }
}
