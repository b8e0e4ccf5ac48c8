//! `suiftly admin catalogue …`: what is sold, at what price, from when on.

mod changes;
mod show;

pub use changes::{PriceArguments, TierArguments, TypeArguments, WithdrawArguments};
pub use show::ShowArguments;

use crate::cli::moment::duration_s;
use crate::cli::{Exit, Failure, Reply};
use crate::clock::{Clock, rfc3339_from};
use crate::config::Config;
use clap::Subcommand;

/// What can be done with the catalogue.
#[derive(Subcommand, Debug)]
pub enum CatalogueCommand {
    /// Show tiers, prices and service types: what holds, and what is to come
    #[command(after_help = "Examples:\n  suiftly admin catalogue show\n  \
        suiftly admin catalogue show --at 2027-02-01T00:00:00Z --all")]
    Show(ShowArguments),
    /// Change a tier from a moment on; what is not named stays as it is
    #[command(after_help = "Examples:\n  \
        suiftly admin catalogue tier --tier pro --subscription-cents 4500 --from 2027-02-01T00:00:00Z\n  \
        suiftly admin catalogue tier --tier starter --guaranteed 15 --from now\n\n\
        Services that have the tier get other rates within a minute after that moment, while `suiftly serve` runs; those with\n\
        rates of their own keep them. What was sold until then stays as it was.")]
    Tier(TierArguments),
    /// Change the price of a request, or of a month of a key or package, from a moment on
    #[command(after_help = "Example:\n  \
        suiftly admin catalogue price --item request --micro-usd 90 --from 2027-02-01T00:00:00Z\n\n\
        Usage that is older than two days is kept by the hour: a change of `request` at a whole hour parts it exactly.")]
    Price(PriceArguments),
    /// Open a service type for new subscriptions or close it, or change its title; at once
    #[command(after_help = "Example:\n  suiftly admin catalogue service-type --service graphql --open false")]
    ServiceType(TypeArguments),
    /// Take back a change of a tier or a price that is not in force yet
    #[command(after_help = "Examples:\n  \
        suiftly admin catalogue withdraw --tier pro --from 2027-02-01T00:00:00Z\n  \
        suiftly admin catalogue withdraw --item request --from 2027-02-01T00:00:00Z")]
    Withdraw(WithdrawArguments),
}

/// Runs one of them.
///
/// # Errors
/// [`Failure`].
pub fn run(command: &CatalogueCommand, config: &Config, clock: &Clock) -> Result<Reply, Failure> {
    match command {
        CatalogueCommand::Show(arguments) => show::run(arguments, config, clock),
        CatalogueCommand::Tier(arguments) => changes::tier(arguments, config, clock),
        CatalogueCommand::Price(arguments) => changes::price(arguments, config, clock),
        CatalogueCommand::ServiceType(arguments) => changes::service_type(arguments, config),
        CatalogueCommand::Withdraw(arguments) => changes::withdraw(arguments, config, clock),
    }
}

/// A moment, unix milliseconds: `now`, a duration from now, or a time in UTC.
fn moment_ms(text: &str, now_ms: i64) -> Result<i64, Failure> {
    if text == "now" {
        return Ok(now_ms);
    }
    if let Ok(seconds) = duration_s(text) {
        return Ok(now_ms.saturating_add(i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX)));
    }
    rfc3339_from(text).ok_or_else(|| {
        let right = "write one such as 2027-01-31T00:00:00Z, 30d for in 30 days, or now";
        Failure::new(Exit::Usage, format!("`{text}` is no time; {right}"))
    })
}

/// Cents or millionths of a dollar as people write money: `$39`, `$0.0001`.
fn dollars(amount: i64, decimals: usize) -> String {
    let unit = 10_i64.pow(u32::try_from(decimals).unwrap_or(0));
    let rest = format!("{:0decimals$}", amount % unit);
    let rest = rest.trim_end_matches('0');
    // Cents are two digits or none.
    let rest = if rest.len() == 1 { format!("{rest}0") } else { rest.to_owned() };
    let whole = amount / unit;
    if rest.is_empty() { format!("${whole}") } else { format!("${whole}.{rest}") }
}

/// Of a moment what fits a column; the catalogue's first rows hold from the beginning of time.
fn moment(unix_ms: i64) -> String {
    match unix_ms {
        0 => "the beginning".to_owned(),
        _ => crate::clock::rfc3339_ms(unix_ms).replace(".000Z", "Z"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn money_is_written_as_people_do() {
        let cents = [(0, "$0"), (200, "$2"), (3_999, "$39.99"), (150, "$1.50"), (100_000_000, "$1000000")];
        for (amount, text) in cents {
            assert_eq!(dollars(amount, 2), text);
        }
        let micros =
            [(100, "$0.0001"), (5_000_000, "$5"), (2_500_000, "$2.50"), (1, "$0.000001"), (90, "$0.00009")];
        for (amount, text) in micros {
            assert_eq!(dollars(amount, 6), text);
        }
    }

    #[test]
    fn a_moment_is_now_from_now_or_a_time() {
        assert_eq!(moment_ms("now", 7).unwrap(), 7);
        assert_eq!(moment_ms("1h", 7).unwrap(), 3_600_007);
        assert_eq!(moment_ms("1970-01-01T00:00:01.250Z", 7).unwrap(), 1_250);
        for wrong in ["", "soon", "2027-02-30T00:00:00Z", "-1h"] {
            assert_eq!(moment_ms(wrong, 7).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
