//! What may stand in the catalogue. The tables check the same single values; here a person is told what would be right.

use crate::clock::rfc3339_ms;
use crate::domain::catalogue::{TierRow, TierTerms};
use crate::domain::{DomainError, Tier};

/// The most that a plan can say of a rate: 20 bits of the native map's integer.
const RATE_MAX: u32 = (1 << 20) - 1;
/// The most of anything that is counted in a tier.
const COUNT_MAX: u32 = 1_000;
/// The dearest subscription, in cents: a million dollars.
const SUBSCRIPTION_CENTS_MAX: i64 = 100_000_000;
/// The dearest item, in millionths of a dollar: a thousand dollars.
const PRICE_MICRO_USD_MAX: i64 = 1_000_000_000;
/// The longest title of a service type, in characters.
const TITLE_LEN_MAX: usize = 64;
/// How far ahead a change can be entered: further is a slip of the pen.
const AHEAD_MAX_MS: i64 = 10 * 366 * 86_400_000;

/// A moment from which on something can hold: now or later.
pub(super) fn moment(from_ms: i64, now_ms: i64) -> Result<(), DomainError> {
    if from_ms < now_ms {
        return refused(format!(
            "{} is past: a change holds from now on or later, since what was sold stays as it was",
            rfc3339_ms(from_ms)
        ));
    }
    if from_ms > now_ms.saturating_add(AHEAD_MAX_MS) {
        return refused(format!("{} is more than ten years away", rfc3339_ms(from_ms)));
    }
    Ok(())
}

/// A tier by itself.
pub(super) fn terms(tier: Tier, terms: &TierTerms) -> Result<(), DomainError> {
    let within = |what: &str, value: i64, least: i64, most: i64| {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        refused(format!("tier {tier}: {what} is {value}; it must be between {least} and {most}"))
    };
    let rates = terms.rates;
    within("the subscription in cents", terms.subscription_cents, 0, SUBSCRIPTION_CENTS_MAX)?;
    within("the guaranteed rate", rates.guaranteed_per_s.into(), 1, RATE_MAX.into())?;
    within("the burst rate", rates.burst_per_s.into(), 0, RATE_MAX.into())?;
    let most_priority = u8::MAX.into();
    match rates.burst_per_s {
        0 => within("the priority class without burst", rates.burst_priority.into(), 0, 0)?,
        // 0 is what guaranteed requests have, and burst comes after them.
        _ => within("the priority class of burst", rates.burst_priority.into(), 1, most_priority)?,
    }
    for (what, count) in [
        ("the most allowlist entries", terms.allowlist_entries_max),
        ("the most API keys", terms.api_keys_max),
        ("the number of Seal keys included", terms.seal_keys_included),
        ("the number of packages for each Seal key", terms.packages_per_seal_key),
    ] {
        within(what, count.into(), 0, COUNT_MAX.into())?;
    }
    within("the number of API keys included", terms.api_keys_included.into(), 0, terms.api_keys_max.into())
}

/// At every moment from `from_ms` on a larger tier costs and guarantees as much as a smaller one, or more.
pub(super) fn rising(rows: &[TierRow], from_ms: i64) -> Result<(), DomainError> {
    let later = rows.iter().map(|row| row.valid_from_ms).filter(|moment_ms| *moment_ms > from_ms);
    let moments: std::collections::BTreeSet<i64> = later.chain([from_ms]).collect();
    for moment_ms in moments {
        let in_force: Vec<(Tier, TierTerms)> = Tier::ALL
            .iter()
            .filter_map(|tier| {
                let valid = |row: &&TierRow| row.tier == *tier && row.valid_from_ms <= moment_ms;
                let newest = rows.iter().filter(valid).max_by_key(|row| row.valid_from_ms)?;
                Some((*tier, newest.terms))
            })
            .collect();
        for ((small, less), (large, more)) in in_force.iter().zip(in_force.iter().skip(1)) {
            let wrong = |what: &str, less: i64, more: i64| {
                refused(format!(
                    "from {} on {large} would {what} {more} and {small} {less}; a larger tier must not have less",
                    rfc3339_ms(moment_ms)
                ))
            };
            if more.rates.guaranteed_per_s < less.rates.guaranteed_per_s {
                let (less, more) = (less.rates.guaranteed_per_s, more.rates.guaranteed_per_s);
                return wrong("guarantee requests a second:", less.into(), more.into());
            }
            if more.subscription_cents < less.subscription_cents {
                return wrong("cost cents a month:", less.subscription_cents, more.subscription_cents);
            }
        }
    }
    Ok(())
}

/// A price.
pub(super) fn price(micro_usd: i64) -> Result<(), DomainError> {
    if (0..=PRICE_MICRO_USD_MAX).contains(&micro_usd) {
        return Ok(());
    }
    refused(format!(
        "the price is {micro_usd} micro-dollars; it must be between 0 and {PRICE_MICRO_USD_MAX} (1,000 dollars)"
    ))
}

/// What people read as the name of a service type.
pub(super) fn title(title: &str) -> Result<(), DomainError> {
    let length = title.chars().count();
    let is_plain = !title.chars().any(char::is_control) && title.trim() == title;
    if (1..=TITLE_LEN_MAX).contains(&length) && is_plain {
        return Ok(());
    }
    refused(format!(
        "a title has 1 to {TITLE_LEN_MAX} characters, no control characters, and no space at its ends"
    ))
}

fn refused(text: String) -> Result<(), DomainError> {
    Err(DomainError::Refused(text))
}
