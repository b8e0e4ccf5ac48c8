//! What guaranteed requests wait, and what burst ones, when all connections to the server are taken.

use super::{Rates, customer_with, latest_ms};
use crate::Stack;
use crate::edge_log::{LogLine, lines_of};
use crate::load::{Load, Outcome, percentile, steady};
use std::collections::HashMap;
use std::time::Duration;

/// Longer than requests wait in a queue by default (`SUIFTLY_UPSTREAM_QUEUE_S`).
const UNDER_WAY_AT_MOST_S: u32 = 6;

/// A server that is too slow for what is offered.
#[derive(Clone, Copy, Debug)]
pub struct Scenario<'a> {
    /// Connections to the server, [`MAXCONN`].
    pub connections: u32,
    /// How long the server takes for each answer.
    pub answer_ms: u32,
    /// Rates of each customer, and how many requests a second it offers in all: what is not guaranteed is burst.
    pub customers: &'a [(Rates, u32)],
    /// How long.
    pub length: Duration,
}

/// The setting that says how many connections there are to a server.
pub const MAXCONN: &str = "SUIFTLY_UPSTREAM_MAXCONN";

const fn rates(guaranteed_per_s: u32, burst_per_s: u32, burst_priority: u32) -> Rates {
    Rates { guaranteed_per_s, burst_per_s, burst_priority }
}

/// 80 answers a second, of which 60 are guaranteed; 130 are asked for. The second customer never bursts, the third one's burst
/// comes before the first one's.
pub const QUICK_ANSWERS: Scenario<'_> = Scenario {
    connections: 4,
    answer_ms: 50,
    customers: &[(rates(30, 500, 3), 90), (rates(20, 0, 3), 20), (rates(10, 500, 2), 20)],
    length: Duration::from_secs(5),
};

/// A server whose answers take longer than most: 2.7 a second, of which 2 are guaranteed. Burst has all connections when a
/// guaranteed request comes.
pub const SLOW_ANSWERS: Scenario<'_> = Scenario {
    connections: 4,
    answer_ms: 1_500,
    customers: &[(rates(1, 500, 3), 40), (rates(1, 0, 3), 1)],
    length: Duration::from_secs(8),
};

/// What became of the requests of a customer.
#[derive(Clone, Debug)]
pub struct Customer {
    /// Its id.
    pub id: u32,
    /// Those within its guaranteed rate.
    pub guaranteed: Waited,
    /// Those beyond.
    pub burst: Waited,
}

/// What became of the requests of a class.
#[derive(Clone, Debug, Default)]
pub struct Waited {
    /// Answered by the server.
    pub served: usize,
    /// Answered 503 by HAProxy.
    pub dropped: usize,
    /// Anything else.
    pub other: usize,
    /// What those that were served had waited for a connection, by HAProxy's clock.
    pub queue_ms: Vec<f64>,
    /// How long it took until the others were dropped, by the caller's clock.
    pub dropped_after_ms: Vec<f64>,
}

impl Waited {
    /// What this share of the served ones waited at most.
    pub fn queue_ms(&self, share: f64) -> f64 {
        percentile(&self.queue_ms, share)
    }

    /// Both classes, or two customers, as one.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.served += other.served;
        self.dropped += other.dropped;
        self.other += other.other;
        self.queue_ms.extend(&other.queue_ms);
        self.dropped_after_ms.extend(&other.dropped_after_ms);
        self
    }
}

/// What one run showed.
#[derive(Clone, Debug)]
pub struct Saturated {
    /// In the order of [`Scenario::customers`].
    pub customers: Vec<Customer>,
    /// How late the load generator was at most.
    pub latest_ms: f64,
}

impl Saturated {
    /// The guaranteed requests of all customers.
    pub fn guaranteed(&self) -> Waited {
        self.customers.iter().fold(Waited::default(), |all, customer| all.with(&customer.guaranteed))
    }

    /// The burst requests of all customers.
    pub fn burst(&self) -> Waited {
        self.customers.iter().fold(Waited::default(), |all, customer| all.with(&customer.burst))
    }
}

/// Runs it, on a stack whose [`MAXCONN`] is the scenario's.
pub fn measure(stack: &Stack, scenario: &Scenario<'_>) -> Saturated {
    let customers: Vec<(u32, String)> = (0x5a70..)
        .zip(scenario.customers)
        .map(|(wallet, (rates, _))| customer_with(stack, wallet, *rates))
        .collect();
    let offered_per_s = || scenario.customers.iter().map(|(_, per_s)| *per_s);
    let load = Load {
        port: stack.edge.number(),
        lines: customers.iter().map(|(_, line)| line.clone()).collect(),
        target: format!("/?delay_ms={}", scenario.answer_ms),
        // Who waits in the queue keeps its connection.
        connections: (offered_per_s().sum::<u32>() * UNDER_WAY_AT_MOST_S) as usize,
    };
    let calls = offered_per_s().enumerate().flat_map(|(caller, per_s)| {
        let phase = Duration::from_millis(3) * caller as u32;
        steady(caller, f64::from(per_s), phase, scenario.length)
    });
    let outcomes = load.run(calls.collect());
    let log = lines_of(stack, outcomes.iter().map(|outcome| outcome.id.as_str()));
    let of_customer = |(caller, (id, _)): (usize, &(u32, String))| Customer {
        id: *id,
        guaranteed: waited(&outcomes, &log, caller, "guaranteed"),
        burst: waited(&outcomes, &log, caller, "burst"),
    };
    Saturated {
        customers: customers.iter().enumerate().map(of_customer).collect(),
        latest_ms: latest_ms(&outcomes),
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds")]
fn waited(outcomes: &[Outcome], log: &HashMap<String, LogLine>, caller: usize, class: &str) -> Waited {
    let mut waited = Waited::default();
    for outcome in outcomes.iter().filter(|outcome| outcome.call.caller == caller) {
        let line = match log.get(&outcome.id) {
            Some(line) if line.class == class => line,
            Some(_) => continue,
            // Lost, or its line is: in doubt it was guaranteed, and dropped.
            None if outcome.status != 200 && class == "guaranteed" => {
                waited.other += 1;
                continue;
            }
            None => continue,
        };
        match outcome.status {
            200 => {
                waited.served += 1;
                waited.queue_ms.extend(line.queue_ms.map(|ms| ms as f64));
            }
            503 => {
                waited.dropped += 1;
                waited.dropped_after_ms.push(outcome.took().as_secs_f64() * 1e3);
            }
            _ => waited.other += 1,
        }
    }
    waited
}
