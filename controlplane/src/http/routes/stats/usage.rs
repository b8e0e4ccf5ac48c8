//! `GET /api/v1/stats/usage`.

use crate::clock::rfc3339_ms;
use crate::domain::api_tokens::Scope;
use crate::domain::statistics::{self, UsageBucket};
use crate::http::State;
use crate::http::caller::{Call, Needs};
use crate::http::routes::services::ServiceWord;
use crate::http::routes::stats::answer::{PrefersCsv, Table, answer};
use crate::http::routes::stats::query::{BucketWord, RangeWord, SeriesQuery};
use crate::http::strict::StrictQuery;
use crate::problem::{ProblemBody, ProblemDetails};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What was used, by time.
#[derive(Serialize, ToSchema)]
pub struct UsageAnswer {
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
    items: Vec<UsageItem>,
}

/// What was used in a bucket.
#[derive(Serialize, ToSchema)]
pub struct UsageItem {
    /// When it begins
    #[schema(format = "date-time")]
    start: String,
    /// Whether it is not over: the last one
    partial: bool,
    /// Served at the guaranteed rate. Billed. This, `burst`, `rejected` and `unserved` are exact and counted within seconds after the
    /// request; of one key they come from the request log, since what is billed is not counted by key
    #[schema(minimum = 0)]
    guaranteed: i64,
    /// Served above the guaranteed rate. Billed
    #[schema(minimum = 0)]
    burst: i64,
    /// Refused. Not billed
    #[schema(minimum = 0)]
    rejected: i64,
    /// Why they were refused: how many by the code that callers were answered. `null` where one key is asked for
    rejected_by: Option<BTreeMap<&'static str, u64>>,
    /// Admitted, and not answered by a server. Not billed
    #[schema(minimum = 0)]
    unserved: i64,
    /// Answered with a status of 400 to 499 by the service. From the request log, as everything below
    #[schema(minimum = 0)]
    client_errors: i64,
    /// Answered with a status of 500 to 599 by the service
    #[schema(minimum = 0)]
    server_errors: i64,
    /// Bytes of requests
    #[schema(minimum = 0)]
    received_bytes: i64,
    /// Bytes of answers
    #[schema(minimum = 0)]
    sent_bytes: i64,
}

impl UsageItem {
    fn of(start_s: i64, partial: bool, bucket: UsageBucket) -> Self {
        let UsageBucket { figures, rejected_by, logged } = bucket;
        Self {
            start: rfc3339_ms(start_s * 1_000),
            partial,
            // Outcomes are counted after admission, and a bucket can end between.
            guaranteed: figures.guaranteed.max(0),
            burst: figures.burst.max(0),
            rejected: figures.rejected.max(0),
            rejected_by,
            unserved: figures.unserved.max(0),
            client_errors: logged.client_errors,
            server_errors: logged.server_errors,
            received_bytes: logged.received_bytes,
            sent_bytes: logged.sent_bytes,
        }
    }
}

/// Read what was used
///
/// By minute, hour or day: every bucket of the time, zeros where nothing happened. The last one is the one in which we are. A request is
/// in it within ten seconds. Tokens need the scope `usage:read`.
#[utoipa::path(
    get, path = "/api/v1/stats/usage", operation_id = "readUsage", tag = "Statistics", params(SeriesQuery),
    security(("wallet_session" = []), ("api_token" = ["usage:read"])),
    responses((status = 200, description = "What was used",
            content((UsageAnswer = "application/json"), (String = "text/csv"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "`bad_query`"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "`not_found`: no key of this account")),
)]
pub async fn usage(
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
            Ok(statistics::usage(tx, &asked, &of)?)
        })
        .await?;
    let last_s = period.time_s.end - period.bucket.length_s();
    let items =
        buckets.into_iter().map(|(start_s, bucket)| UsageItem::of(start_s, start_s == last_s, bucket));
    let body = UsageAnswer {
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

fn table(body: &UsageAnswer) -> Table {
    let row = |item: &UsageItem| {
        let reasons = item.rejected_by.iter().flatten();
        let reasons: Vec<String> = reasons.map(|(code, count)| format!("{code}:{count}")).collect();
        let mut row = vec![item.start.clone(), item.partial.to_string()];
        row.extend([item.guaranteed, item.burst, item.rejected].map(|count| count.to_string()));
        row.push(reasons.join(" "));
        let rest =
            [item.unserved, item.client_errors, item.server_errors, item.received_bytes, item.sent_bytes];
        row.extend(rest.map(|count| count.to_string()));
        row
    };
    Table {
        name: format!("suiftly-usage-{}-{}", body.range.word(), body.bucket.word()),
        columns: &[
            "start",
            "partial",
            "guaranteed",
            "burst",
            "rejected",
            "rejected_by",
            "unserved",
            "client_errors",
            "server_errors",
            "received_bytes",
            "sent_bytes",
        ],
        rows: body.items.iter().map(row).collect(),
    }
}
