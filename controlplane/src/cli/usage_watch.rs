//! `suiftly usage watch`.

use crate::cli::usage::{PaceArguments, for_each_interval, observer};
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger_view::{Watch, Whose};
use apikey::{CustomerId, Service};
use clap::Args;
use rustix::termios::tcgetwinsize;
use std::io::IsTerminal;

/// Where a terminal does not say how wide it is.
const COLUMNS_UNKNOWN: usize = 80;

/// Who is watched.
#[derive(Args, Debug)]
pub struct WatchArguments {
    /// The customer's id
    #[arg(long, value_name = "N")]
    customer: CustomerId,
    /// Only this service: seal, grpc or graphql
    #[arg(long, value_name = "SERVICE")]
    service: Option<Service>,
    #[command(flatten)]
    pace: PaceArguments,
}

/// Prints until the count is reached, the reader goes away, or Ctrl-C.
///
/// # Errors
/// There is no ledger.
pub fn run(arguments: &WatchArguments, json: bool, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let (customer, pace) = (arguments.customer, &arguments.pace);
    let is_one_object = pace.is_one_object(json)?;
    let whose = Whose { customer: Some(customer), service: arguments.service };
    let mut observer = observer(config, whose, clock)?;
    if is_one_object {
        std::thread::sleep(pace.interval);
        return Reply::new(&Watch::new(&observer.next_interval(), customer).json(), "");
    }
    let is_terminal = std::io::stdout().is_terminal();
    for_each_interval(&mut observer, pace, clock, |interval| {
        let watch = Watch::new(interval, customer);
        if json {
            return vec![watch.json().to_string()];
        }
        if is_terminal { watch.coloured_lines(columns()) } else { watch.lines() }
    })
}

/// Asked anew each time: a window changes.
fn columns() -> usize {
    tcgetwinsize(std::io::stdout()).map_or(COLUMNS_UNKNOWN, |size| usize::from(size.ws_col)).max(1)
}
