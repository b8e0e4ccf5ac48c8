//! What many requests of one owner add up to.

use crate::domain::requests::{Outcome, RequestLine, Sketch};
use serde::{Deserialize, Serialize};

/// Whose requests are added up: a customer's, by service and key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// The customer's id, never 0.
    pub customer: u32,
    /// The word of the service; empty where the edge refused before it knew.
    pub service: String,
    /// The key's fingerprint; 0 where the edge refused it.
    pub fingerprint: u64,
}

/// The sums. Only the first five are outcomes, and each request is in one of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Served within the guaranteed rate.
    pub guaranteed: i64,
    /// Served in the burst.
    pub burst: i64,
    /// Admitted, then refused.
    pub rejected: i64,
    /// Refused though the key was right.
    pub refused: i64,
    /// Admitted, and no server answered.
    pub unserved: i64,
    /// Served with a status of 400 to 499.
    pub client_errors: i64,
    /// Served with a status of 500 to 599.
    pub server_errors: i64,
    /// Bytes from the caller.
    pub received_bytes: i64,
    /// Bytes to the caller.
    pub sent_bytes: i64,
    /// How long the server took until it began to answer, of those it answered.
    pub times: Sketch,
}

impl Owner {
    /// Of this line; none where the customer is not known.
    pub fn of(line: &RequestLine) -> Option<Self> {
        Some(Self {
            customer: line.customer?,
            service: line.service.clone().unwrap_or_default(),
            fingerprint: line.fingerprint.unwrap_or_default(),
        })
    }
}

impl Counts {
    /// Adds a request.
    pub fn add(&mut self, outcome: Outcome, line: &RequestLine) {
        match outcome {
            Outcome::Guaranteed => self.guaranteed += 1,
            Outcome::Burst => self.burst += 1,
            Outcome::Rejected => self.rejected += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Unserved => self.unserved += 1,
        }
        if matches!(outcome, Outcome::Guaranteed | Outcome::Burst) {
            self.client_errors += i64::from((400..500).contains(&line.status));
            self.server_errors += i64::from((500..600).contains(&line.status));
            if let Ok(ms) = u64::try_from(line.response_ms) {
                self.times.add(ms);
            }
        }
        self.received_bytes = self.received_bytes.saturating_add(line.received_bytes);
        self.sent_bytes = self.sent_bytes.saturating_add(line.sent_bytes);
    }

    /// Adds what others add up to.
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in self.sums_mut().into_iter().zip(other.sums()) {
            *sum = sum.saturating_add(more);
        }
        self.times.merge(&other.times);
    }

    /// Whether these can be sums of requests.
    pub fn are_plausible(&self) -> bool {
        // Sums of many such stay far from the end of the column.
        self.sums().into_iter().all(|sum| (0..=1 << 50).contains(&sum))
    }

    const fn sums(&self) -> [i64; 9] {
        [
            self.guaranteed,
            self.burst,
            self.rejected,
            self.refused,
            self.unserved,
            self.client_errors,
            self.server_errors,
            self.received_bytes,
            self.sent_bytes,
        ]
    }

    const fn sums_mut(&mut self) -> [&mut i64; 9] {
        [
            &mut self.guaranteed,
            &mut self.burst,
            &mut self.rejected,
            &mut self.refused,
            &mut self.unserved,
            &mut self.client_errors,
            &mut self.server_errors,
            &mut self.received_bytes,
            &mut self.sent_bytes,
        ]
    }
}
