//! The words that stand in the database and on the command line, each as a type.

/// A word that has no meaning here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected one of: {expected}")]
pub struct UnknownWord {
    pub(in crate::domain) expected: &'static str,
}

/// An enumeration whose variants have one stable word each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $expected:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it. Stable.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::domain::UnknownWord> {
                let found = Self::ALL.iter().copied().find(|known| known.word() == text);
                found.ok_or($crate::domain::UnknownWord { expected: $expected })
            }
        }
    };
}
pub(in crate::domain) use words;

words! {
    /// Whether a customer may use anything at all.
    CustomerStatus: "active, suspended, closed" {
        /// In good standing.
        Active = "active",
        /// Nothing is served for now.
        Suspended = "suspended",
        /// Nothing is served any more.
        Closed = "closed",
    }
}

words! {
    /// What a customer bought or was granted (DESIGN section 7).
    Tier: "starter, pro, enterprise" {
        /// The smallest.
        Starter = "starter",
        /// The middle one.
        Pro = "pro",
        /// The largest.
        Enterprise = "enterprise",
    }
}

words! {
    /// How a customer's service stands (DESIGN section 7).
    ServiceState: "not_provisioned, disabled, enabled, suspended_no_payment, suspended_spending_limit, suspended_operator, cancellation_pending" {
        /// Never had, or ended: the edge does not know it.
        NotProvisioned = "not_provisioned",
        /// Switched off.
        Disabled = "disabled",
        /// Served.
        Enabled = "enabled",
        /// Unpaid.
        SuspendedNoPayment = "suspended_no_payment",
        /// The spending limit is reached.
        SuspendedSpendingLimit = "suspended_spending_limit",
        /// Suspended by an operator.
        SuspendedOperator = "suspended_operator",
        /// Served until the period ends.
        CancellationPending = "cancellation_pending",
    }
}

words! {
    /// Who gave a customer a service.
    GrantSource: "operator_grant, subscription" {
        /// An operator: no payment, no charge.
        OperatorGrant = "operator_grant",
        /// The customer, who pays for it.
        Subscription = "subscription",
    }
}

words! {
    /// Who revoked a key.
    RevocationSource: "operator, owner, account_closed, offered_by_edge" {
        /// An operator on the command line.
        Operator = "operator",
        /// The customer.
        Owner = "owner",
        /// The account was closed: its keys are revoked for ever.
        AccountClosed = "account_closed",
        /// An edge knew it when the database, restored from a backup, did not.
        OfferedByEdge = "offered_by_edge",
    }
}

words! {
    /// How a key stands.
    KeyState: "active, expired, revoked, deleted" {
        /// Good, as far as the key itself goes.
        Active = "active",
        /// Refused since its time is over.
        Expired = "expired",
        /// Refused until it is re-enabled.
        Revoked = "revoked",
        /// Refused for ever.
        Deleted = "deleted",
    }
}

words! {
    /// How a master key group stands.
    KeyGroupState: "wanted, retired, removed" {
        /// Every edge must hold it; keys can be minted in it once all have confirmed.
        Wanted = "wanted",
        /// Every edge must hold it, and nothing is minted in it any more.
        Retired = "retired",
        /// No edge should hold it: its keys are refused. The number is not used again.
        Removed = "removed",
    }
}

/// The rates of a tier or a plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rates {
    /// Requests per second that are always served.
    pub guaranteed_per_s: u32,
    /// Further requests per second, served after guaranteed ones; 0 is none.
    pub burst_per_s: u32,
    /// HAProxy's priority class of burst requests; a smaller one is served first, 0 where there is no burst.
    pub burst_priority: u8,
}
