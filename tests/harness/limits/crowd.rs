//! Many customers of mixed tiers, some of whom ask for twice their limit.

use super::{UNTIL_FORGOTTEN, latest_ms, per_s};
use crate::keys::Random;
use crate::load::{Call, Load, Outcome, percentile, steady};
use crate::{Stack, repository};
use apikey::{CustomerId, Derivation, Group, GroupSecret, MacKey, Service, Version, issue};
use std::io::Write;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tier {
    /// Its name.
    pub name: &'static str,
    /// How many requests a second it admits, burst included.
    pub limit_per_s: u32,
    /// How many of 100 customers have it.
    pub percent: usize,
}

/// All of them.
pub const TIERS: [Tier; 3] = [
    Tier { name: "starter", limit_per_s: 12, percent: 80 },
    Tier { name: "pro", limit_per_s: 700, percent: 16 },
    Tier { name: "enterprise", limit_per_s: 3_000, percent: 4 },
];

/// How many of each tier are driven at once.
pub type Turn = [usize; 3];

/// 100 customers, in turn: the starters at once, the pros by four, each enterprise alone. More at once is more than one
/// machine of two cores both sends and serves.
pub const HUNDRED: [Turn; 9] =
    [[80, 0, 0], [0, 4, 0], [0, 4, 0], [0, 4, 0], [0, 4, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 1]];

const CONNECTIONS: usize = 32;
/// The only group of a new keyring.
const GROUP: u8 = 1;

/// A stack with all of them loaded.
pub struct Crowd {
    /// The stack.
    pub stack: Stack,
    /// Tier by tier: the header line of a key of each customer.
    lines: Vec<String>,
    /// Of each tier, whom of `lines` nobody has driven yet.
    fresh: [Range<usize>; 3],
}

/// One that was driven.
#[derive(Clone, Copy, Debug)]
pub struct Driven {
    /// Its tier.
    pub tier: Tier,
    /// Sent, over its limit, after the first second.
    pub offered: f64,
    /// Admitted, over its limit, after the first second.
    pub admitted: f64,
}

/// What a turn showed.
#[derive(Clone, Debug)]
pub struct TurnResult {
    /// Each customer that was driven.
    pub driven: Vec<Driven>,
    /// Requests of all others.
    pub background: usize,
    /// How many of those were not served.
    pub background_unserved: usize,
    /// Answers to the driven ones other than 200 and 429.
    pub other: usize,
    /// Requests a second that were sent in all.
    pub sent_per_s: f64,
    /// How long answers took, 99 of 100.
    pub p99_ms: f64,
    /// How late the load generator was, 99 times of 100.
    pub late_p99_ms: f64,
    /// How late it was at most.
    pub latest_ms: f64,
}

impl Crowd {
    /// A stack with so many customers, all of them known to the edge.
    pub fn start(count: usize) -> Self {
        let mut stack = Stack::prepared(&[]);
        let mac = MacKey::new(&GroupSecret::from_hex(&stack.secret_hex()).unwrap());
        let mut random = Random(0x5eed);
        let (mut lines, mut copies) = (Vec::with_capacity(count), String::new());
        let fresh = [0, 1, 2].map(|number| {
            let (tier, first) = (TIERS[number], lines.len());
            let template = template(&stack, tier, number);
            for _ in 0..count * tier.percent / 100 {
                let id = id_from(&mut random);
                copies.push_str(&format!("{template} {id} 0x{id:064x}\n"));
                lines.push(line_of(id, &mac));
            }
            first..lines.len()
        });
        copy_customers(&stack, &copies);
        stack.start_child("upstream");
        stack.start_child("serve");
        stack.wait_until_healthy();
        stack.start_child("haproxy");
        stack.wait_until_ready();
        Self { stack, lines, fresh }
    }

