//! What `/metrics` says of metering: the ledger of the edge on this machine, and how far every edge's is collected.

use crate::edge::metering::Metering;
use crate::edge::report::EdgeReport;
use edgeformat::ledger::Counter;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Adds the numbers of the edge on this machine.
pub(super) fn register_ledger(
    registry: &Registry,
    metering: &Metering,
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
    let counters = [
        ("suiftly_ledger_admitted_total", "Requests that workers let through", metering.total.admitted()),
        (
            "suiftly_ledger_burst_total",
            "Of those: above the guaranteed rate",
            metering.total.get(Counter::Burst),
        ),
        (
            "suiftly_ledger_unserved_total",
            "Of those: answered by HAProxy for want of a server's answer",
            metering.total.unserved(),
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
            by_reason.with_label_values(&[counter.word()]).inc_by(metering.total.get(*counter));
        }
        registry.register(Box::new(by_reason))?;
    }
    Ok(())
}

/// Adds how far each edge's ledger is collected, by what the edges say.
pub(super) fn register_edges(registry: &Registry, edges: &[EdgeReport]) -> Result<(), prometheus::Error> {
    let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["edge"]);
    let lag = gauge(
        "suiftly_edges_usage_lag_seconds",
        "For how long an edge's oldest count has waited to be told",
    )?;
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
