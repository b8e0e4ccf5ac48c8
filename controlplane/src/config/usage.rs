//! How long usage is kept, and how finely.

use super::{ConfigError, Variables, text};
use std::ops::RangeInclusive;

/// How long usage is kept by minute, hour and day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UsageConfig {
    /// `SUIFTLY_USAGE_MINUTES_KEEP_H`, default 48: hours until minutes become hours.
    pub minutes_keep_h: u32,
    /// `SUIFTLY_USAGE_HOURS_KEEP_D`, default 90: days until hours become days.
    pub hours_keep_d: u32,
    /// `SUIFTLY_USAGE_DAYS_KEEP_D`, default 1100: days until usage is forgotten. Longer than anybody may dispute a bill.
    pub days_keep_d: u32,
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self { minutes_keep_h: 48, hours_keep_d: 90, days_keep_d: 1_100 }
    }
}

impl UsageConfig {
    pub(super) fn from_variables(variables: &Variables) -> Result<Self, ConfigError> {
        let default = Self::default();
        let config = Self {
            minutes_keep_h: number(
                variables,
                "SUIFTLY_USAGE_MINUTES_KEEP_H",
                1..=8_760,
                default.minutes_keep_h,
            )?,
            hours_keep_d: number(variables, "SUIFTLY_USAGE_HOURS_KEEP_D", 1..=3_660, default.hours_keep_d)?,
            // An invoice is made of a month, and may be late.
            days_keep_d: number(variables, "SUIFTLY_USAGE_DAYS_KEEP_D", 93..=36_600, default.days_keep_d)?,
        };
        let (hours_d, days_d) = (config.hours_keep_d, config.days_keep_d);
        if days_d <= hours_d || config.minutes_keep_h > hours_d.saturating_mul(24) {
            let reason =
                "minutes must become hours before hours become days, and these before they are forgotten";
            return Err(ConfigError { variable: "SUIFTLY_USAGE_HOURS_KEEP_D", reason: reason.to_owned() });
        }
        Ok(config)
    }
}

fn number(
    variables: &Variables,
    name: &'static str,
    range: RangeInclusive<u32>,
    default: u32,
) -> Result<u32, ConfigError> {
    let Some(value) = text(variables, name) else { return Ok(default) };
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| ConfigError {
        variable: name,
        reason: format!("`{value}` is no number from {} to {}", range.start(), range.end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<UsageConfig, ConfigError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        UsageConfig::from_variables(&pairs.collect())
    }

    #[test]
    fn usage_is_kept_as_long_as_it_is_said_and_in_this_order() {
        assert_eq!(config(&[]), Ok(UsageConfig::default()));
        let set = config(&[("SUIFTLY_USAGE_MINUTES_KEEP_H", "2"), ("SUIFTLY_USAGE_HOURS_KEEP_D", "3")]);
        assert_eq!(set.map(|config| (config.minutes_keep_h, config.hours_keep_d)), Ok((2, 3)));
        for pair in [
            ("SUIFTLY_USAGE_MINUTES_KEEP_H", "0"),
            ("SUIFTLY_USAGE_MINUTES_KEEP_H", "a"),
            ("SUIFTLY_USAGE_DAYS_KEEP_D", "92"),
            ("SUIFTLY_USAGE_HOURS_KEEP_D", "1"),
            ("SUIFTLY_USAGE_HOURS_KEEP_D", "1100"),
        ] {
            assert!(config(&[pair]).is_err(), "{pair:?}");
        }
    }
}
