//! Measurements of the limits, which `tests/edge/limits/` judges and `scripts/bench-limits` prints.
//!
//! Rates are counted between the end of the first second and the end of the load, by the times at which requests were sent. How a
//! request was classed is HAProxy's word: the line of its log.

pub mod accuracy;
pub mod crowd;
pub mod saturation;

use crate::Stack;
use crate::load::Outcome;
use std::time::Duration;

/// The first second is not judged: HAProxy counts in windows of a second, and knows nothing of the one before the first. The
/// first one of burst begins with the first burst request, when the guaranteed rate is used up.
const FIRST: Duration = Duration::from_secs(1);

/// How long after a load HAProxy still knows of it: two windows of a second, and a little.
const UNTIL_FORGOTTEN: Duration = Duration::from_millis(2_500);

/// Rates of a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    /// Requests a second that are guaranteed.
    pub guaranteed_per_s: u32,
    /// Requests a second on top.
    pub burst_per_s: u32,
    /// HAProxy's class of burst: a smaller one is served first, and guaranteed has 0.
    pub burst_priority: u32,
}

/// A new customer with these rates for Seal, and the header line of a key of it.
pub fn customer_with(stack: &Stack, wallet: u64, rates: Rates) -> (u32, String) {
    let customer = stack.customer(wallet, "seal", "pro");
    set_rates(stack, customer, rates);
    (customer, format!("X-API-Key: {}", stack.key(customer, "seal").0))
}

/// Changes a customer's rates for Seal; in force at the edge when this returns.
pub fn set_rates(stack: &Stack, customer: u32, rates: Rates) {
    let Rates { guaranteed_per_s, burst_per_s, burst_priority } = rates;
    let rates = format!("--guaranteed {guaranteed_per_s} --burst {burst_per_s} --priority {burst_priority}");
    stack.admin(&format!("service rates --customer {customer} --service seal {rates}"));
}

/// How many of them a second, from a second after this moment on.
#[expect(clippy::cast_precision_loss, reason = "some thousand requests")]
fn per_s_after<'a>(first: Duration, outcomes: impl Iterator<Item = &'a Outcome>, length: Duration) -> f64 {
    let judged = first + FIRST..length;
    let count = outcomes.filter(|outcome| judged.contains(&outcome.sent)).count();
    count as f64 / (judged.end - judged.start).as_secs_f64()
}

/// How many of them a second, after the first one of the load.
fn per_s<'a>(outcomes: impl Iterator<Item = &'a Outcome>, length: Duration) -> f64 {
    per_s_after(Duration::ZERO, outcomes, length)
}

fn took_us(outcomes: &[&Outcome]) -> Vec<f64> {
    outcomes.iter().map(|outcome| outcome.took().as_secs_f64() * 1e6).collect()
}

fn latest_ms(outcomes: &[Outcome]) -> f64 {
    outcomes.iter().map(|outcome| outcome.late().as_secs_f64() * 1e3).fold(0.0, f64::max)
}
