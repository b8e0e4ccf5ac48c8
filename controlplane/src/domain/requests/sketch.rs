//! How response times are distributed, in a form that can be added up: any number of sketches together say what one sketch of
//! all their times would.
//!
//! `hdrhistogram` decides into which bucket a time falls (exact below 256 ms, within 1 % above) and reads percentiles. What is
//! kept, sent and stored is only which buckets hold how many, as text that anybody can read: `3:120 17:4`.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// The longest time that is told apart, in milliseconds; longer ones count as this.
const MS_MAX: u64 = 3_600_000;
/// Significant digits: 1 % of error.
const DIGITS: u8 = 2;
/// More buckets than there are.
const BUCKETS_MAX: usize = 4_096;

/// Counts by response time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sketch(BTreeMap<u32, u64>);

/// The most of one bucket: a million requests a second for twelve days.
const COUNT_MAX: u64 = 1 << 40;

/// A text that is no sketch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no sketch of response times")]
pub struct NoSketch;

/// Only asked which bucket is whose.
static BUCKETS: LazyLock<Option<Histogram<u64>>> = LazyLock::new(empty);

fn empty() -> Option<Histogram<u64>> {
    // Fails only where the constants do not fit each other; a test asks.
    Histogram::new_with_bounds(1, MS_MAX, DIGITS).ok()
}

impl Sketch {
    /// Adds one time, in milliseconds.
    pub fn add(&mut self, ms: u64) {
        let count = self.0.entry(bucket_of(ms)).or_default();
        *count = count.saturating_add(1).min(COUNT_MAX);
    }

    /// Adds everything of another one.
    pub fn merge(&mut self, other: &Self) {
        for (ms, more) in &other.0 {
            let count = self.0.entry(*ms).or_default();
            // Never more than can be read back.
            *count = count.saturating_add(*more).min(COUNT_MAX);
        }
    }

    /// How many times it holds.
    pub fn count(&self) -> u64 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The time that this share of all (0.0 to 1.0) does not exceed, in milliseconds, at most 1 % too long; none if there is
    /// no time in it.
    pub fn quantiles<const N: usize>(&self, shares: [f64; N]) -> Option<[u64; N]> {
        let mut histogram = empty().filter(|_| !self.0.is_empty())?;
        for (ms, count) in &self.0 {
            histogram.saturating_record_n(u64::from(*ms), *count);
        }
        Some(shares.map(|share| histogram.value_at_quantile(share)))
    }
}

fn bucket_of(ms: u64) -> u32 {
    let ms = ms.min(MS_MAX);
    let lowest = BUCKETS.as_ref().map_or(ms, |buckets| buckets.lowest_equivalent(ms));
    u32::try_from(lowest).unwrap_or(u32::MAX)
}

impl fmt::Display for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (ms, count)) in self.0.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{ms}:{count}")?;
        }
        Ok(())
    }
}

impl FromStr for Sketch {
    type Err = NoSketch;

    fn from_str(text: &str) -> Result<Self, NoSketch> {
        let mut sketch = Self::default();
        for pair in text.split(' ').filter(|pair| !pair.is_empty()) {
            let (ms, count) = pair.split_once(':').ok_or(NoSketch)?;
            let (ms, count): (u64, u64) =
                (ms.parse().map_err(|_| NoSketch)?, count.parse().map_err(|_| NoSketch)?);
            if ms > MS_MAX || count > COUNT_MAX || sketch.0.len() >= BUCKETS_MAX {
                return Err(NoSketch);
            }
            let sum = sketch.0.entry(bucket_of(ms)).or_default();
            *sum = sum.saturating_add(count).min(COUNT_MAX);
        }
        Ok(sketch)
    }
}

impl From<Sketch> for String {
    fn from(sketch: Sketch) -> Self {
        sketch.to_string()
    }
}

impl TryFrom<String> for Sketch {
    type Error = NoSketch;

    fn try_from(text: String) -> Result<Self, NoSketch> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::print_stdout,
        reason = "a test fails by panicking, and prints its seed"
    )]
    #![allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small numbers"
    )]
    use super::*;

    /// Numbers that are the same for the same seed.
    fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
        move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        }
    }

    #[test]
    fn percentiles_of_merged_sketches_are_within_1_percent_of_the_exact_ones() {
        let seed = crate::random::nonzero_u64().unwrap();
        println!("seed {seed:#x}");
        let mut next = numbers(seed);
        let (mut merged, mut exact) = (Sketch::default(), Vec::new());
        for _ in 0..200 {
            let mut part = Sketch::default();
            for _ in 0..500 {
                // From 1 ms to about 100 s, evenly over its orders of magnitude.
                let ms = 10_f64.powf((next() % 5_000) as f64 / 1_000.0) as u64;
                part.add(ms);
                exact.push(ms);
            }
            // Through its text, as between edge, table and table.
            merged.merge(&part.to_string().parse().unwrap());
        }
        exact.sort_unstable();
        assert_eq!(merged.count(), exact.len() as u64);
        for share in [0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let wanted = exact[((share * exact.len() as f64).ceil() as usize).max(1) - 1];
            let [found] = merged.quantiles([share]).unwrap();
            let error = (found as f64 - wanted as f64).abs() / wanted as f64;
            assert!(error <= 0.01, "seed {seed:#x}: p{share}: {found} instead of {wanted}");
        }
    }

    #[test]
    fn the_text_reads_back_and_another_text_is_refused() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.quantiles([0.5]), None);
        [0, 0, 255, 1_000, u64::MAX].into_iter().for_each(|ms| sketch.add(ms));
        let text = sketch.to_string();
        assert!(text.starts_with("0:2 255:1 "), "{text}");
        assert_eq!(text.parse(), Ok(sketch));
        for text in ["1", "1:", ":1", "1:-1", "1:1,2:2", "3600001:1", "1:1099511627777", "S:1"] {
            assert_eq!(text.parse::<Sketch>(), Err(NoSketch), "{text}");
        }
    }
}
