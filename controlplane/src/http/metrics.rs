//! `/metrics`: numbers for Prometheus, for this machine and for who has an operator's token.

use crate::app::chain_of;
use crate::db::Database;
use crate::domain::operator_tokens::{self, OperatorToken};
use crate::edge::board::{Board, EdgeState};
use crate::edge::requests::RequestCounts;
use crate::http::State;
use crate::http::api_counts::ApiCounts;
use crate::http::bearer::token_of;
use crate::http::metering_metrics;
use crate::http::source::Source;
use crate::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use prometheus::core::Collector;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

const MS_PER_S: i64 = 1_000;

/// `GET /metrics`.
pub async fn metrics(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    // A header only from a configured proxy: anybody can write one.
    let trusted = state.api.as_ref().map_or(&[][..], |api| &api.settings.trusted_proxies);
    if !Source::of(&request, trusted).is_this_machine() && !is_operator(&request, &state).await {
        return Problem::LoopbackOnly.response();
    }
    match render(&state.board, &state.requests, state.api_counts.as_ref(), state.clock.now_ms()) {
        Ok(text) => HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(error) => {
            tracing::error!(error = chain_of(&error), "metrics could not be written");
            Problem::Internal.response()
        }
    }
}

async fn is_operator(request: &HttpRequest, state: &State) -> bool {
    let token = token_of(request.headers(), OperatorToken::from_text);
    let (Some(token), Some(config)) = (token, state.database.clone()) else { return false };
    let now_ms = state.clock.now_ms();
    let known = web::block(move || {
        Database::open_again(&config)
            .and_then(|mut database| operator_tokens::authenticate(&mut database, &token, now_ms))
    });
    matches!(known.await, Ok(Ok(Some(_))))
}

/// Made anew for each scrape from one copy of the board, so that the numbers belong to one moment.
fn render(
    board: &Board,
    requests: &RequestCounts,
    api: Option<&ApiCounts>,
    now_ms: i64,
) -> Result<Vec<u8>, prometheus::Error> {
    let state = &board.state();
    let registry = Registry::new();
    let seconds_since =
        |since_ms: Option<i64>| since_ms.map_or(0, |since_ms| (now_ms - since_ms).max(0) / MS_PER_S);
    let in_step_s = seconds_since(state.in_step_since_ms);
    let gauges = [
        (
            "suiftly_database_sequence",
            "Last change in the database",
            state.database.map_or(0, |at| as_i64(at.sequence)),
        ),
        (
            "suiftly_edge_sequence",
            "Last change that every worker confirmed",
            state.confirmed.map_or(0, |at| as_i64(at.sequence)),
        ),
        (
            "suiftly_edge_in_step",
            "1 while every worker is in step",
            i64::from(state.in_step_since_ms.is_some()),
        ),
        ("suiftly_edge_workers", "HAProxy workers in step, old ones included", as_i64(state.workers as u64)),
        ("suiftly_edge_in_step_seconds", "Seconds since the edge is in step", in_step_s),
        (
            "suiftly_edge_behind_seconds",
            "How long the edge has not been in step: how stale it may be; 0 while it is",
            seconds_since(state.behind_since_ms),
        ),
        ("suiftly_policies", "Policies that the edge should have", as_i64(state.policies as u64)),
        ("suiftly_revocations", "Revocations that the edge should have", as_i64(state.revocations as u64)),
        (
            "suiftly_allowlist_entries",
            "Entries of allowlists that the edge should have",
            as_i64(state.allowlists as u64),
        ),
        ("suiftly_plans", "Plans that the edge should have", as_i64(state.plans as u64)),
    ];
    for (name, help, value) in gauges {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(value);
        register(&registry, gauge)?;
    }
    let counters = [
        ("suiftly_edge_pushes_total", "Workers that were sent something", state.counts.pushes),
        ("suiftly_edge_loads_total", "Workers that were loaded whole", state.counts.loads),
        (
            "suiftly_edge_repairs_total",
            "Differences without a change that were repaired",
            state.counts.repairs,
        ),
        ("suiftly_edge_errors_total", "Looks at the edge that ended in an error", state.errors),
    ];
    for (name, help, value) in counters {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        register(&registry, counter)?;
    }
    register_workers(&registry, state)?;
    register_edges(&registry, board)?;
    if board.local().is_some() {
        metering_metrics::register_ledger(&registry, &state.metering, requests, now_ms)?;
        metering_metrics::register_requests(&registry, requests)?;
    }
    metering_metrics::register_edges(&registry, &board.edges())?;
    metering_metrics::register_usage(&registry, board, now_ms)?;
    if let Some(api) = api {
        api.register(&registry)?;
    }
    let build = IntGaugeVec::new(Opts::new("suiftly_build_info", "The version that runs"), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    register(&registry, build)?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    Ok(text)
}

/// How each edge stands, the ones on other machines too.
fn register_edges(registry: &Registry, board: &Board) -> Result<(), prometheus::Error> {
    let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["edge"]);
    let in_step = gauge("suiftly_edges_in_step", "1 while an edge is in step and heard")?;
    let sequence = gauge("suiftly_edges_sequence", "Last change that every worker of an edge confirmed")?;
    let behind = gauge("suiftly_edges_behind_seconds", "How stale an edge may be; 0 while it is in step")?;
    let heard = gauge("suiftly_edges_heard_seconds", "Seconds since an edge was heard")?;
    for edge in board.edges() {
        let label = [edge.edge.as_str()];
        in_step.with_label_values(&label).set(i64::from(edge.in_step));
        sequence.with_label_values(&label).set(as_i64(edge.sequence));
        behind.with_label_values(&label).set(edge.lag_seconds);
        heard.with_label_values(&label).set(edge.heard_seconds_ago);
    }
    [in_step, sequence, behind, heard].into_iter().try_for_each(|gauge| register(registry, gauge))
}

