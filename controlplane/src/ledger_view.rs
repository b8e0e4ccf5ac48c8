//! The usage ledger before a person's eyes: what an edge counts, live, from its files alone.
//!
//! Nothing here asks HAProxy or the agent, so that it tells the truth also while they do not answer.
//!
//! | file | what it does |
//! |---|---|
//! | `files` | the ledgers of a state folder, and what they have counted since the last look |
//! | `interval` | one stretch of time and what was counted in it; figures a second |
//! | `top` | the customers with the most requests, as a table |
//! | `watch` | one customer's requests by class and reason, a line at a time |
//! | `screen` | a terminal that is given back as it was, however the view ends |

mod files;
mod interval;
mod screen;
mod top;
mod watch;

pub use files::{Counted, LedgerFiles, NoLedger, Whose};
pub use interval::{Figure, Interval, Observer};
pub use screen::Screen;
pub use top::{SortBy, Top};
pub use watch::Watch;

/// A line that takes no more than `width` columns, and no control character (a file's name may hold one).
fn clipped(line: &str, width: usize) -> String {
    line.chars().take(width).map(|character| if character.is_control() { '?' } else { character }).collect()
}
