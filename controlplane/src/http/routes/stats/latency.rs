//! `GET /api/v1/stats/latency`.

use crate::clock::rfc3339_ms;
use crate::domain::api_tokens::Scope;
use crate::domain::statistics::{self, LatencyBucket};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::routes::services::ServiceWord;
use crate::http::routes::stats::answer::{PrefersCsv, Table, answer, cell};
use crate::http::routes::stats::query::{BucketWord, RangeWord, SeriesQuery};
use crate::http::strict::StrictQuery;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// How fast requests were answered, by time.
#[derive(Serialize, ToSchema)]
pub struct LatencyAnswer {
    /// When the first bucket begins
    #[schema(format = "date-time")]
    from: String,
    /// Until when: now
    #[schema(format = "date-time")]
    to: String,
    /// How far back: `24h`, `7d` or `30d`
    #[schema(value_type = String, example = "24h")]
    range: RangeWord,
    /// How long a bucket is: `minute`, `hour` or `day`
    #[schema(value_type = String, example = "hour")]
    bucket: BucketWord,
    /// Of which service; `null`: of all
    service: Option<ServiceWord>,
    /// With which key; `null`: with all
    #[schema(example = "4100000112345678")]
    key: Option<String>,
    /// Every bucket of the time, oldest first
    items: Vec<LatencyItem>,
}

/// The response times of a bucket.
#[derive(Serialize, ToSchema)]
pub struct LatencyItem {
    /// When it begins
    #[schema(format = "date-time")]
    start: String,
    /// Whether it is not over: the last one
    partial: bool,
    /// How many requests the service answered
    count: u64,
    /// The time until the service began to answer that half of them did not exceed, in milliseconds, at most 1 % too long; `null`
    /// without an answer
    p50_ms: Option<u64>,
    /// The same of 95 in 100
    p95_ms: Option<u64>,
    /// The same of 99 in 100
    p99_ms: Option<u64>,
}

impl LatencyItem {
    fn of(start_s: i64, partial: bool, bucket: &LatencyBucket) -> Self {
        let [p50_ms, p95_ms, p99_ms] = bucket.percentiles_ms.map_or([None; 3], |times| times.map(Some));
        Self { start: rfc3339_ms(start_s * 1_000), partial, count: bucket.count, p50_ms, p95_ms, p99_ms }
    }
}

/// Read how fast requests were answered
///
/// By minute, hour or day: every bucket of the time. The last one is the one in which we are. A request is in it within ten seconds.
/// Tokens need the scope `usage:read`.
#[utoipa::path(
    get, path = "/api/v1/stats/latency", operation_id = "readLatency", tag = "Statistics", params(SeriesQuery),
    security(("wallet_session" = []), ("api_token" = ["usage:read"])),
    responses((status = 200, description = "The response times",
            content((LatencyAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account")),
)]
pub async fn latency(
    call: Call,
    state: web::Data<State>,
    query: StrictQuery<SeriesQuery>,
    prefers_csv: PrefersCsv,
) -> Result<HttpResponse, ProblemDetails> {
    let (query, now_ms) = (query.0, state.clock.now_ms());
    let (which, period) = query.read(now_ms)?;
    let of = period.clone();
    let buckets = state
        .api()?
        .read(call, Needs::Scope(Scope::UsageRead), move |tx, account| {
            let asked = which.asked(tx, account)?;
            Ok(statistics::latency(tx, &asked, &of)?)
        })
        .await?;
    let last_s = period.time_s.end - period.bucket.length_s();
    let items = buckets.iter().map(|(start_s, bucket)| LatencyItem::of(*start_s, *start_s == last_s, bucket));
    let body = LatencyAnswer {
        from: rfc3339_ms(period.time_s.start * 1_000),
        to: rfc3339_ms(now_ms),
        range: query.range(),
        bucket: period.bucket.into(),
        service: which.service,
        key: which.key.map(|key| key.to_string()),
        items: items.collect(),
    };
    Ok(answer(query.format, prefers_csv, &body, || table(&body)))
}

fn table(body: &LatencyAnswer) -> Table {
    let row = |item: &LatencyItem| {
        let mut row = vec![item.start.clone(), item.partial.to_string(), item.count.to_string()];
        row.extend([item.p50_ms, item.p95_ms, item.p99_ms].map(cell));
        row
    };
    Table {
        name: format!("suiftly-latency-{}-{}", body.range.word(), body.bucket.word()),
        columns: &["start", "partial", "count", "p50_ms", "p95_ms", "p99_ms"],
        rows: body.items.iter().map(row).collect(),
    }
}
