//! `/api/v1/stats`: what a customer's requests add up to.

mod answer;
pub mod latency;
pub mod query;
pub mod summary;
pub mod usage;
