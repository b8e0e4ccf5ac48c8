//! `suiftly admin customer …`.

use crate::cli::admin_activity::{self, ActivityArguments};
use crate::cli::admin_customer_find::{self, FindArguments};
use crate::cli::admin_customer_status::{self, CloseArguments, StatusArguments};
use crate::cli::as_user::open_as_user;
use crate::cli::reply::lines;
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{WalletAddress, customer_status, customers, gate, keys};
use apikey::CustomerId;
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
    /// Find a customer by its wallet, a key or its id, and show all that support needs
    #[command(after_help = "Examples:\n  suiftly admin customer find --id 305419896\n  \
        suiftly admin customer find --key -  < file-with-the-key")]
    Find(FindArguments),
    /// Serve nothing of a customer until it is resumed
    #[command(after_help = "Example:\n  suiftly admin customer suspend --id 305419896")]
    Suspend(StatusArguments),
    /// End a suspension: everything is as it was before
    #[command(after_help = "Example:\n  suiftly admin customer resume --id 305419896")]
    Resume(StatusArguments),
    /// Close an account for ever: its keys are revoked, its sessions and API tokens end
    #[command(after_help = "Example:\n  suiftly admin customer close --id 305419896 --yes")]
    Close(CloseArguments),
    /// Set how much may be charged to a customer in 28 days
    #[command(
        after_help = "Examples:\n  suiftly admin customer spending-limit --id 305419896 --cents 50000\n  \
        suiftly admin customer spending-limit --id 305419896 --cents 0   (without limit)"
    )]
    SpendingLimit {
        /// The customer's id
        #[arg(long, value_name = "N")]
        id: CustomerId,
        /// How much, in US cents: 1000 or more, or 0 for no limit
        #[arg(long, value_name = "N")]
        cents: i64,
    },
    /// Set how many API keys a customer can ever have in one master key group, over all services
    #[command(after_help = "Example:\n  suiftly admin customer derivations --id 305419896 --most 1023")]
    Derivations {
        /// The customer's id
        #[arg(long, value_name = "N")]
        id: CustomerId,
        /// 1000 to 1023
        #[arg(long, value_name = "N")]
        most: u32,
    },
    /// What was changed in an account, by whom, from where; newest first
    #[command(after_help = "Example:\n  suiftly admin customer activity --customer 305419896 --limit 20")]
    Activity(ActivityArguments),
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
    use admin_customer_status::change;
    match command {
        CustomerCommand::Create { wallet } => create(wallet, config, clock),
        CustomerCommand::Find(arguments) => admin_customer_find::run(arguments, config, clock),
        CustomerCommand::Suspend(arguments) => change(arguments, customer_status::suspend, config, clock),
        CustomerCommand::Resume(arguments) => change(arguments, customer_status::resume, config, clock),
        CustomerCommand::Close(arguments) => admin_customer_status::close(arguments, config, clock),
        CustomerCommand::SpendingLimit { id, cents } => spending_limit(*id, *cents, config, clock),
        CustomerCommand::Derivations { id, most } => derivations(*id, *most, config),
        CustomerCommand::Activity(arguments) => admin_activity::run(arguments, config),
    }
}

fn create(wallet: &WalletAddress, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let made = customers::create(&mut database, wallet, clock.now_ms())?;
    let state = if made.created { "made now" } else { "known already" };
    let text = lines(&[
        ("customer", made.customer.to_string()),
        ("wallet", wallet.as_str().to_owned()),
        ("", state.to_owned()),
    ]);
    Reply::new(&Created { customer_id: made.customer.get(), created: made.created }, text)
}

#[derive(Serialize)]
struct SpendingLimit {
    customer_id: u32,
    spending_limit_cents: i64,
    charged_cents: i64,
}

fn spending_limit(
    customer: CustomerId,
    cents: i64,
    config: &Config,
    clock: &Clock,
) -> Result<Reply, Failure> {
    let mut database = open_as_user(config)?;
    let spending = gate::set_spending_limit(&mut database, customer, cents, clock.now_ms())?;
    let limit = if cents == 0 { "none".to_owned() } else { format!("{cents} cents in 28 days") };
    let text = lines(&[
        ("customer", customer.to_string()),
        ("limit", limit),
        ("charged", format!("{} cents in this period", spending.charged_cents)),
    ]);
    let answer = SpendingLimit {
        customer_id: customer.get(),
        spending_limit_cents: spending.limit_cents,
        charged_cents: spending.charged_cents,
    };
    Reply::new(&answer, text)
}

#[derive(Serialize)]
struct Derivations {
    customer_id: u32,
    derivations_max: u32,
}

fn derivations(customer: CustomerId, most: u32, config: &Config) -> Result<Reply, Failure> {
    keys::set_derivations_max(&mut open_as_user(config)?, customer, most)?;
    let text = lines(&[("customer", customer.to_string()), ("derivations", format!("{most} in each group"))]);
    Reply::new(&Derivations { customer_id: customer.get(), derivations_max: most }, text)
}
