//! What happened to requests, for operators and customers to look at: HAProxy's log lines, and what they add up to.
//!
//! A line that is lost changes what is shown here and nothing else: bills are made from the usage ledger, and no function of
//! this module reads or writes anything that a bill is made from.
//!
//! A [`RequestLine`] is one request, [`Outcome`] what became of it, [`Counts`] what many of them add up to. An edge sends both
//! in a [`Batch`], which [`store()`] takes once however often it comes. [`roll_up()`] makes long windows of short ones,
//! [`forget_old()`] ends what was kept long enough, and [`statistics()`] reads.

mod batch;
mod counts;
mod forget;
mod line;
mod outcome;
mod pause;
mod roll_up;
mod sketch;
mod statistics;
mod store;

pub(crate) use batch::can_have_begun;
pub use batch::{Batch, LINES_MAX, MinuteRow, STATISTICS_MAX};
pub use counts::{Counts, Owner};
pub use forget::forget_old;
pub(crate) use line::is_reason;
pub use line::{Class, RequestLine, TIME_MS_MAX};
pub use outcome::Outcome;
pub use pause::pause_after;
pub use roll_up::roll_up;
pub use sketch::Sketch;
pub use statistics::{Point, StatisticsQuery, Window, newest, statistics};
pub use store::{Stored, store};
