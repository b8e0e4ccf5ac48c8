//! A decision as the one integer that `haproxy.cfg` splits (DESIGN section 4, "The integer").
//!
//! ```text
//! admitted: the fingerprint (bit 63 is 0 for versions 0 and 1). A derivation never exceeds 1023, so that bits
//!           42..=55 of it are free and carry what HAProxy needs next:
//!   63..62 version | 61 imported | 60..56 group | 55 allowlist | 54..52 service | 51..42 plan | 41..32 derivation | 31..0 customer
//! refused:  -(reason + 256 * customer); customer is 0 unless the tag was right
//! ```

use crate::plan::PlanNumber;
use crate::reason::Reason;
use apikey::{CustomerId, Fingerprint, Service};

const PLAN_SHIFT: u32 = 42;
const SERVICE_SHIFT: u32 = 52;
const ALLOWLIST_BIT: u32 = 55;
/// Every bit of an admitted integer that belongs to the fingerprint: `and(9151318840863358975)` in `haproxy.cfg`.
pub const FINGERPRINT_MASK: u64 = !(0x3fff << PLAN_SHIFT) & (i64::MAX as u64);

/// What the module decided about one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The caller may pass, within the rates of the plan.
    Admitted {
        /// Which key; it holds the customer.
        fingerprint: Fingerprint,
        /// Which service the key opens.
        service: Service,
        /// Which rates apply.
        plan: PlanNumber,
        /// Whether the caller's address must be asked for as well.
        allowlist: bool,
    },
    /// The caller is refused.
    Refused {
        /// Why.
        reason: Reason,
        /// Who, where the tag proved it.
        customer: Option<CustomerId>,
    },
}

impl Decision {
    /// The integer for HAProxy.
    #[expect(
        clippy::cast_possible_wrap,
        reason = "an admitted fingerprint has version 0 or 1, so bit 63 is 0"
    )]
    pub const fn packed(self) -> i64 {
        match self {
            Self::Admitted { fingerprint, service, plan, allowlist } => {
                ((fingerprint.get() & FINGERPRINT_MASK)
                    | (plan.get() as u64) << PLAN_SHIFT
                    | (service.number() as u64) << SERVICE_SHIFT
                    | (allowlist as u64) << ALLOWLIST_BIT) as i64
            }
            Self::Refused { reason, customer } => {
                let customer = match customer {
                    Some(customer) => customer.get() as i64,
                    None => 0,
                };
                -(reason.number() as i64 + 256 * customer)
            }
        }
    }

    /// The decision behind an integer; `None` where it is none that [`Self::packed`] makes.
    pub fn from_packed(packed: i64) -> Option<Self> {
        let Ok(bits) = u64::try_from(packed) else {
            let magnitude = packed.unsigned_abs();
            let reason = Reason::from_number((magnitude & 0xff) as u8)?;
            let customer = u32::try_from(magnitude >> 8).ok()?;
            return Some(Self::Refused { reason, customer: CustomerId::new(customer) });
        };
        Some(Self::Admitted {
            fingerprint: Fingerprint::from_u64(bits & FINGERPRINT_MASK),
            service: Service::from_number(((bits >> SERVICE_SHIFT) & 0b111) as u8)?,
            plan: PlanNumber::new(((bits >> PLAN_SHIFT) & 0x3ff) as u16)?,
            allowlist: (bits >> ALLOWLIST_BIT) & 1 == 1,
        })
    }
}
