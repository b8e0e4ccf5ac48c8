//! The rules: what may happen, each in one write transaction. No HTTP, no SQL, no sockets.

pub mod activity;
pub mod allowlists;
pub mod api_tokens;
pub mod catalogue;
pub mod credit;
pub mod customer_status;
pub mod customers;
pub mod demo;
pub mod edges;
pub mod gate;
pub mod key_groups;
pub mod key_life;
pub mod keys;
pub mod leases;
pub mod offered;
pub mod operator_tokens;
pub mod pending_usage;
pub mod policy;
pub mod requests;
pub mod revocations;
pub mod services;
pub mod sessions;
pub mod sign_in;
pub mod statistics;
pub mod support;
pub mod tier_changes;
pub mod token;
pub mod usage;
mod wallet;
mod words;

pub use policy::policy_of;
pub use wallet::{WalletAddress, WalletError};
pub use words::{
    CustomerStatus, GrantSource, KeyGroupState, KeyState, Rates, RevocationSource, ServiceState, Tier,
    UnknownWord,
};

use crate::db::DbError;
use apikey::{CustomerId, Group, Service};

/// Why a rule's function did nothing. The text is for the person who asked; [`DbError`] is for us.
#[derive(Debug, thiserror::Error)]
pub enum DomainError {
    /// There is no such customer.
    #[error("there is no customer {0}; `suiftly admin customer create` answers the id of a wallet")]
    NoCustomer(CustomerId),
    /// The customer never had the service.
    #[error(
        "customer {customer} does not have the service {service}; `suiftly admin service enable` grants it"
    )]
    NoService {
        /// Whose.
        customer: CustomerId,
        /// Which.
        service: Service,
    },
    /// There is no such master key group.
    #[error("there is no master key group {0}; `suiftly keyring list` shows them")]
    NoKeyGroup(Group),
    /// A rule forbids it.
    #[error("{0}")]
    Refused(String),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] crate::random::NoRandom),
    /// The database failed; nothing has happened.
    #[error(transparent)]
    Db(#[from] DbError),
}
