//! Moments and durations as people write them.

use crate::clock::{Clock, rfc3339_from};

const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
/// The longest duration, in seconds: a hundred years.
const DURATION_MAX_S: u64 = 100 * 365 * 86_400;

/// How long, in seconds: `90s`, `15m`, `24h`, `30d`.
///
/// # Errors
/// What would be right.
pub fn duration_s(text: &str) -> Result<u64, String> {
    let unit = UNITS.iter().find_map(|(letter, seconds)| Some((text.strip_suffix(*letter)?, *seconds)));
    unit.filter(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|(digits, seconds)| digits.parse::<u64>().ok()?.checked_mul(seconds))
        .filter(|seconds| *seconds <= DURATION_MAX_S)
        .ok_or_else(|| format!("`{text}` is no duration; write one such as 90s, 15m, 24h or 30d"))
}

/// A second, unix: a time in UTC, or a duration from now.
///
/// # Errors
/// What would be right.
pub fn moment_s(text: &str, clock: &Clock) -> Result<u64, String> {
    let now_s = u64::try_from(clock.now_ms() / 1_000).unwrap_or(0);
    if let Ok(duration) = duration_s(text) {
        return Ok(now_s.saturating_add(duration));
    }
    rfc3339_from(text).and_then(|unix_ms| u64::try_from(unix_ms / 1_000).ok()).ok_or_else(|| {
        format!("`{text}` is no time; write one such as 2027-01-31T00:00:00Z, or 30d from now")
    })
}

/// A second, unix: a time in UTC, or a duration before now.
///
/// # Errors
/// What would be right.
pub fn past_s(text: &str, clock: &Clock) -> Result<u64, String> {
    let now_s = u64::try_from(clock.now_ms() / 1_000).unwrap_or(0);
    if let Ok(duration) = duration_s(text) {
        return Ok(now_s.saturating_sub(duration));
    }
    rfc3339_from(text).and_then(|unix_ms| u64::try_from(unix_ms / 1_000).ok()).ok_or_else(|| {
        format!("`{text}` is no time; write one such as 2026-12-31T00:00:00Z, or 24h for a day ago")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_moments_are_what_they_say_or_refused() {
        let clock = Clock::standing_at(1_795_251_900_123);
        let cases = [("0s", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000)];
        for (text, seconds) in cases {
            assert_eq!(duration_s(text), Ok(seconds));
            assert_eq!(moment_s(text, &clock), Ok(1_795_251_900 + seconds));
            assert_eq!(past_s(text, &clock), Ok(1_795_251_900 - seconds));
        }
        assert_eq!(moment_s("2026-11-21T09:05:00Z", &clock), Ok(1_795_251_900));
        for text in [
            "",
            "h",
            "1",
            "-1h",
            "+1h",
            "1.5h",
            "1w",
            "99999999999999999999s",
            "36501d",
            "1969-12-31T00:00:00Z",
        ] {
            assert!(duration_s(text).is_err() && moment_s(text, &clock).is_err(), "{text}");
            assert!(past_s(text, &clock).is_err(), "{text}");
        }
    }
}
