//! `/api/v1/account`.

use crate::clock::rfc3339_ms;
use crate::domain::CustomerStatus;
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::problem::ProblemDetails;
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
        wallet_address: customer.wallet_address,
        status: status.word(),
        created_at: rfc3339_ms(customer.created_at_ms),
    }))
}