/// What each worker says of itself. Counts begin with the worker, so they carry its pid: a reload begins new series.
fn register_workers(registry: &Registry, state: &EdgeState) -> Result<(), prometheus::Error> {
    let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
    let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["pid"]);
    let admitted = counter("suiftly_worker_admitted_total", "Requests that the module admitted", &["pid"])?;
    let refused =
        counter("suiftly_worker_refused_total", "Requests that the module refused", &["pid", "reason"])?;
    let burst =
        counter("suiftly_worker_burst_total", "Of those: served above the guaranteed rate", &["pid"])?;
    let rejected =
        counter("suiftly_worker_rejected_total", "Of those: refused by HAProxy after all", &["pid"])?;
    let unserved = counter(
        "suiftly_worker_unserved_total",
        "Of those: answered by HAProxy for want of a server's answer",
        &["pid"],
    )?;
    let panics = counter("suiftly_worker_panics_total", "Panics caught in the module", &["pid"])?;
    let sequence = gauge("suiftly_worker_sequence", "Last change in the worker's tables")?;
    let policies = gauge("suiftly_worker_policies", "Policies in the worker's table")?;
    let revocations = gauge("suiftly_worker_revocations", "Revocations in the worker's table")?;
    let allowlists =
        gauge("suiftly_worker_allowlist_entries", "Entries of allowlists in the worker's table")?;
    for (pid, status) in &state.statuses {
        let pid = pid.to_string();
        admitted.with_label_values(&[&pid]).inc_by(status.admitted);
        burst.with_label_values(&[&pid]).inc_by(status.burst);
        rejected.with_label_values(&[&pid]).inc_by(status.rejected);
        unserved.with_label_values(&[&pid]).inc_by(status.unserved);
        panics.with_label_values(&[&pid]).inc_by(status.panics);
        sequence.with_label_values(&[&pid]).set(as_i64(status.sequence));
        policies.with_label_values(&[&pid]).set(as_i64(status.policies.count));
        revocations.with_label_values(&[&pid]).set(as_i64(status.revocations.count));
        if let Some(table) = &status.allowlists {
            allowlists.with_label_values(&[&pid]).set(as_i64(table.count));
        }
        for (reason, count) in &status.refused {
            refused.with_label_values(&[&pid, reason]).inc_by(*count);
        }
    }
    for counter in [admitted, burst, rejected, unserved, refused, panics] {
        register(registry, counter)?;
    }
    for gauge in [sequence, policies, revocations, allowlists] {
        register(registry, gauge)?;
    }
    Ok(())
}

fn register(registry: &Registry, metric: impl Collector + 'static) -> Result<(), prometheus::Error> {
    registry.register(Box::new(metric))
}

fn as_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn every_number_is_there_once() {
        let board = Board::new(Clock::standing_at(5_000), "local");
        let text = String::from_utf8(
            render(&board, &RequestCounts::default(), ApiCounts::new().ok().as_ref(), 5_000).unwrap(),
        )
        .unwrap();
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let unique: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), unique.len(), "{text}");
        for name in [
            "suiftly_edge_in_step",
            "suiftly_ledger_slots",
            "suiftly_usage_log_difference",
            "suiftly_build_info",
        ] {
            assert!(names.iter().any(|found| found.starts_with(name)), "{name}");
        }
    }
}
