//! `/api/v1/account`.

use crate::clock::rfc3339_ms;
use crate::domain::{CustomerStatus, customer_status};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::strict::StrictQuery;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// The account of a wallet.
#[derive(Serialize, ToSchema)]
pub struct AccountAnswer {
    /// The number that stands in the customer's API keys
    #[schema(minimum = 1)]
    customer_id: u32,
    /// The wallet that signs in
    wallet_address: String,
    /// `active`, or `suspended`: then nothing is served, and nothing can be changed
    #[schema(example = "active")]
    status: &'static str,
    /// When the wallet signed in first
    #[schema(format = "date-time")]
    created_at: String,
}

/// Read the account
#[utoipa::path(
    get, path = "/api/v1/account", operation_id = "readAccount", tag = "Account",
    security(("wallet_session" = []), ("api_token" = [])),
    responses((status = 200, body = AccountAnswer, description = "The account")),
)]
pub async fn read(call: Call, state: web::Data<State>) -> Result<HttpResponse, ProblemDetails> {
    let customer =
        state.api()?.read(call, Needs::AnyToken, |_, account| Ok(account.customer.clone())).await?;
    let status: CustomerStatus = customer.status;
    Ok(HttpResponse::Ok().json(AccountAnswer {
        customer_id: customer.customer.get(),
        wallet_address: customer.wallet.as_str().to_owned(),
        status: status.word(),
        created_at: rfc3339_ms(customer.created_at_ms),
    }))
}

/// What a closing has ended.
#[derive(Serialize, ToSchema)]
pub struct ClosedAnswer {
    /// Always `closed`
    #[schema(example = "closed")]
    status: &'static str,
    /// API keys that are refused for ever from now on
    keys_revoked: u64,
    /// Sessions that have ended, the one that asks included
    sessions_ended: u64,
    /// API tokens that were revoked
    api_tokens_revoked: u64,
    /// Whether every edge has confirmed that it refuses the keys
    applied: bool,
}

/// Close the account
///
/// For ever: its keys are refused at the edge, its sessions and API tokens end, and its wallet cannot sign in any more. The answer
/// comes when every edge has confirmed (200), or after ten seconds, or at once with `wait=saved` (202): it is saved then, and the
/// edges follow.
#[utoipa::path(
    delete, path = "/api/v1/account", operation_id = "closeAccount", tag = "Account", params(WaitQuery),
    security(("wallet_session" = [])),
    responses((status = 200, body = ClosedAnswer, description = "It is closed, and every edge knows"),
        (status = 202, body = ClosedAnswer, description = "It is closed, and an edge does not know yet"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`")),
)]
pub async fn close(
    call: Call,
    state: web::Data<State>,
    query: StrictQuery<WaitQuery>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let change = state
        .api()?
        .write_even_suspended(call, Needs::WalletSession, move |tx, account| {
            Ok(customer_status::close_in(tx, account.customer.customer, now_ms)?)
        })
        .await?;
    let confirmation = Confirmation::wait(&state, change.position, query.0.limit()).await?;
    Ok(confirmation.answer(&ClosedAnswer {
        status: change.status.word(),
        keys_revoked: change.ended.keys_revoked,
        sessions_ended: change.ended.sessions_ended,
        api_tokens_revoked: change.ended.api_tokens_revoked,
        applied: confirmation.applied,
    }))
}
