//! What `/metrics` says of metering: the ledger of the edge on this machine, and how far every edge's is collected.

use crate::edge::board::Board;
use crate::edge::metering::Metering;
use crate::edge::report::EdgeReport;
use crate::edge::requests::{RequestCounts, Why};
use edgeformat::ledger::Counter;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

const MS_PER_S: i64 = 1_000;

/// Adds the numbers of the edge on this machine.
pub(super) fn register_ledger(
    registry: &Registry,
    metering: &Metering,
    requests: &RequestCounts,
    now_ms: i64,
) -> Result<(), prometheus::Error> {
    let gauges = [
        (
            "suiftly_ledger_generation",
            "Which of its ledger files workers count in; 0: none",
            metering.generation,
        ),
        (
            "suiftly_ledger_slots",
            "Slots of that file: customers and services that it can count",
            metering.slots as u64,
        ),
        ("suiftly_ledger_slots_taken", "How many of them are taken", metering.taken as u64),
        ("suiftly_ledger_files", "Ledger files that are read, former ones included", metering.files as u64),
        (
            "suiftly_ledger_problems",
            "What is wrong with metering on this machine",
            metering.problems.len() as u64,
        ),
        (
            "suiftly_ledger_uncollected",
            "Requests let through that stand in a worker's memory only: there is no ledger",
            metering.uncollected,
        ),
        (
            "suiftly_usage_collection_lag_seconds",
            "For how long the oldest count has waited to be told to the control plane",
            metering.lag_seconds(now_ms).cast_unsigned(),
        ),
    ];
    for (name, help, value) in gauges {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(Box::new(gauge))?;
    }
    let help = "Requests let through since this process began, by the ledger, less those by the log";
    let difference = IntGauge::new("suiftly_usage_log_difference", help)?;
    difference
        .set(metering.since_start().admitted().cast_signed().wrapping_sub(requests.admitted().cast_signed()));
    registry.register(Box::new(difference))?;
    let counters = [
        (
            "suiftly_ledger_admitted_total",
            "Requests that workers let through",
            metering.since_start().admitted(),
        ),
        (
            "suiftly_ledger_burst_total",
            "Of those: above the guaranteed rate",
            metering.since_start().get(Counter::Burst),
        ),
        (
            "suiftly_ledger_unserved_total",
            "Of those: answered by HAProxy for want of a server's answer",
            metering.since_start().unserved(),
        ),
        (
            "suiftly_ledger_unplaced_total",
            "Of those: counted for nobody, since the ledger was full",
            metering.unplaced,
        ),
        (
            "suiftly_usage_collection_errors_total",
            "Times that the control plane could not be told",
            metering.errors,
        ),
    ];
    for (name, help, value) in counters {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))?;
    }
    let reasons = [
        (
            "suiftly_ledger_rejected_total",
            "Requests let through and then refused by HAProxy",
            &Counter::REJECTED[..],
        ),
        (
            "suiftly_ledger_refused_total",
            "Requests refused though their key was genuine",
            &Counter::REFUSED[..],
        ),
    ];
    for (name, help, counters) in reasons {
        let by_reason = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
        for counter in counters {
            by_reason.with_label_values(&[counter.word()]).inc_by(metering.since_start().get(*counter));
        }
        registry.register(Box::new(by_reason))?;
    }
    Ok(())
}

/// Adds how far each edge's ledger is collected, by what the edges say.
pub(super) fn register_edges(registry: &Registry, edges: &[EdgeReport]) -> Result<(), prometheus::Error> {
    let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["edge"]);
    let lag =
        gauge("suiftly_usage_lag_seconds", "For how long an edge's oldest count has waited to be told")?;
    let taken = gauge("suiftly_edges_ledger_slots_taken", "Slots taken in an edge's ledger")?;
    let slots = gauge("suiftly_edges_ledger_slots", "Slots of an edge's ledger")?;
    let lost =
        gauge("suiftly_edges_usage_lost", "Requests let through at an edge that nobody is billed for")?;
    let problems = gauge("suiftly_edges_metering_problems", "What is wrong with metering at an edge")?;
    for edge in edges {
        let Some(metering) = &edge.metering else { continue };
        let label = [edge.edge.as_str()];
        let set = |gauge: &IntGaugeVec, value: u64| {
            gauge.with_label_values(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        lag.with_label_values(&label).set(metering.lag_seconds);
        set(&taken, metering.taken);
        set(&slots, metering.slots);
        set(&lost, metering.lost);
        set(&problems, metering.problems.len() as u64);
    }
    [lag, taken, slots, lost, problems].into_iter().try_for_each(|gauge| registry.register(Box::new(gauge)))
}

/// What was taken of the edges' ledgers, by this process.
pub(super) fn register_usage(
    registry: &Registry,
    board: &Board,
    now_ms: i64,
) -> Result<(), prometheus::Error> {
    let numbers = board.usage().numbers();
    for (name, help, value) in [
        ("suiftly_usage_readings_total", "Readings of ledgers that were taken", numbers.readings),
        ("suiftly_usage_slots_total", "Slots in them that had something new", numbers.slots),
        ("suiftly_usage_set_aside_total", "Slots that were not plausible and set aside", numbers.set_aside),
        ("suiftly_usage_foreign_ledger_total", "Readings of a ledger of another edge", numbers.refused),
        ("suiftly_usage_failed_total", "Readings that could not be taken", numbers.failed),
    ] {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))?;
    }
    let help = "Seconds since a reading of an edge was taken: the lag of collection";
    let heard = IntGaugeVec::new(Opts::new("suiftly_usage_heard_seconds", help), &["edge"])?;
    for (edge, heard_ms) in &numbers.heard_ms {
        heard.with_label_values(&[edge]).set((now_ms - heard_ms).max(0) / MS_PER_S);
    }
    registry.register(Box::new(heard))
}

/// What became of HAProxy's log lines on this machine.
pub(super) fn register_requests(
    registry: &Registry,
    requests: &RequestCounts,
) -> Result<(), prometheus::Error> {
    for (name, help, value) in [
        ("suiftly_request_log_lines_total", "Log lines of requests that were received", requests.lines()),
        (
            "suiftly_request_log_admitted_total",
            "Log lines of requests that the module had admitted",
            requests.admitted(),
        ),
        ("suiftly_request_log_stored_total", "Log lines that were handed over", requests.stored()),
    ] {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))?;
    }
    let dropped = Opts::new("suiftly_request_log_dropped_total", "Log lines that are not kept");
    let dropped = IntCounterVec::new(dropped, &["why"])?;
    for why in Why::ALL {
        dropped.with_label_values(&[why.word()]).inc_by(requests.dropped(why));
    }
    registry.register(Box::new(dropped))
}
