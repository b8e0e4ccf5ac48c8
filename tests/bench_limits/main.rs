//! Prints what `scripts/bench-limits` measures, as the tables of benches/REPORT.md.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints what it measures, and fails by panicking"
)]

use harness::Stack;
use harness::limits::accuracy::Customers;
use harness::limits::crowd::{Crowd, HUNDRED, Turn};
use harness::limits::saturation::{MAXCONN, QUICK_ANSWERS, SLOW_ANSWERS, Scenario, measure};
use harness::load::percentile;
use std::time::Duration;

/// Of all customers who are not driven: each asks once in half a minute.
const BACKGROUND_PER_S: f64 = 340.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let length = Duration::from_secs(if is_quick { 5 } else { 30 });
    let parts: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |part: &str| parts.is_empty() || parts.contains(&part);
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

fn print_accuracy(length: Duration) {
    let stack = Stack::start();
    let customers = Customers::new(&stack);
    println!(
        "| offered/s | limit | admitted/s after 1 s: guaranteed | burst | in all, of at most | neighbour served | its p50, p99 ms | generator late, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for rate in [50, 100, 200, 1_000] {
        let run = customers.drive(&stack, rate, length);
        for (driven, burst) in [(run.plain, 0), (run.bursting, 50)] {
            println!(
                "| {:.2} | 100 + {burst} | {:.2} | {:.2} | {} of {} | {} of {} | {:.2}, {:.2} | {:.1} |",
                driven.offered_per_s,
                driven.guaranteed_per_s,
                driven.burst_per_s,
                driven.admitted,
                (100 + burst) * (length.as_secs() + 1),
                run.neighbour.guaranteed,
                run.neighbour.offered,
                run.neighbour.p50_us / 1e3,
                run.neighbour.p99_us / 1e3,
                run.latest_ms,
            );
        }
    }
}

fn print_crowd(length: Duration, is_quick: bool) {
    let mut crowd = Crowd::start(10_000);
    println!();
    println!(
        "| driven | sent/s in all | offered, of the limit | admitted, of the limit: least, median, most | others: served of sent | p99 ms | generator late, ms: p99, most |"
    );
    println!("|---|---|---|---|---|---|---|");
    let turns: &[Turn] = if is_quick { &[[80, 0, 0], [0, 2, 0]] } else { &HUNDRED };
    for turn in turns {
        let found = crowd.drive(*turn, BACKGROUND_PER_S, length);
        assert_eq!(found.other, 0, "answers other than 200 and 429");
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
    }
}

fn print_saturation(length: Duration) {
    println!();
    println!("| server | class | served | dropped | waited, ms: p50 | p95 | most |");
    println!("|---|---|---|---|---|---|---|");
    for (name, scenario) in [("quick", QUICK_ANSWERS), ("slow", SLOW_ANSWERS)] {
        let scenario = Scenario { length, ..scenario };
        let stack = Stack::start_with(&[(MAXCONN, &scenario.connections.to_string())]);
        let found = measure(&stack, &scenario);
        let (guaranteed, burst) = (found.guaranteed(), found.burst());
        for (class, waited) in [("guaranteed", &guaranteed), ("burst", &burst)] {
            assert_eq!(waited.other, 0, "answers other than 200 and 503");
            println!(
                "| {name} | {class} | {} | {} | {:.0} | {:.0} | {:.0} |",
                waited.served,
                waited.dropped,
                waited.queue_ms(0.5),
                waited.queue_ms(0.95),
                waited.queue_ms(1.0),
            );
        }
        println!(
            "factor: {:.0} of the medians, {:.0} of p95; generator at most {:.0} ms late",
            burst.queue_ms(0.5) / guaranteed.queue_ms(0.5).max(1.0),
            burst.queue_ms(0.95) / guaranteed.queue_ms(0.95).max(1.0),
            found.latest_ms
        );
    }
}