    /// Drives some who were not driven before at twice their limit, while all others ask in turn, `background_per_s` all
    /// together. What was before is forgotten.
    pub fn drive(&mut self, turn: Turn, background_per_s: f64, length: Duration) -> TurnResult {
        let mut calls = Vec::new();
        let (mut driven, mut others) = (Vec::new(), (0..self.lines.len()).collect::<Vec<_>>());
        for ((tier, count), fresh) in TIERS.into_iter().zip(turn).zip(&mut self.fresh) {
            let per_s = f64::from(tier.limit_per_s) * 2.0;
            let own: Vec<usize> = fresh.by_ref().take(count).collect();
            assert_eq!(own.len(), count, "there are not so many customers");
            for (number, caller) in (0_u32..).zip(own) {
                let phase = Duration::from_secs_f64(f64::from(number) / turn_len(count) / per_s);
                calls.extend(steady(caller, per_s, phase, length));
                driven.push((caller, tier));
            }
        }
        others.retain(|caller| driven.iter().all(|(driven, _)| driven != caller));
        let background = steady(0, background_per_s, Duration::ZERO, length).into_iter();
        calls.extend(
            background.zip(others.iter().cycle()).map(|(call, caller)| Call { caller: *caller, ..call }),
        );
        let load = Load {
            port: self.stack.edge.number(),
            lines: self.lines.clone(),
            target: "/".into(),
            connections: CONNECTIONS,
        };
        std::thread::sleep(UNTIL_FORGOTTEN);
        result(&load.run(calls), &driven, length)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a hundred customers")]
fn turn_len(count: usize) -> f64 {
    count.max(1) as f64
}

fn result(outcomes: &[Outcome], driven: &[(usize, Tier)], length: Duration) -> TurnResult {
    let is_driven = |outcome: &&Outcome| driven.iter().any(|(caller, _)| *caller == outcome.call.caller);
    let (of_driven, of_others): (Vec<&Outcome>, Vec<&Outcome>) = outcomes.iter().partition(is_driven);
    let each = driven.iter().map(|(caller, tier)| {
        let own = || of_driven.iter().copied().filter(|outcome| outcome.call.caller == *caller);
        let limit = f64::from(tier.limit_per_s);
        Driven {
            tier: *tier,
            offered: per_s(own(), length) / limit,
            admitted: per_s(own().filter(|outcome| outcome.status == 200), length) / limit,
        }
    });
    let late: Vec<f64> = outcomes.iter().map(|outcome| outcome.late().as_secs_f64() * 1e3).collect();
    let took: Vec<f64> = outcomes.iter().map(|outcome| outcome.took().as_secs_f64() * 1e3).collect();
    TurnResult {
        driven: each.collect(),
        background: of_others.len(),
        background_unserved: of_others.iter().filter(|outcome| outcome.status != 200).count(),
        other: of_driven.iter().filter(|outcome| !matches!(outcome.status, 200 | 429)).count(),
        sent_per_s: per_s(outcomes.iter(), length),
        p99_ms: percentile(&took, 0.99),
        late_p99_ms: percentile(&late, 0.99),
        latest_ms: latest_ms(outcomes),
    }
}

/// A customer of this tier, made as any other, of whom the others are copies.
fn template(stack: &Stack, tier: Tier, number: usize) -> u64 {
    let wallet = 0xc0 + number;
    let customer =
        stack.admin(&format!("customer create --wallet 0x{wallet:064x}"))["customer_id"].as_u64().unwrap();
    let name = tier.name;
    stack.json(&format!("admin service enable --customer {customer} --service seal --tier {name} --no-wait"));
    customer
}

/// No two are the same with this seed: the database would refuse them.
fn id_from(random: &mut Random) -> u32 {
    u32::try_from(1 + random.below(u64::from(u32::MAX))).unwrap()
}

fn line_of(id: u32, mac: &MacKey) -> String {
    let (group, derivation) = (Group::new(GROUP).unwrap(), Derivation::new(1).unwrap());
    let key = issue(Version::V1, Service::Seal, group, derivation, CustomerId::new(id).unwrap(), mac);
    format!("X-API-Key: {}", key.as_str())
}

fn copy_customers(stack: &Stack, copies: &str) {
    let mut python = Command::new("python3");
    python.arg(repository().join("tests/harness/many_customers.py")).arg(stack.state().join("suiftly.db"));
    let mut child = python.stdin(Stdio::piped()).spawn().expect("python3 runs; scripts/test installs it");
    child.stdin.take().unwrap().write_all(copies.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "the customers were not copied");
}
