//! `suiftly admin customer …`.

use crate::cli::reply::lines;
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Database;
use crate::domain::{WalletAddress, customers};
use clap::Subcommand;
use serde::Serialize;

/// What can be done with customers.
#[derive(Subcommand, Debug)]
pub enum CustomerCommand {
    /// Make the customer of a wallet, or answer the one that it has
    #[command(after_help = "Example:\n  suiftly admin customer create --wallet 0x<64 hex digits>")]
    Create {
        /// The wallet's address: 0x and 64 hex digits
        #[arg(long, value_name = "ADDRESS")]
        wallet: WalletAddress,
    },
}

#[derive(Serialize)]
struct Created {
    customer_id: u32,
    created: bool,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &CustomerCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let CustomerCommand::Create { wallet } = command;
    let mut database = Database::open(&config.database)?;
    let made = customers::create(&mut database, wallet, clock.now_ms())?;
    let state = if made.created { "made now" } else { "known already" };
    let text = lines(&[
        ("customer", made.customer.to_string()),
        ("wallet", wallet.as_str().to_owned()),
        ("", state.to_owned()),
    ]);
    Reply::new(&Created { customer_id: made.customer.get(), created: made.created }, text)
}
