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
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::observe::RequestId;
use crate::http::source::Source;
use crate::problem::Problem;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use apikey::Fingerprint;
use serde::Serialize;
use std::time::Duration;

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
    let trusted = state.api.as_ref().map_or(&[][..], |api| &api.settings.trusted_proxies);
    let source = Source::of(&request, trusted);
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.to_string());
    let actor = move |operator: &str| Actor { request_id, ..Actor::operator(operator, Some(source.ip())) };
    let done = web::block(move || revoke_and_wait(&state, &token, actor, fingerprint, limit)).await;
    match done {
        Ok(Ok(answer)) => Confirmation { sequence: answer.sequence, applied: answer.applied }.answer(&answer),
        Ok(Err(problem)) => problem.response(),
        Err(_) => Problem::Internal.response(),
    }
}

fn revoke_and_wait(
    state: &State,
    token: &OperatorToken,
    actor: impl FnOnce(&str) -> Actor,
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
    database.act_as(actor(&operator));
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
