//! `/api/v1/edge/requests`: the request log of an edge on another machine.

use crate::db::Database;
use crate::domain::edges::{self, EdgeToken};
use crate::domain::requests::{self, Batch};
use crate::http::State;
use crate::http::bearer::token_of;
use crate::http::edge_api::{failed, read_body};
use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use std::time::Duration;

/// The longest batch, in bytes: its rows, each as long as they get.
const BATCH_LEN_MAX: usize = 8 << 20;
/// How long it may take to arrive.
const BATCH_LIMIT: Duration = Duration::from_secs(10);
/// How many batches one edge may hand over at once.
const BATCHES_MAX: u32 = 2;

/// `POST /api/v1/edge/requests`: a [`Batch`] of the edge of the token. 204 when it is in the tables, also if it was before.
pub async fn requests(request: HttpRequest, mut body: web::Payload, state: web::Data<State>) -> HttpResponse {
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
        Ok(Ok((database, Some(edge)))) => (database, edge.edge),
        Ok(Ok((_, None))) => return Problem::Unauthorized.response(),
        Ok(Err(error)) => return failed(&error),
        Err(_) => return Problem::Internal.response(),
    };
    let Some(place) = state.batches.take(&edge, BATCHES_MAX) else { return Problem::Busy.response() };
    let text = match read_body(&mut body, BATCH_LEN_MAX, BATCH_LIMIT).await {
        Ok(text) => text,
        Err(problem) => return problem.response(),
    };
    let now_ms = state.clock.now_ms();
    let Some(batch) = serde_json::from_slice::<Batch>(&text).ok().filter(|batch| batch.is_plausible(now_ms))
    else {
        return Problem::BadReport.response();
    };
    let stored = web::block(move || {
        // Given back when the work is done, also where nobody waits for the answer any more.
        let _place = place;
        requests::store(&mut database, &edge, &batch).map(drop)
    });
    match stored.await {
        Ok(Ok(())) => HttpResponse::NoContent().finish(),
        Ok(Err(error)) => failed(&error),
        Err(_) => Problem::Internal.response(),
    }
}
