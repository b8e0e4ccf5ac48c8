//! How near what is admitted comes to the limit.

use super::{Rates, UNTIL_FORGOTTEN, customer_with, latest_ms, per_s, per_s_after, took_us};
use crate::Stack;
use crate::edge_log::{LogLine, lines_of};
use crate::load::{Load, Outcome, percentile, steady};
use std::collections::HashMap;
use std::time::Duration;

/// The limits that are tried.
pub const GUARANTEED_PER_S: u32 = 100;
/// On top of it, for the second customer.
pub const BURST_PER_S: u32 = 50;
/// What the neighbour has and offers a second: less than it may.
const NEIGHBOUR: (u32, f64) = (100, 40.0);

/// Three customers: one without burst, one with, and a neighbour below its limit.
pub struct Customers {
    lines: [String; 3],
}

/// What became of one customer's requests.
#[derive(Clone, Copy, Debug)]
pub struct Driven {
    /// Sent a second, after the first one.
    pub offered_per_s: f64,
    /// Admitted in all.
    pub admitted: usize,
    /// Admitted as guaranteed a second, after the first one.
    pub guaranteed_per_s: f64,
    /// Admitted as burst a second, from a second after the first of them on.
    pub burst_per_s: f64,
    /// Neither admitted nor refused for the limit.
    pub other: usize,
    /// Admitted, and in no class, since the line of the log is missing.
    pub unlogged: usize,
}

/// What became of the neighbour's.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// Sent.
    pub offered: usize,
    /// Admitted, which for a customer without burst is: as guaranteed.
    pub served: usize,
    /// How long answers took, median.
    pub p50_us: f64,
    /// How long answers took, 99 of 100.
    pub p99_us: f64,
}

/// One run at one rate.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Offered by each of the two driven customers.
    pub rate_per_s: u32,
    /// How long.
    pub length: Duration,
    /// The customer without burst.
    pub plain: Driven,
    /// The one with burst.
    pub bursting: Driven,
    /// The third one.
    pub neighbour: Neighbour,
    /// How late the load generator was at most.
    pub latest_ms: f64,
}

impl Customers {
    /// Makes them.
    pub fn new(stack: &Stack) -> Self {
        let rates =
            |guaranteed_per_s, burst_per_s| Rates { guaranteed_per_s, burst_per_s, burst_priority: 3 };
        let all = [rates(GUARANTEED_PER_S, 0), rates(GUARANTEED_PER_S, BURST_PER_S), rates(NEIGHBOUR.0, 0)];
        let mut wallet = 0xacc0;
        let lines = all.map(|rates| {
            wallet += 1;
            customer_with(stack, wallet, rates).1
        });
        Self { lines }
    }

    /// Drives the first two at this rate at the same time, with the neighbour beside them. What was before is forgotten.
    pub fn drive(&self, stack: &Stack, rate_per_s: u32, length: Duration) -> Run {
        let load = Load {
            port: stack.edge.number(),
            lines: self.lines.to_vec(),
            target: "/".into(),
            connections: 16,
        };
        // Not at the same moments.
        let phase = |part: u32| Duration::from_secs(1) / rate_per_s * part / 2;
        let calls = [
            steady(0, f64::from(rate_per_s), phase(0), length),
            steady(1, f64::from(rate_per_s), phase(1), length),
            steady(2, NEIGHBOUR.1, Duration::from_millis(3), length),
        ];
        std::thread::sleep(UNTIL_FORGOTTEN);
        let outcomes = load.run(calls.concat());
        let log = lines_of(stack, outcomes.iter().map(|outcome| outcome.id.as_str()));
        Run {
            rate_per_s,
            length,
            plain: driven(&outcomes, &log, 0, length),
            bursting: driven(&outcomes, &log, 1, length),
            neighbour: neighbour(&outcomes, 2),
            latest_ms: latest_ms(&outcomes),
        }
    }
}

fn driven(outcomes: &[Outcome], log: &HashMap<String, LogLine>, caller: usize, length: Duration) -> Driven {
    let own = || outcomes.iter().filter(move |outcome| outcome.call.caller == caller);
    let admitted = |class: &'static str| own().filter(move |outcome| is_admitted(outcome, log, class));
    let first_burst = admitted("burst").map(|outcome| outcome.sent).min().unwrap_or_default();
    Driven {
        offered_per_s: per_s(own(), length),
        admitted: own().filter(|outcome| outcome.status == 200).count(),
        guaranteed_per_s: per_s(admitted("guaranteed"), length),
        burst_per_s: per_s_after(first_burst, admitted("burst"), length),
        other: own().filter(|outcome| !matches!(outcome.status, 200 | 429)).count(),
        unlogged: own().filter(|outcome| outcome.status == 200 && !log.contains_key(&outcome.id)).count(),
    }
}

fn neighbour(outcomes: &[Outcome], caller: usize) -> Neighbour {
    let own: Vec<_> = outcomes.iter().filter(|outcome| outcome.call.caller == caller).collect();
    let took = took_us(&own);
    Neighbour {
        offered: own.len(),
        served: own.iter().filter(|outcome| outcome.status == 200).count(),
        p50_us: percentile(&took, 0.5),
        p99_us: percentile(&took, 0.99),
    }
}

fn is_admitted(outcome: &Outcome, log: &HashMap<String, LogLine>, class: &str) -> bool {
    outcome.status == 200 && log.get(&outcome.id).is_some_and(|line| line.class == class)
}
