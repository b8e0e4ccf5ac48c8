//! Counters per customer and service, in memory, growing only.
//!
//! A slot is found once, when a policy comes in, so that counting a request is one addition. Slots stay when their
//! policy goes or the tables are loaded anew: counts never go back while the process lives.

use crate::policies::{Policies, packed_key};
use apikey::{CustomerId, Service};
use edgeformat::PolicyKey;
use rustc_hash::FxBuildHasher;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Slots in one block, and the most blocks: 4,194,304 slots.
const BLOCK_LEN: usize = 4096;
const BLOCKS_MAX: usize = 1024;

/// Which slot counts a customer's service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotNumber(u32);

/// The counters of one customer and service.
#[derive(Debug, Default)]
pub struct Slot {
    // Relaxed everywhere: each counter is read on its own, and nothing else is published through it.
    admitted: AtomicU64,
    refused: AtomicU64,
    rejected: AtomicU64,
}

impl Slot {
    /// One request more was let through.
    pub fn count_admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    /// One request more was refused for this customer and service (reasons 8 to 15).
    pub fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// One request more was let through and then refused for its address (reason 16).
    pub fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests let through so far.
    pub fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Requests refused so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests let through so far and then refused for their address.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }
}

/// All slots. Blocks never move, so that a request counts without a lock.
pub struct Usage {
    blocks: Box<[OnceLock<Box<[Slot]>>]>,
    /// Only commands and loads come here, never a request.
    numbers: Mutex<HashMap<u64, SlotNumber, FxBuildHasher>>,
    /// Where counts go that have no slot of their own (the table of slots is full).
    spare: Slot,
}

impl Default for Usage {
    fn default() -> Self {
        let blocks = (0..BLOCKS_MAX).map(|_| OnceLock::new()).collect();
        Self { blocks, numbers: Mutex::default(), spare: Slot::default() }
    }
}

impl Usage {
    /// The slot with this number.
    pub fn slot(&self, number: SlotNumber) -> &Slot {
        let index = number.0 as usize;
        let block = self.blocks.get(index / BLOCK_LEN).and_then(OnceLock::get);
        block.and_then(|slots| slots.get(index % BLOCK_LEN)).unwrap_or(&self.spare)
    }

    /// The number of the slot of a customer and service, a new one if it has none.
    pub fn slot_for(&self, key: PolicyKey) -> SlotNumber {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = numbers.len();
        let slot = numbers.entry(packed_key(key.customer, key.service)).or_insert_with(|| {
            if let Some(block) = self.blocks.get(next / BLOCK_LEN) {
                block.get_or_init(|| (0..BLOCK_LEN).map(|_| Slot::default()).collect());
            }
            SlotNumber(u32::try_from(next).unwrap_or(u32::MAX))
        });
        *slot
    }

    /// Counts a refusal that came before the policy was looked at, if the customer's service is known.
    pub fn count_refused_key(&self, policies: &Policies, customer: CustomerId, service: Service) {
        if let Some(policy) = policies.get(customer, service) {
            self.slot(policy.slot()).count_refused();
        }
    }

    /// The slot of a customer and service, if it has one.
    pub fn find(&self, key: PolicyKey) -> Option<&Slot> {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(&packed_key(key.customer, key.service)).map(|number| self.slot(*number))
    }

    /// Requests let through so far, of all customers and services.
    pub fn admitted_in_all(&self) -> u64 {
        let blocks = self.blocks.iter().filter_map(OnceLock::get);
        blocks.flat_map(|slots| slots.iter()).map(Slot::admitted).sum::<u64>() + self.spare.admitted()
    }
}
