//! `suiftly admin service …`.

use crate::cli::admin_allowlist::{self, AllowlistArguments};
use crate::cli::as_user::open_as_user;
use crate::cli::confirm::{Confirmed, WaitArguments, confirm};
use crate::cli::reply::lines;
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::services::{Move, Moved, make_move, set_own_rates};
use crate::domain::{Rates, Tier};
use apikey::{CustomerId, Service};
use clap::{Args, Subcommand};
use edgeformat::PolicyKey;
use serde::Serialize;

/// What an operator can do to a service.
#[derive(Subcommand, Debug)]
pub enum ServiceCommand {
    /// Grant a service, or another tier of it, without payment
    #[command(
        after_help = "Example:\n  suiftly admin service enable --customer 305419896 --service seal --tier pro"
    )]
    Enable {
        /// Which service, and how to wait
        #[command(flatten)]
        of: ServiceArguments,
        /// starter, pro or enterprise; without it the one that the customer has, or starter
        #[arg(long, value_name = "NAME")]
        tier: Option<Tier>,
    },
    /// Switch a service off
    #[command(after_help = "Example:\n  suiftly admin service disable --customer 305419896 --service seal")]
    Disable(ServiceArguments),
    /// Suspend a service until it is resumed
    #[command(after_help = "Example:\n  suiftly admin service suspend --customer 305419896 --service seal")]
    Suspend(SuspensionArguments),
    /// End a suspension: back to the state before it
    #[command(after_help = "Example:\n  suiftly admin service resume --customer 305419896 --service seal")]
    Resume(SuspensionArguments),
    /// Give one customer rates of its own, in place of its tier's, or take them away again
    #[command(after_help = "Examples:\n  \
        suiftly admin service rates --customer 305419896 --service seal --guaranteed 100 --burst 50 --priority 3\n  \
        suiftly admin service rates --customer 305419896 --service seal --clear")]
    Rates(RatesArguments),
    /// Show or change from which addresses the keys of a service may be used
    #[command(after_help = "Examples:\n  \
        suiftly admin service allowlist --customer 305419896 --service seal --set 203.0.113.0/24,2001:db8::/32 --on\n  \
        suiftly admin service allowlist --customer 305419896 --service seal --add 198.51.100.7\n  \
        suiftly admin service allowlist --customer 305419896 --service seal --off")]
    Allowlist(AllowlistArguments),
}

/// Which service, and how to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct ServiceArguments {
    /// The customer's id
    #[arg(long, value_name = "N")]
    customer: CustomerId,
    /// seal, grpc or graphql
    #[arg(long, value_name = "NAME")]
    service: Service,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Which service, and whose suspension.
#[derive(Args, Clone, Copy, Debug)]
pub struct SuspensionArguments {
    #[command(flatten)]
    of: ServiceArguments,
    /// Whose suspension: an operator's, or billing's since it is unpaid or since the spending limit is reached
    #[arg(long, value_name = "CAUSE", default_value = "operator")]
    cause: Cause,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Cause {
    Operator,
    NoPayment,
    SpendingLimit,
}

impl Cause {
    const fn suspend(self) -> Move {
        match self {
            Self::Operator => Move::Suspend,
            Self::NoPayment => Move::StopUnpaid,
            Self::SpendingLimit => Move::StopAtLimit,
        }
    }

    const fn resume(self) -> Move {
        match self {
            Self::Operator => Move::Resume,
            Self::NoPayment | Self::SpendingLimit => Move::Settle,
        }
    }
}

/// Which rates.
#[derive(Args, Clone, Copy, Debug)]
pub struct RatesArguments {
    #[command(flatten)]
    of: ServiceArguments,
    /// Requests per second that are always served
    #[arg(long, value_name = "N", required_unless_present = "clear")]
    guaranteed: Option<u32>,
    /// Further requests per second, served after guaranteed ones
    #[arg(long, value_name = "N", default_value_t = 0)]
    burst: u32,
    /// HAProxy's priority class of burst; a smaller one is served first
    #[arg(long, value_name = "N", default_value_t = 3)]
    priority: u8,
    /// Back to the rates of the tier
    #[arg(long, conflicts_with_all = ["guaranteed", "burst", "priority"])]
    clear: bool,
}

#[derive(Serialize)]
struct Answer {
    customer_id: u32,
    service: &'static str,
    state: &'static str,
    tier: &'static str,
    plan: u16,
    guaranteed_per_s: u32,
    burst_per_s: u32,
    /// Said where it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    own_rates: bool,
    #[serde(flatten)]
    confirmed: Confirmed,
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &ServiceCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let (of, wanted) = match command {
        ServiceCommand::Enable { of, tier } => (of, Move::Enable(*tier)),
        ServiceCommand::Disable(of) => (of, Move::Disable),
        ServiceCommand::Suspend(arguments) => (&arguments.of, arguments.cause.suspend()),
        ServiceCommand::Resume(arguments) => (&arguments.of, arguments.cause.resume()),
        ServiceCommand::Rates(arguments) => return set_rates(arguments, config, clock),
        ServiceCommand::Allowlist(arguments) => return admin_allowlist::run(arguments, config, clock),
    };
    let moved = make_move(&mut open_as_user(config)?, of.key(), wanted, clock.now_ms())?;
    answer(&moved, of.wait, config)
}

impl ServiceArguments {
    const fn key(&self) -> PolicyKey {
        PolicyKey { customer: self.customer, service: self.service }
    }
}

fn set_rates(arguments: &RatesArguments, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    let own_rates = arguments.guaranteed.map(|guaranteed_per_s| Rates {
        guaranteed_per_s,
        burst_per_s: arguments.burst,
        burst_priority: arguments.priority,
    });
    let of = &arguments.of;
    let moved = set_own_rates(&mut open_as_user(config)?, of.key(), own_rates, clock.now_ms())?;
    answer(&moved, of.wait, config)
}

fn answer(moved: &Moved, wait: WaitArguments, config: &Config) -> Result<Reply, Failure> {
    let confirmed = confirm(config, moved.position, wait);
    let text = text_of(moved, &confirmed);
    let answer = Answer {
        customer_id: moved.service.key.customer.get(),
        service: moved.service.key.service.name(),
        state: moved.service.state.word(),
        tier: moved.service.tier.word(),
        plan: moved.service.plan.get(),
        guaranteed_per_s: moved.rates.guaranteed_per_s,
        burst_per_s: moved.rates.burst_per_s,
        own_rates: moved.service.own_rates.is_some(),
        confirmed: confirmed.clone(),
    };
    Ok(confirmed.conclude(Reply::new(&answer, text)?))
}

fn text_of(moved: &Moved, confirmed: &Confirmed) -> String {
    let (service, rates) = (&moved.service, &moved.rates);
    let burst = if rates.burst_per_s == 0 {
        "no burst".to_owned()
    } else {
        format!("{}/s burst on top, priority class {}", rates.burst_per_s, rates.burst_priority)
    };
    let own = if service.own_rates.is_some() { ", its own" } else { "" };
    lines(&[
        ("customer", service.key.customer.to_string()),
        ("service", service.key.service.to_string()),
        ("state", service.state.to_string()),
        ("tier", format!("{} (plan {})", service.tier, service.plan)),
        ("rates", format!("{}/s guaranteed, {burst}{own}", rates.guaranteed_per_s)),
        (
            "",
            if moved.changed { confirmed.text() } else { format!("nothing to change; {}", confirmed.text()) },
        ),
    ])
}
