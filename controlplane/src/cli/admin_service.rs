//! `suiftly admin service …`.

use crate::cli::admin_allowlist::{self, AllowlistArguments};
use crate::cli::as_user::open_as_user;
use crate::cli::confirm::{Confirmed, WaitArguments, confirm};
use crate::cli::reply::lines;
use crate::cli::{Failure, Reply};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::Tier;
use crate::domain::services::{Move, Moved, make_move};
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
    Suspend(ServiceArguments),
    /// End an operator's suspension: back to the state before it
    #[command(after_help = "Example:\n  suiftly admin service resume --customer 305419896 --service seal")]
    Resume(ServiceArguments),
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

#[derive(Serialize)]
struct Answer {
    customer_id: u32,
    service: &'static str,
    state: &'static str,
    tier: &'static str,
    plan: u16,
    guaranteed_per_s: u32,
    burst_per_s: u32,
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
        ServiceCommand::Suspend(of) => (of, Move::Suspend),
        ServiceCommand::Resume(of) => (of, Move::Resume),
        ServiceCommand::Allowlist(arguments) => return admin_allowlist::run(arguments, config, clock),
    };
    let key = PolicyKey { customer: of.customer, service: of.service };
    let moved = {
        let mut database = open_as_user(config)?;
        make_move(&mut database, key, wanted, clock.now_ms())?
    };
    let confirmed = confirm(config, moved.position, of.wait);
    let text = text_of(&moved, &confirmed);
    let answer = Answer {
        customer_id: moved.service.key.customer.get(),
        service: moved.service.key.service.name(),
        state: moved.service.state.word(),
        tier: moved.service.tier.word(),
        plan: moved.service.plan.get(),
        guaranteed_per_s: moved.rates.guaranteed_per_s,
        burst_per_s: moved.rates.burst_per_s,
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
    lines(&[
        ("customer", service.key.customer.to_string()),
        ("service", service.key.service.to_string()),
        ("state", service.state.to_string()),
        ("tier", format!("{} (plan {})", service.tier, service.plan)),
        ("rates", format!("{}/s guaranteed, {burst}", rates.guaranteed_per_s)),
        (
            "",
            if moved.changed { confirmed.text() } else { format!("nothing to change; {}", confirmed.text()) },
        ),
    ])
}
