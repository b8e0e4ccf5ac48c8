//! What the edge knows of one customer and service.

use crate::digest::digest_of_bytes;
use crate::field::{FieldError, Fields, shown};
use crate::plan::PlanNumber;
use crate::reason::Reason;
use apikey::{CustomerId, Service};
use std::fmt;

/// Whose policy it is: the key of the policy table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PolicyKey {
    /// The customer.
    pub customer: CustomerId,
    /// The service.
    pub service: Service,
}

impl PolicyKey {
    /// Reads `customer`, `service` and nothing else.
    pub fn from_fields<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(fields);
        let key = Self::take(&mut fields)?;
        fields.end()?;
        Ok(key)
    }

    pub(crate) fn take<'a>(
        fields: &mut Fields<'a, impl Iterator<Item = &'a str>>,
    ) -> Result<Self, FieldError> {
        let customer = fields.number("customer")?;
        let customer =
            CustomerId::new(customer).ok_or_else(|| FieldError::new("customer 0 does not exist"))?;
        let word = fields.word("service")?;
        let service = Service::ALL.into_iter().find(|s| s.name() == word).ok_or_else(|| {
            FieldError::new(format!("`{}` is no service; known are seal, grpc and graphql", shown(word)))
        })?;
        Ok(Self { customer, service })
    }
}

/// Whether a customer's service is served, and if not, why.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PolicyState {
    /// Requests are admitted.
    Enabled = 0,
    /// Switched off by the customer, or ended.
    Disabled = 1,
    /// Unpaid.
    SuspendedNoPayment = 2,
    /// The spending limit is reached.
    SuspendedSpendingLimit = 3,
    /// Suspended by an operator.
    SuspendedOperator = 4,
    /// The customer as a whole is suspended or closed.
    CustomerSuspended = 5,
}

impl PolicyState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Enabled,
        Self::Disabled,
        Self::SuspendedNoPayment,
        Self::SuspendedSpendingLimit,
        Self::SuspendedOperator,
        Self::CustomerSuspended,
    ];

    /// Why requests are refused in this state; `None` where they are admitted.
    pub const fn refusal(self) -> Option<Reason> {
        match self {
            Self::Enabled => None,
            Self::Disabled => Some(Reason::Disabled),
            Self::SuspendedNoPayment => Some(Reason::SuspendedNoPayment),
            Self::SuspendedSpendingLimit => Some(Reason::SuspendedSpendingLimit),
            Self::SuspendedOperator => Some(Reason::SuspendedOperator),
            Self::CustomerSuspended => Some(Reason::CustomerSuspended),
        }
    }

    /// The word in map files: `enabled`, or the code of the refusal.
    pub fn word(self) -> &'static str {
        self.refusal().map_or("enabled", Reason::code)
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// One line of the policy table: `customer service state plan allowlist`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Policy {
    /// Whose.
    pub key: PolicyKey,
    /// Served or not.
    pub state: PolicyState,
    /// Which rates; [`PlanNumber::NONE`] admits nothing.
    pub plan: PlanNumber,
    /// Whether the caller's address must be on the customer's allowlist.
    pub allowlist: bool,
}

impl Policy {
    /// Reads the five fields of a line or a change.
    pub fn from_fields<'a>(fields: impl Iterator<Item = &'a str>) -> Result<Self, FieldError> {
        let mut fields = Fields::new(fields);
        let key = PolicyKey::take(&mut fields)?;
        let word = fields.word("state")?;
        let state = PolicyState::from_word(word)
            .ok_or_else(|| FieldError::new(format!("`{}` is no state of a service", shown(word))))?;
        let plan = PlanNumber::new(fields.number("plan")?)
            .ok_or_else(|| FieldError::new("a plan number is 0..=1023"))?;
        let allowlist = match fields.word("allowlist")? {
            "allowlist" => true,
            "-" => false,
            other => {
                return Err(FieldError::new(format!(
                    "the last field is `allowlist` or `-`, not `{}`",
                    shown(other)
                )));
            }
        };
        fields.end()?;
        Ok(Self { key, state, plan, allowlist })
    }

    /// The fields with `separator` between them: a space in files, a colon in changes.
    pub fn text(&self, separator: char) -> String {
        let Self { key, state, plan, allowlist } = self;
        let (s, allowlist) = (separator, if *allowlist { "allowlist" } else { "-" });
        format!("{}{s}{}{s}{}{s}{plan}{s}{allowlist}", key.customer, key.service, state.word())
    }

    /// The digest of this entry, for [`crate::TableDigest`].
    pub fn digest(&self) -> u64 {
        let mut bytes = *b"p\0\0\0\0\0\0\0\0\0";
        let [_, c0, c1, c2, c3, service, state, plan0, plan1, allowlist] = &mut bytes;
        [*c0, *c1, *c2, *c3] = self.key.customer.get().to_be_bytes();
        (*service, *state, *allowlist) =
            (self.key.service.number(), self.state as u8, u8::from(self.allowlist));
        [*plan0, *plan1] = self.plan.get().to_be_bytes();
        digest_of_bytes(&bytes)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(' '))
    }
}
