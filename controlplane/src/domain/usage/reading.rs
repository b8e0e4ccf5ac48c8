//! A reading as it came, understood.

use crate::db::usage_records::MINUTE_S;
use crate::domain::usage::{SLOTS_MAX, UsageError};
use edgeformat::PolicyKey;
use edgeformat::ledger::{LedgerId, LedgerReading, SlotReading};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// How far an edge's clock may be ahead of ours, in milliseconds.
const AHEAD_MAX_MS: i64 = 120_000;

/// What an edge has told.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) ledger: LedgerId,
    pub(super) generation: i64,
    /// Unix milliseconds, by the edge's clock.
    pub(super) created_at_ms: i64,
    read_at_ms: i64,
    pub(super) closed: bool,
    /// Each customer's service once.
    pub(super) slots: Vec<SlotReading>,
}

impl Told {
    pub(super) fn read(reading: &LedgerReading) -> Result<Self, UsageError> {
        if reading.slots.len() > SLOTS_MAX {
            return Err(UsageError::TooMany);
        }
        let number = |number: u64, what| i64::try_from(number).map_err(|_| UsageError::Malformed(what));
        Ok(Self {
            ledger: reading.ledger.parse().map_err(|_| UsageError::Malformed("the ledger's id"))?,
            generation: number(reading.generation, "the ledger's generation")?,
            created_at_ms: number(reading.created_at_ms, "when the ledger was made")?,
            read_at_ms: reading.read_at_ms,
            closed: reading.closed,
            slots: slots(&reading.slots)?,
        })
    }

    /// The minute that it belongs to, unix seconds. An edge whose clock is wrong must not put usage where nobody looks: neither
    /// into the future, nor before the ledger could count.
    pub(super) fn window_start_s(&self, counts_from_ms: i64, now_ms: i64) -> i64 {
        let is_ahead = self.read_at_ms > now_ms.saturating_add(AHEAD_MAX_MS);
        let read_at_ms = if is_ahead { now_ms } else { self.read_at_ms.max(counts_from_ms) };
        let read_at_s = read_at_ms.max(0) / 1_000;
        read_at_s - read_at_s % MINUTE_S
    }
}

/// A slot that is told twice is one: of each counter the greater is the later.
fn slots(told: &[(u32, u8, Vec<u64>)]) -> Result<Vec<SlotReading>, UsageError> {
    let mut slots: Vec<SlotReading> = Vec::with_capacity(told.len());
    let mut places: HashMap<PolicyKey, usize> = HashMap::with_capacity(told.len());
    for wire in told {
        let slot = SlotReading::from_wire(wire).ok_or(UsageError::Malformed("a slot"))?;
        match places.entry(slot.key) {
            Entry::Vacant(place) => {
                place.insert(slots.len());
                slots.push(slot);
            }
            Entry::Occupied(place) => {
                if let Some(first) = slots.get_mut(*place.get()) {
                    first.counters = first.counters.max(&slot.counters);
                }
            }
        }
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn reading(read_at_ms: i64, slots: Vec<(u32, u8, Vec<u64>)>) -> LedgerReading {
        LedgerReading {
            ledger: "00000000000000ab".to_owned(),
            generation: 1,
            created_at_ms: 0,
            read_at_ms,
            closed: false,
            slots,
        }
    }

    #[test]
    fn a_clock_that_is_wrong_puts_nothing_where_nobody_looks() {
        const NOW_MS: i64 = 1_795_000_030_000;
        let minute = |read_at_ms| {
            Told::read(&reading(read_at_ms, vec![])).unwrap().window_start_s(NOW_MS - 600_000, NOW_MS)
        };
        let now_s = NOW_MS / 1_000 - (NOW_MS / 1_000) % 60;
        assert_eq!(minute(NOW_MS), now_s);
        assert_eq!(minute(NOW_MS + 60_000), now_s + 60, "a little ahead is as it says");
        assert_eq!(minute(NOW_MS + 121_000), now_s);
        assert_eq!(minute(i64::MAX), now_s);
        for early in [0, -1, i64::MIN, NOW_MS - 3_600_000] {
            assert_eq!(minute(early), now_s - 600, "{early}");
        }
    }

    #[test]
    fn a_slot_that_is_told_twice_is_one_and_what_no_edge_says_is_refused() {
        let told =
            Told::read(&reading(0, vec![(7, 1, vec![5, 1]), (8, 1, vec![1]), (7, 1, vec![4, 3])])).unwrap();
        let counters: Vec<u64> = told.slots.iter().map(|slot| slot.counters.admitted()).collect();
        assert_eq!(counters, [5, 1]);
        assert!(matches!(Told::read(&reading(0, vec![(0, 1, vec![1])])), Err(UsageError::Malformed(_))));
        let many = vec![(7, 1, vec![1]); SLOTS_MAX + 1];
        assert!(matches!(Told::read(&reading(0, many)), Err(UsageError::TooMany)));
        let mut other = reading(0, vec![]);
        other.ledger = "AB".to_owned();
        assert!(matches!(Told::read(&other), Err(UsageError::Malformed(_))));
    }
}
