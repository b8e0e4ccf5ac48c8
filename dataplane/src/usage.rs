//! Counting requests per customer and service, in the ledger that outlives this process.
//!
//! A slot of the ledger is found at a customer's first request and kept beside the policy, so that counting is one addition.
//! Nothing is taken before something is counted: a mere check of the configuration changes nothing.

use crate::policies::Policies;
use apikey::{CustomerId, Service};
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counter, Counters, Header, SLOTS_MIN};
use edgeformat::status::LedgerStatus;
use ledger::{Ledger, SlotNumber};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Slots for a process that has no ledger file, if the module was not given another number.
const SLOTS_IN_MEMORY: usize = 1 << 16;

/// Where a request is counted, once that is known.
#[derive(Debug)]
pub struct SlotCell(AtomicU32);

impl SlotCell {
    const UNKNOWN: u32 = u32::MAX;

    /// Not known yet.
    pub(crate) const fn unknown() -> Self {
        Self(AtomicU32::new(Self::UNKNOWN))
    }
}

/// When a request counts as let through.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum CountAt {
    /// When the converter lets it through.
    #[default]
    Admission,
    /// When its outcome is known: an answer has come, or HAProxy has answered itself. What HAProxy ends without any answer
    /// is then not counted at all.
    Answer,
}

/// How a request ended that was let through, as `haproxy.cfg` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is served above the guaranteed rate.
    Burst,
    /// A server has answered.
    Answered {
        /// Above the guaranteed rate.
        is_burst: bool,
    },
    /// HAProxy has answered for want of a server's answer.
    Unserved {
        /// Above the guaranteed rate.
        is_burst: bool,
    },
    /// HAProxy has refused it after all.
    Rejected(Counter),
}

/// The counters of this process, shared with all others by the ledger's file.
#[derive(Debug)]
pub struct Usage {
    ledger: Ledger,
    count_at: CountAt,
    /// Why the counts stand in this process's memory only.
    problem: Option<String>,
}

impl Usage {
    /// Counts in the ledger at this path; where that is not possible, in memory, since requests are served all the same.
    /// `status` tells so, and the agent raises an alarm.
    ///
    /// # Errors
    /// There is no memory either.
    pub fn open(path: &Path, count_at: CountAt) -> std::io::Result<Self> {
        match Ledger::open(path) {
            Ok(ledger) => Ok(Self { ledger, count_at, problem: None }),
            Err(error) => {
                Ok(Self { problem: Some(error.to_string()), ..Self::in_memory(SLOTS_IN_MEMORY, count_at)? })
            }
        }
    }

    /// Counts in memory, for tests and benches.
    ///
    /// # Errors
    /// There is no memory.
    pub fn in_memory(slots: usize, count_at: CountAt) -> std::io::Result<Self> {
        let ledger = Ledger::in_memory(slots.max(SLOTS_MIN))?;
        Ok(Self { ledger, count_at, problem: Some("no ledger was opened".to_owned()) })
    }

    /// Counts one request that the converter lets through.
    #[inline]
    pub fn count_admitted(&self, key: PolicyKey, cell: &SlotCell) {
        if self.count_at == CountAt::Admission {
            self.add(self.slot(key, cell), Counter::Admitted);
        }
    }

    /// Counts one request that was refused though its key was genuine (reasons 8 to 15).
    pub fn count_refused(&self, policies: &Policies, customer: CustomerId, service: Service, as_: Counter) {
        self.add(self.slot_of(policies, PolicyKey { customer, service }), as_);
    }

    /// Counts the outcome of a request that was let through.
    pub fn count_outcome(&self, policies: &Policies, key: PolicyKey, outcome: Outcome) {
        let slot = self.slot_of(policies, key);
        let at_answer = self.count_at == CountAt::Answer;
        // `admitted` first: every reading that has the outcome has it, too.
        match outcome {
            Outcome::Burst if at_answer => {}
            Outcome::Burst => self.add(slot, Counter::Burst),
            Outcome::Answered { .. } if !at_answer => {}
            Outcome::Answered { is_burst } => {
                self.add(slot, Counter::Admitted);
                if is_burst {
                    self.add(slot, Counter::Burst);
                }
            }
            Outcome::Unserved { is_burst } => {
                if at_answer {
                    self.add(slot, Counter::Admitted);
                }
                if at_answer && is_burst {
                    self.add(slot, Counter::Burst);
                }
                self.add(slot, if is_burst { Counter::UnservedBurst } else { Counter::UnservedGuaranteed });
            }
            Outcome::Rejected(counter) => {
                if at_answer {
                    self.add(slot, Counter::Admitted);
                }
                self.add(slot, counter);
            }
        }
    }

    /// What was counted of a customer and service since the ledger was made; none where nothing was.
    pub fn counters(&self, key: PolicyKey) -> Option<Counters> {
        self.ledger.find(key).map(|slot| self.ledger.counters(slot))
    }

    /// What the file says of itself; none where the counts are in memory only.
    pub fn header(&self) -> Option<&Header> {
        self.ledger.header()
    }

    /// For `suiftly status`.
    pub fn status(&self) -> LedgerStatus {
        let (slots, taken) = self.ledger.fill();
        let in_memory = self.problem.is_some();
        let uncollected =
            if in_memory { self.ledger.sum().plus(&self.ledger.unplaced()) } else { Counters::default() };
        LedgerStatus {
            id: self.ledger.header().map(|header| header.id.to_string()),
            generation: self.ledger.header().map_or(0, |header| header.generation),
            slots: slots as u64,
            taken: taken as u64,
            counted_at_answer: self.count_at == CountAt::Answer,
            problem: self.problem.clone(),
            uncollected: uncollected.admitted(),
        }
    }

    #[inline]
    fn slot(&self, key: PolicyKey, cell: &SlotCell) -> Option<SlotNumber> {
        // Relaxed: the slot's number is all there is to know, and everybody who looks it up finds the same one.
        match cell.0.load(Ordering::Relaxed) {
            SlotCell::UNKNOWN => self.find_slot(key, cell),
            number => Some(SlotNumber::new(number)),
        }
    }

    #[cold]
    fn find_slot(&self, key: PolicyKey, cell: &SlotCell) -> Option<SlotNumber> {
        let slot = self.ledger.slot_for(key)?;
        cell.0.store(slot.get(), Ordering::Relaxed);
        Some(slot)
    }

    fn slot_of(&self, policies: &Policies, key: PolicyKey) -> Option<SlotNumber> {
        match policies.get(key.customer, key.service) {
            Some(policy) => self.slot(key, policy.slot()),
            None => self.ledger.slot_for(key),
        }
    }

    #[inline]
    fn add(&self, slot: Option<SlotNumber>, counter: Counter) {
        match slot {
            Some(slot) => self.ledger.add(slot, counter),
            None => self.ledger.add_unplaced(counter),
        }
    }
}
