//! `/api/v1/operator/…`: what operators do, with a token of their own (`suiftly admin token create`).

use crate::app::chain_of;
use crate::db::Database;
use crate::db::stream::Position;
use crate::domain::activity::Actor;
use crate::domain::operator_tokens::{self, OperatorToken};
use crate::domain::revocations::{RevocableFingerprint, revoke};
use crate::domain::{DomainError, RevocationSource};
use crate::http::State;
use crate::http::bearer::token_of;
use crate::http::confirmation::WaitQuery;
use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use apikey::Fingerprint;
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// The field of every answer that has changed what edges enforce: the change that they must have.
const SEQUENCE: &str = "X-Suiftly-Sequence";

fn limit_of(query: &str) -> Option<Duration> {
    web::Query::<WaitQuery>::from_query(query).ok().map(|query| query.limit())
}

#[derive(Serialize)]
struct RevokedAnswer {
    revoked: u64,
    already: u64,
    unknown: u64,
    sequence: u64,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// `POST /api/v1/operator/keys/{fingerprint}/revoke`: 200 when no edge admits the key any more, 202 where it is saved
/// and an edge has not confirmed yet. Doing it twice changes nothing, so it needs no `Idempotency-Key`.
/// `X-Suiftly-Sequence` is the change that edges must have; `?wait=saved` does not wait for them (202), `?wait=applied` is what
/// happens without it.
pub async fn revoke_key(
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> HttpResponse {
    let Some(token) = token_of(request.headers(), OperatorToken::from_text) else {
        return Problem::Unauthorized.response();
    };
    let Some(fingerprint) = fingerprint_of(&path) else { return Problem::BadFingerprint.response() };
    let Some(limit) = limit_of(request.query_string()) else { return Problem::BadQuery.response() };
    let peer = request.peer_addr().map(|address| address.ip());
    let done = web::block(move || revoke_and_wait(&state, &token, peer, fingerprint, limit)).await;
    match done {
        Ok(Ok(answer)) => {
            let mut reply = if answer.applied { HttpResponse::Ok() } else { HttpResponse::Accepted() };
            reply.insert_header((SEQUENCE, answer.sequence.to_string())).json(answer)
        }
        Ok(Err(problem)) => problem.response(),
        Err(_) => Problem::Internal.response(),
    }
}

fn revoke_and_wait(
    state: &State,
    token: &OperatorToken,
    peer: Option<IpAddr>,
    fingerprint: RevocableFingerprint,
    limit: Duration,
) -> Result<RevokedAnswer, Problem> {
    let failed = |error: DomainError| {
        tracing::error!(error = chain_of(&error), "a key could not be revoked");
        Problem::Internal
    };
    let now_ms = state.clock.now_ms();
    let config = state.database.as_ref().ok_or(Problem::NotFound)?;
    let mut database = Database::open_again(config).map_err(|error| failed(error.into()))?;
    let operator = operator_tokens::authenticate(&mut database, token, now_ms)
        .map_err(|error| failed(error.into()))?
        .ok_or(Problem::Unauthorized)?;
    database.act_as(Actor::operator(&operator, peer));
    let done = revoke(&mut database, &[fingerprint], RevocationSource::Operator, now_ms).map_err(failed)?;
    tracing::info!(operator, fingerprint = %fingerprint.get(), sequence = done.position.sequence, "a key was revoked");
    let Position { stream, sequence } = done.position;
    let waited = state.board.wait_for(Some(stream), sequence, limit);
    Ok(RevokedAnswer {
        revoked: done.revoked,
        already: done.already,
        unknown: done.unknown,
        sequence,
        applied: waited.applied,
        waiting_for: (!waited.applied).then(|| waited.waiting_for()),
        detail: waited.detail(),
    })
}

/// 16 hex digits, in either case.
fn fingerprint_of(text: &str) -> Option<RevocableFingerprint> {
    let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    RevocableFingerprint::try_from(Fingerprint::from_u64(number)).ok()
}
