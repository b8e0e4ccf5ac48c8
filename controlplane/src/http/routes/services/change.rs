//! `PATCH /api/v1/services/{service}`.

use crate::domain::Tier;
use crate::domain::api_tokens::Scope;
use crate::domain::gate::CreditBalance;
use crate::domain::services::subscriptions::{self, Alteration};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::confirmation::{Confirmation, WaitQuery};
use crate::http::etag::{self, IfMatch};
use crate::http::routes::services::{ChangedService, ServiceItem, TierWord, service_of};
use crate::http::strict::{StrictJson, StrictQuery, invalid};
use crate::problem::{Problem, ProblemBody, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::ETAG;
use actix_web::{HttpRequest, HttpResponse, web};
use edgeformat::{PolicyKey, Prefix};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// More entries than any tier allows.
const ENTRIES_MAX: usize = 1_000;

/// What changes; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ServiceChange)]
pub struct Change {
    /// A higher tier is paid for now, for the days that are left of the month; a lower one comes when the month ends, and the same
    /// one takes that back. Before the first payment either is immediate and free
    tier: Option<TierWord>,
    /// On or off. On pays for a subscription that was not paid for yet, and takes a cancellation back
    enabled: Option<bool>,
    /// With or without the burst that the tier has
    burst: Option<bool>,
    /// From which addresses it may be used
    allowlist: Option<AllowlistChange>,
}

/// What becomes of an allowlist.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum AllowlistChange {
    /// Exactly these addresses and networks; they are checked, unless there is none
    Entries(Vec<String>),
    /// The list, and whether it is checked
    Of(#[serde(deserialize_with = "fields")] AllowlistFields),
}

/// From an object only: serde would read the fields from a list, too, one after the other.
fn fields<'de, D: Deserializer<'de>>(value: D) -> Result<AllowlistFields, D::Error> {
    let fields = serde_json::Map::deserialize(value)?;
    serde_json::from_value(fields.into()).map_err(D::Error::custom)
}

/// The list, and whether it is checked; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowlistFields {
    /// Whether addresses are checked; with an empty list nothing is served then
    enabled: Option<bool>,
    /// Exactly these addresses and networks, IPv4 or IPv6
    #[schema(max_items = 1000, example = json!(["203.0.113.0/24", "2001:db8::/32"]))]
    entries: Option<Vec<String>>,
}

/// Change a service
///
/// All of it happens, or nothing. What costs more is checked before: 402 says what is missing. The answer comes when every edge
/// enforces it (200), or after ten seconds, or at once with `wait=saved` (202). With `If-Match` only if it still is the version that
/// was read. Tokens need the scope `services:write`.
#[utoipa::path(
    patch, path = "/api/v1/services/{service}", operation_id = "changeService", tag = "Services",
    request_body = Change,
    params(WaitQuery, ("service" = String, Path, description = "`seal`, `grpc` or `graphql`", max_length = 32),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read")),
    security(("wallet_session" = []), ("api_token" = ["services:write"])),
    responses((status = 200, body = ChangedService, description = "Changed, and every edge knows", headers(("ETag" = String, description = "Its version"))),
        (status = 202, body = ChangedService, description = "Changed, and an edge does not know yet", headers(("ETag" = String, description = "Its version"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`invalid_body`, `bad_query`"),
        (status = 402, body = ProblemBody, content_type = "application/problem+json", description = "`no_payment_method`, `insufficient_balance`, `spending_limit_exceeded`: the details have the amounts"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json", description = "`not_in_tier`, `insufficient_scope`, `customer_suspended`, `customer_closed`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`no_service`, `not_found`: there is no such type"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "`service_state`, `allowlist_too_long`"),
        (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "`changed_meanwhile`")),
)]
pub async fn change(
    request: HttpRequest,
    call: Call,
    state: web::Data<State>,
    service: web::Path<String>,
    query: StrictQuery<WaitQuery>,
    body: StrictJson<Change>,
) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let condition = IfMatch::of(&request);
    let service = service_of(&service)?;
    let wanted = alteration_of(body.value)?;
    let (moved, item) = state
        .api()?
        .write(call, Needs::Scope(Scope::ServicesWrite), move |tx, account| {
            let key = PolicyKey { customer: account.customer.customer, service };
            condition.check(subscriptions::find(tx, key)?.version)?;
            let moved = subscriptions::alter(tx, key, &wanted, &CreditBalance, now_ms)?;
            let item = ServiceItem::load(tx, &moved.service, now_ms)?;
            Ok((moved, item))
        })
        .await?;
    let confirmation = Confirmation::wait(&state, moved.position, query.0.limit()).await?;
    let item = serde_json::to_value(&item).map_err(|_| Problem::Internal)?;
    let tag = etag::of_version(moved.service.version);
    Ok(confirmation.answer_with(StatusCode::OK, &[(ETAG, tag)], item))
}

fn alteration_of(change: Change) -> Result<Alteration, ProblemDetails> {
    let (allowlist, allowlist_checked) = match change.allowlist {
        None => (None, None),
        Some(AllowlistChange::Entries(entries)) => {
            let checked = !entries.is_empty();
            (Some(prefixes(&entries, "allowlist")?), Some(checked))
        }
        Some(AllowlistChange::Of(AllowlistFields { enabled, entries })) => {
            let entries = entries.map(|entries| prefixes(&entries, "allowlist.entries")).transpose()?;
            (entries, enabled)
        }
    };
    Ok(Alteration {
        tier: change.tier.map(Tier::from),
        enabled: change.enabled,
        burst: change.burst,
        allowlist_checked,
        allowlist,
    })
}

fn prefixes(texts: &[String], field: &str) -> Result<BTreeSet<Prefix>, ProblemDetails> {
    if texts.len() > ENTRIES_MAX {
        return Err(invalid(field, &format!("a list has at most {ENTRIES_MAX} entries")));
    }
    let prefix = |(place, text): (usize, &String)| {
        let read: Result<Prefix, _> = text.parse();
        read.map_err(|error| invalid(format!("{field}[{place}]"), &error.to_string()))
    };
    texts.iter().enumerate().map(prefix).collect()
}
