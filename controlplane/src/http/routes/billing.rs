//! `/api/v1/billing`.

pub mod pending;
