//! `suiftly usage …`: what the edge on this machine counts, from its ledger alone.
//!
//! These commands print as they go, so they write to stdout themselves ([`Lines`]); what fails is a [`Failure`] as elsewhere.

use crate::cli::{Exit, Failure, Reply, usage_dump, usage_top, usage_watch};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger_view::{LedgerFiles, NoLedger, Observer, Whose};
use clap::{Args, Subcommand};
use std::io::{self, Write};
use std::time::Duration;

/// What can be seen of the ledger.
#[derive(Subcommand, Debug)]
pub enum UsageCommand {
    /// Print all that a ledger file holds; needs neither HAProxy nor the agent
    #[command(
        after_help = "guaranteed and burst as billed; rejected and unserved were admitted and are not billed, refused\n\
        was never admitted. --json has all counters: `… --json | jq '.slots[] | select(.refused > 0)'`.\n\n\
        Example:\n  suiftly usage dump var/ledger --customer 305419896"
    )]
    Dump(usage_dump::DumpArguments),
    /// Who has the most requests per second now, live
    #[command(
        after_help = "On a terminal it fills the window; a letter chooses the order, q ends it. Elsewhere it prints a\n\
        table an interval. --json measures one interval and prints one object; --json --follow goes on, one\n\
        object a line. guaranteed is negative for a moment where requests of an interval before turn out to\n\
        be burst or unserved.\n\n\
        Example:\n  suiftly usage top --sort refused --interval 5"
    )]
    Top(usage_top::TopArguments),
    /// What happens to the requests of one customer, by class and reason, live
    #[command(
        after_help = "How many in each interval, a line for each service that had a request; Ctrl-C ends it.\n\
        Reasons stand there when they occur: docs/FAILURE-MODES.md explains them. --json measures one\n\
        interval and prints one object; --json --follow goes on, one object a line.\n\n\
        Example:\n  suiftly usage watch --customer 305419896 --service seal"
    )]
    Watch(usage_watch::WatchArguments),
}

/// How often, and how often at most.
#[derive(Args, Clone, Debug)]
pub struct PaceArguments {
    /// How long an interval is, in seconds, 0.1 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: Duration,
    /// End after so many intervals
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// With --json: go on, one object a line
    #[arg(long)]
    pub follow: bool,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &UsageCommand, json: bool, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match command {
        UsageCommand::Dump(arguments) => usage_dump::run(arguments, json),
        UsageCommand::Top(arguments) => usage_top::run(arguments, json, config, clock),
        UsageCommand::Watch(arguments) => usage_watch::run(arguments, json, config, clock),
    }
}

impl PaceArguments {
    /// Whether exactly one object is to be printed.
    ///
    /// # Errors
    /// More than one was asked for without saying that more than one may come.
    pub fn is_one_object(&self, json: bool) -> Result<bool, Failure> {
        if json && !self.follow && self.count.is_some() {
            let text = "--count with --json needs --follow: without it exactly one interval is measured";
            return Err(Failure::new(Exit::Usage, text));
        }
        Ok(json && !self.follow)
    }
}

/// Starts to look at the ledgers of the state folder.
///
/// # Errors
/// There is none in force.
pub fn observer(config: &Config, whose: Whose, clock: &Clock) -> Result<Observer, Failure> {
    Ok(Observer::new(LedgerFiles::open(&config.state.folder, whose)?, clock.clone()))
}

/// Measures interval after interval and gives each to `show`, until the count is reached or nobody reads any more.
///
/// # Errors
/// What was printed could not be written.
pub fn for_each_interval(
    observer: &mut Observer,
    pace: &PaceArguments,
    clock: &Clock,
    mut show: impl FnMut(&crate::ledger_view::Interval) -> Vec<String>,
) -> Result<Reply, Failure> {
    let mut lines = Lines::stdout();
    // By the plan and not from the last end, so that an hour of seconds has 3,600 lines.
    let mut next = clock.instant();
    for _ in 0..pace.count.unwrap_or(u64::MAX) {
        next += pace.interval;
        std::thread::sleep(next.saturating_duration_since(clock.instant()));
        lines.write_all(show(&observer.next_interval()));
        lines.flush();
        if lines.is_over() {
            break;
        }
    }
    lines.end()
}

/// Stdout for what goes on. A reader that has seen enough (`| head`) ends it, and is no failure.
#[derive(Debug)]
pub struct Lines<W: Write> {
    out: W,
    stopped: Option<io::Error>,
}

impl Lines<io::BufWriter<io::StdoutLock<'static>>> {
    /// Through a buffer.
    pub fn stdout() -> Self {
        Self { out: io::BufWriter::new(io::stdout().lock()), stopped: None }
    }
}

impl<W: Write> Lines<W> {
    /// Writes one line.
    pub fn write(&mut self, line: &str) {
        if self.stopped.is_none() {
            self.stopped = writeln!(self.out, "{line}").err();
        }
    }

    /// Writes these lines.
    pub fn write_all(&mut self, lines: Vec<String>) {
        lines.iter().for_each(|line| self.write(line));
    }

    /// Writes a value as JSON, piece by piece.
    ///
    /// # Errors
    /// As [`Self::end`].
    pub fn write_json(mut self, value: &impl serde::Serialize) -> Result<Reply, Failure> {
        self.stopped = serde_json::to_writer(&mut self.out, value).err().map(io::Error::from);
        self.write("");
        self.end()
    }

    /// Makes what was written visible.
    pub fn flush(&mut self) {
        if self.stopped.is_none() {
            self.stopped = self.out.flush().err();
        }
    }

    /// Whether nothing can be written any more.
    pub const fn is_over(&self) -> bool {
        self.stopped.is_some()
    }

    /// The end of the command.
    ///
    /// # Errors
    /// Something could not be written, and the reader has not just gone away.
    pub fn end(mut self) -> Result<Reply, Failure> {
        self.flush();
        match self.stopped {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Other, format!("the answer could not be printed: {error}")))
            }
            _ => Ok(Reply::nothing()),
        }
    }
}

impl From<NoLedger> for Failure {
    fn from(error: NoLedger) -> Self {
        Self::new(Exit::Other, error.to_string())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3_600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("`{text}` is no number from 0.1 to 3600"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_has_seen_enough_is_no_failure_a_full_disk_is() {
        for (kind, is_failure) in [(io::ErrorKind::BrokenPipe, false), (io::ErrorKind::StorageFull, true)] {
            let mut lines = Lines { out: Closed(kind), stopped: None };
            lines.write("x");
            assert!(lines.is_over());
            assert_eq!(lines.end().is_err(), is_failure);
            let lines = Lines { out: Closed(kind), stopped: None };
            assert_eq!(lines.write_json(&[1]).is_err(), is_failure);
        }
    }

    #[test]
    fn intervals_are_seconds_and_their_parts() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("3600"), Ok(Duration::from_secs(3_600)));
        for text in ["0", "0.05", "3601", "-1", "x", "", "NaN", "inf"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
