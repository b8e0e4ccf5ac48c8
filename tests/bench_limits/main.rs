//! Prints what `scripts/bench-limits` measures, as the tables of benches/REPORT.md.

#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints what it measures, and fails by panicking"
)]

use harness::Stack;
use harness::limits::accuracy::{BURST_PER_S, Customers, GUARANTEED_PER_S};
use harness::limits::crowd::{Crowd, HUNDRED, Turn};
use harness::limits::saturation::{MAXCONN, QUICK_ANSWERS, SLOW_ANSWERS, Scenario, measure};
use harness::load::percentile;
use std::time::Duration;

/// Of all customers who are not driven: each asks once in half a minute.
const BACKGROUND_PER_S: f64 = 340.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, parts): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| argument.starts_with("--"));
    let is_quick = options.iter().any(|option| *option == "--quick");
    let length = Duration::from_secs(if is_quick { 5 } else { 30 });
    let is_wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| *wanted == part);
    if is_wanted("accuracy") {
        print_accuracy(length);
    }
    if is_wanted("crowd") {
        print_crowd(length, is_quick);
    }
    if is_wanted("saturation") {
        print_saturation(length);
    }
}

fn head(columns: &[&str]) {
    println!("\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

fn print_accuracy(length: Duration) {
    let stack = Stack::start();
    let customers = Customers::new(&stack);
    head(&[
        "offered/s",
        "limit",
        "guaranteed/s",
        "burst/s",
        "admitted in all, of at most",
        "neighbour served",
        "its p50, p99 ms",
        "log lines missing",
        "generator late, ms",
    ]);
    for rate in [50, 100, 200, 1_000] {
        let run = customers.drive(&stack, rate, length);
        for (driven, burst) in [(run.plain, 0), (run.bursting, BURST_PER_S)] {
            println!(
                "| {:.2} | {GUARANTEED_PER_S} + {burst} | {:.2} | {:.2} | {} of {} | {} of {} | {:.2}, {:.2} | {} | {:.1} |",
                driven.offered_per_s,
                driven.guaranteed_per_s,
                driven.burst_per_s,
                driven.admitted,
                u64::from(GUARANTEED_PER_S + burst) * (length.as_secs() + 1),
                run.neighbour.served,
                run.neighbour.offered,
                run.neighbour.p50_us / 1e3,
                run.neighbour.p99_us / 1e3,
                driven.unlogged,
                run.latest_ms,
            );
        }
    }
}

fn print_crowd(length: Duration, is_quick: bool) {
    let mut crowd = Crowd::start(10_000);
    head(&[
        "driven at once",
        "sent/s in all",
        "offered, of the limit",
        "admitted, of the limit: least, median, most",
        "others: served of sent",
        "p99 ms",
        "generator late, ms: p99, most",
    ]);
    let turns: &[Turn] = if is_quick { &[[80, 0, 0], [0, 2, 0]] } else { &HUNDRED };
    for turn in turns {
        let found = crowd.drive(*turn, BACKGROUND_PER_S, length);
        let (offered, admitted): (Vec<f64>, Vec<f64>) =
            found.driven.iter().map(|driven| (driven.offered, driven.admitted)).unzip();
        println!(
            "| {} {} | {:.0} | {:.3} | {:.4}, {:.4}, {:.4} | {} of {} | {:.1} | {:.1}, {:.1} |",
            found.driven.len(),
            found.driven[0].tier.name,
            found.sent_per_s,
            percentile(&offered, 0.5),
            percentile(&admitted, 0.0),
            percentile(&admitted, 0.5),
            percentile(&admitted, 1.0),
            found.background - found.background_unserved,
            found.background,
            found.p99_ms,
            found.late_p99_ms,
            found.latest_ms,
        );
        if found.other > 0 {
            println!("{} answers other than 200 and 429", found.other);
        }
    }
}

fn print_saturation(length: Duration) {
    head(&["answers", "class", "served", "dropped", "waited, ms: p50", "p95", "most"]);
    let mut factors = Vec::new();
    for scenario in [QUICK_ANSWERS, SLOW_ANSWERS] {
        let scenario = Scenario { length, ..scenario };
        let stack = Stack::start_with(&[(MAXCONN, &scenario.connections.to_string())]);
        let found = measure(&stack, &scenario);
        let (guaranteed, burst) = (found.guaranteed(), found.burst());
        for (class, waited) in [("guaranteed", &guaranteed), ("burst", &burst)] {
            println!(
                "| {} ms | {class} | {} | {} | {:.0} | {:.0} | {:.0} |",
                scenario.answer_ms,
                waited.served,
                waited.dropped + waited.other,
                waited.queue_ms(0.5),
                waited.queue_ms(0.95),
                waited.queue_ms(1.0),
            );
        }
        let factor = |share| burst.queue_ms(share) / guaranteed.queue_ms(share).max(1.0);
        factors.push(format!(
            "{} ms: burst waits {:.0} times as long (medians), {:.0} times (p95); generator at most {:.0} ms late",
            scenario.answer_ms,
            factor(0.5),
            factor(0.95),
            found.latest_ms
        ));
    }
    println!("\n{}", factors.join("\n"));
}
