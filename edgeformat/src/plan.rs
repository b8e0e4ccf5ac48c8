//! A plan: one distinct triple of rates and priority, numbered by the control plane.

use crate::field::{FieldError, Fields};
use std::fmt;

/// The number of a plan, 1..=1023: 10 bits in the integer that HAProxy splits. 0 is no plan and admits nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlanNumber(u16);

impl PlanNumber {
    /// No plan: HAProxy finds no rate for it, so nothing is admitted.
    pub const NONE: Self = Self(0);
    /// The largest number.
    pub const MAX: u16 = 1023;

    /// A number 0..=1023.
    pub const fn new(number: u16) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PlanNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a plan number means at the edge; one line of `plans.map`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Plan {
    /// The number that policies name.
    pub number: PlanNumber,
    /// Requests per second that are always served, at most 1,048,575.
    pub guaranteed_per_s: u32,
    /// Further requests per second, served after guaranteed ones, at most 1,048,575; 0 is none.
    pub burst_per_s: u32,
    /// HAProxy's priority class of burst requests; a smaller class is served first and guaranteed ones have 0.
    pub burst_priority: u8,
}

/// The largest rate that fits the packed value, in requests per second.
pub const RATE_MAX_PER_S: u32 = (1 << 20) - 1;

impl Plan {
    /// `guaranteed + burst * 2^20 + priority * 2^40`: the value in `plans.map`, split by `haproxy.cfg`.
    pub const fn packed(&self) -> u64 {
        self.guaranteed_per_s as u64 | (self.burst_per_s as u64) << 20 | (self.burst_priority as u64) << 40
    }

    /// The plan with this number and packed value; `None` where the value is none that [`Self::packed`] makes.
    #[expect(clippy::cast_possible_truncation, reason = "each part is masked to its width first")]
    pub const fn from_packed(number: PlanNumber, packed: u64) -> Option<Self> {
        if packed >> 48 != 0 {
            return None;
        }
        let guaranteed_per_s = (packed & RATE_MAX_PER_S as u64) as u32;
        let burst_per_s = (packed >> 20 & RATE_MAX_PER_S as u64) as u32;
        Some(Self { number, guaranteed_per_s, burst_per_s, burst_priority: (packed >> 40) as u8 })
    }

    /// Reads `number packed-value`, a line of `plans.map`.
    pub fn from_fields<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(fields);
        let number = fields.number("plan")?;
        let packed = fields.number("packed rates")?;
        fields.end()?;
        let number = PlanNumber::new(number)
            .filter(|n| *n != PlanNumber::NONE)
            .ok_or_else(|| FieldError::new("a plan number is 1..=1023"))?;
        Self::from_packed(number, packed).ok_or_else(|| FieldError::new("the packed rates are out of range"))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.packed())
    }
}
