//! `GET /api/v1/catalogue`: what can be had, and what it costs now.

use crate::db::service_types;
use crate::domain::Tier;
use crate::domain::catalogue::{PriceItem, price_at, terms_at};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::problem::ProblemDetails;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// What can be had, and what it costs now.
#[derive(Serialize, ToSchema)]
#[schema(as = Catalogue)]
pub struct CatalogueAnswer {
    /// Types of services
    services: Vec<ServiceTypeItem>,
    /// From the smallest to the largest; the same for each type of service
    tiers: Vec<TierItem>,
    /// What everything else costs, in millionths of a US dollar
    prices: Prices,
}

/// A type of service.
#[derive(Serialize, ToSchema)]
pub struct ServiceTypeItem {
    /// `seal`, `grpc` or `graphql`
    #[schema(example = "seal")]
    service: &'static str,
    /// What people call it
    #[schema(example = "Seal key servers")]
    title: String,
    /// Whether it can be subscribed to
    open: bool,
}

/// What a tier gives, and what a month of it costs.
#[derive(Serialize, ToSchema)]
pub struct TierItem {
    /// `starter`, `pro` or `enterprise`
    #[schema(example = "pro")]
    tier: &'static str,
    /// What a month costs, in US cents
    #[schema(minimum = 0)]
    subscription_cents: i64,
    /// Requests per second that are always served
    guaranteed_per_s: u32,
    /// Further requests per second, served after guaranteed ones; 0 is none
    burst_per_s: u32,
    /// How many entries an allowlist can have; 0: there is none
    allowlist_entries_max: u32,
    /// How many API keys of a service the price includes
    api_keys_included: u32,
    /// How many there can be
    api_keys_max: u32,
    /// How many Seal keys the price includes
    seal_keys_included: u32,
    /// How many packages a Seal key includes
    packages_per_seal_key: u32,
}

/// Prices in millionths of a US dollar.
#[derive(Serialize, ToSchema)]
pub struct Prices {
    /// Of a request that was served
    #[schema(minimum = 0)]
    request_micro_usd: i64,
    /// Of an API key beyond those that are included, for a month
    #[schema(minimum = 0)]
    api_key_month_micro_usd: i64,
    /// Of a Seal key beyond those that are included, for a month
    #[schema(minimum = 0)]
    seal_key_month_micro_usd: i64,
    /// Of a package beyond those that are included, for a month
    #[schema(minimum = 0)]
    package_month_micro_usd: i64,
}

/// Read what can be had, and what it costs now
#[utoipa::path(
    get, path = "/api/v1/catalogue", operation_id = "readCatalogue", tag = "Services",
    security(("wallet_session" = []), ("api_token" = [])),
    responses((status = 200, body = CatalogueAnswer, description = "Services, tiers and prices")),
)]
pub async fn read(call: Call, state: web::Data<State>) -> Result<HttpResponse, ProblemDetails> {
    let now_ms = state.clock.now_ms();
    let answer = state
        .api()?
        .read(call, Needs::AnyToken, move |tx, _| {
            let services = service_types::all(tx)?.into_iter().map(|row| ServiceTypeItem {
                service: row.service.name(),
                title: row.title,
                open: row.is_open,
            });
            let services = services.collect();
            let mut tiers = Vec::new();
            for tier in Tier::ALL {
                let terms = terms_at(tx, *tier, now_ms)?;
                tiers.push(TierItem {
                    tier: tier.word(),
                    subscription_cents: terms.subscription_cents,
                    guaranteed_per_s: terms.rates.guaranteed_per_s,
                    burst_per_s: terms.rates.burst_per_s,
                    allowlist_entries_max: terms.allowlist_entries_max,
                    api_keys_included: terms.api_keys_included,
                    api_keys_max: terms.api_keys_max,
                    seal_keys_included: terms.seal_keys_included,
                    packages_per_seal_key: terms.packages_per_seal_key,
                });
            }
            let prices = Prices {
                request_micro_usd: price_at(tx, PriceItem::Request, now_ms)?,
                api_key_month_micro_usd: price_at(tx, PriceItem::ApiKeyMonth, now_ms)?,
                seal_key_month_micro_usd: price_at(tx, PriceItem::SealKeyMonth, now_ms)?,
                package_month_micro_usd: price_at(tx, PriceItem::PackageMonth, now_ms)?,
            };
            Ok(CatalogueAnswer { services, tiers, prices })
        })
        .await?;
    Ok(HttpResponse::Ok().json(answer))
}
