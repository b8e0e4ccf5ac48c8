//! The request log's collector: HAProxy's log lines come in as datagrams and go out as batches, to the database beside
//! `suiftly serve` or to the control plane of `suiftly agent`.
//!
//! One thread takes lines off the socket, adds them up by minute and keeps them in a queue; another one hands both over. HAProxy
//! waits for neither: it sends without asking, and what does not fit anywhere is dropped and counted ([`RequestCounts`]).
//! Single lines go first; sums are kept while the other end is away. A bill depends on nothing here: it is made from the usage
//! ledger.

mod collector;
mod counts;
mod haproxy_line;
mod pending;
mod sink;
mod socket;

pub use collector::start;
pub use counts::{RequestCounts, Why};
pub use haproxy_line::parse;
pub use pending::Pending;
pub use sink::{Sink, SinkError, into_control_plane, into_database};
pub use socket::LineSocket;
