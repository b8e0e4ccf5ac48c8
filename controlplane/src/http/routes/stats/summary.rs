//! `GET /api/v1/stats/summary`.

use crate::clock::rfc3339_ms;
use crate::domain::api_tokens::Scope;
use crate::domain::statistics::{self, Part};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::routes::stats::answer::{PrefersCsv, Table, answer, cell};
use crate::http::routes::stats::query::SummaryQuery;
use crate::http::strict::StrictQuery;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The last 24 hours.
#[derive(Serialize, ToSchema)]
pub struct SummaryAnswer {
    /// From when on: the minute 24 hours ago
    #[schema(format = "date-time")]
    from: String,
    /// Until when: now
    #[schema(format = "date-time")]
    to: String,
    /// All of it, also what was refused before it was known for which service
    total: SummaryPart,
    /// By service; those with requests only
    services: Vec<ServiceSummary>,
}

/// What requests for a service add up to.
#[derive(Serialize, ToSchema)]
pub struct ServiceSummary {
    /// The service
    #[schema(example = "seal")]
    service: String,
    /// The sums
    #[serde(flatten)]
    part: SummaryPart,
}

/// What requests add up to.
#[derive(Serialize, ToSchema)]
pub struct SummaryPart {
    /// Served at the guaranteed rate. Billed. This, `burst`, `rejected` and `unserved` are exact and counted within seconds after the
    /// request; of one key they come from the request log, since what is billed is not counted by key
    guaranteed: i64,
    /// Served above the guaranteed rate. Billed
    burst: i64,
    /// Refused. Not billed
    rejected: i64,
    /// Why they were refused: how many by the code that callers were answered. Empty where one key is asked for
    rejected_by: BTreeMap<&'static str, u64>,
    /// Admitted, and not answered by a server. Not billed
    unserved: i64,
    /// Answered with a status of 400 to 499 by the service. From the request log, as everything below
    client_errors: i64,
    /// Answered with a status of 500 to 599 by the service
    server_errors: i64,
    /// Bytes of requests
    received_bytes: i64,
    /// Bytes of answers
    sent_bytes: i64,
    /// The time until the service began to answer that half of the answers did not exceed, in milliseconds; `null` without an answer
    p50_ms: Option<u64>,
    /// The same of 95 in 100
    p95_ms: Option<u64>,
    /// The same of 99 in 100
    p99_ms: Option<u64>,
}

impl SummaryPart {
    fn of(part: Part) -> Self {
        let percentiles_ms = part.latency().percentiles_ms;
        let [p50_ms, p95_ms, p99_ms] = percentiles_ms.map_or([None; 3], |times| times.map(Some));
        let Part { figures, rejected_by, logged, .. } = part;
        Self {
            guaranteed: figures.guaranteed,
            burst: figures.burst,
            rejected: figures.rejected,
            rejected_by,
            unserved: figures.unserved,
            client_errors: logged.client_errors,
            server_errors: logged.server_errors,
            received_bytes: logged.received_bytes,
            sent_bytes: logged.sent_bytes,
            p50_ms,
            p95_ms,
            p99_ms,
        }
    }
}

/// Read the last 24 hours
///
/// In total and by service. A request is in it within ten seconds. Tokens need the scope `usage:read`.
#[utoipa::path(
    get, path = "/api/v1/stats/summary", operation_id = "readSummary", tag = "Statistics", params(SummaryQuery),
    security(("wallet_session" = []), ("api_token" = ["usage:read"])),
    responses((status = 200, description = "The sums",
            content((SummaryAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account")),
)]
pub async fn summary(
    call: Call,
    state: web::Data<State>,
    query: StrictQuery<SummaryQuery>,
    prefers_csv: PrefersCsv,
) -> Result<HttpResponse, ProblemDetails> {
    let (query, now_ms) = (query.0, state.clock.now_ms());
    let which = query.which()?;
    let summary = state
        .api()?
        .read(call, Needs::Scope(Scope::UsageRead), move |tx, account| {
            let asked = which.asked(tx, account)?;
            Ok(statistics::summary(tx, &asked, now_ms)?)
        })
        .await?;
    let services = summary.services.into_iter();
    let body = SummaryAnswer {
        from: rfc3339_ms(summary.from_s * 1_000),
        to: rfc3339_ms(now_ms),
        total: SummaryPart::of(summary.total),
        services: services
            .map(|(service, part)| ServiceSummary { service, part: SummaryPart::of(part) })
            .collect(),
    };
    Ok(answer(query.format, prefers_csv, &body, || table(&body)))
}

fn table(body: &SummaryAnswer) -> Table {
    let row = |service: &str, part: &SummaryPart| {
        let reasons: Vec<String> =
            part.rejected_by.iter().map(|(code, count)| format!("{code}:{count}")).collect();
        let mut row = vec![body.from.clone(), body.to.clone(), service.to_owned()];
        row.extend([part.guaranteed, part.burst, part.rejected].map(|count| count.to_string()));
        row.push(reasons.join(" "));
        let rest =
            [part.unserved, part.client_errors, part.server_errors, part.received_bytes, part.sent_bytes];
        row.extend(rest.map(|count| count.to_string()));
        row.extend([part.p50_ms, part.p95_ms, part.p99_ms].map(cell));
        row
    };
    let mut rows = vec![row("total", &body.total)];
    rows.extend(body.services.iter().map(|item| row(&item.service, &item.part)));
    Table {
        name: "suiftly-summary-24h".to_owned(),
        columns: &[
            "from",
            "to",
            "service",
            "guaranteed",
            "burst",
            "rejected",
            "rejected_by",
            "unserved",
            "client_errors",
            "server_errors",
            "received_bytes",
            "sent_bytes",
            "p50_ms",
            "p95_ms",
            "p99_ms",
        ],
        rows,
    }
}
