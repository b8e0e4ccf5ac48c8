//! What happened to requests, for operators and customers to look at: HAProxy's log lines, and what they add up to.
//!
//! A line that is lost changes what is shown here and nothing else: bills are made from the usage ledger, and no function of
//! this module reads or writes anything that a bill is made from.
//!
//! A [`RequestLine`] is one request, [`Outcome`] what became of it, [`Counts`] what many of them add up to. An edge sends both
//! in a [`Batch`], which [`store()`] takes once however often it comes. [`add_up()`] makes long windows of short ones,
//! [`forget_old()`] and [`forget_old_windows()`] end what was kept long enough. [`crate::domain::statistics`] reads.

mod add_up;
mod batch;
mod counts;
mod forget;
mod line;
mod newest;
mod outcome;
mod pause;
mod sketch;
mod store;
mod window;

pub use add_up::{add_up, forget_old_windows};
pub(crate) use batch::can_have_begun;
pub use batch::{Batch, LINES_MAX, MinuteRow, STATISTICS_MAX};
pub use counts::{Counts, Owner};
pub use forget::forget_old;
pub(crate) use line::is_reason;
pub use line::{Class, RequestLine, TIME_MS_MAX};
pub use newest::newest;
pub use outcome::Outcome;
pub use pause::pause_after;
pub use sketch::Sketch;
pub use store::{Stored, store};
pub use window::Window;
