//! The one place of the control plane that reads time. Everybody else is given a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

/// What [`Clock::steady`] counts from.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// Unix milliseconds that a test sets. Relaxed would do: nothing else is published through it.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `now_ms` until [`Self::advance`] moves it.
    pub fn standing_at(now_ms: i64) -> Self {
        Self(Source::Set(Arc::new(AtomicI64::new(now_ms))))
    }

    /// Moves a standing clock; the machine's clock does not listen.
    pub fn advance(&self, by: Duration) {
        if let Source::Set(now_ms) = &self.0 {
            now_ms.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Unix milliseconds.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::Set(now_ms) => now_ms.load(Ordering::SeqCst),
            // A machine that stands before 1970 or after the year 292 million gets the nearest number.
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Time that never jumps, for limits: since this program began, or on a standing clock what that shows.
    pub fn steady(&self) -> Duration {
        match &self.0 {
            Source::Set(now_ms) => {
                Duration::from_millis(u64::try_from(now_ms.load(Ordering::SeqCst)).unwrap_or(0))
            }
            Source::System => BEGAN.elapsed(),
        }
    }

    /// A moment for measuring and for deadlines: unlike [`Self::now_ms`] it never jumps. Runs in tests, too.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}

const MS_PER_S: i64 = 1_000;
const S_PER_DAY: i64 = 86_400;

/// Unix milliseconds as RFC 3339 in UTC with milliseconds and `Z`: `2026-11-21T09:05:00.123Z`.
pub fn rfc3339_ms(unix_ms: i64) -> String {
    let (seconds, ms) = (unix_ms.div_euclid(MS_PER_S), unix_ms.rem_euclid(MS_PER_S));
    let (days, second_of_day) = (seconds.div_euclid(S_PER_DAY), seconds.rem_euclid(S_PER_DAY));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// The moment of such a text, unix milliseconds; the fraction of a second may be left out. None for any other text.
pub fn rfc3339_from(text: &str) -> Option<i64> {
    let (date_and_time, ms) = match text.strip_suffix('Z')?.split_once('.') {
        None => (text.strip_suffix('Z')?, 0),
        Some((before, ms)) if ms.len() == 3 => (before, ms.parse::<u16>().ok()?),
        Some(_) => return None,
    };
    let (date, time) = date_and_time.split_once('T')?;
    let numbers = |text: &str, separator| {
        text.split(separator).map(|word| word.parse::<u16>().ok()).collect::<Option<Vec<_>>>()
    };
    let ([year, month, day], [hour, minute, second]) =
        (*numbers(date, '-')?.as_slice().as_array()?, *numbers(time, ':')?.as_slice().as_array()?);
    let days = days_from_civil(year.into(), month.into(), day.into());
    let seconds = days * S_PER_DAY + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let unix_ms = seconds * MS_PER_S + i64::from(ms);
    // A 30 February, a 25 o'clock or a date without its zeros does not read back.
    let read_back = rfc3339_ms(unix_ms);
    let without_ms = read_back.replace(".000Z", "Z");
    (read_back == text || without_ms == text).then_some(unix_ms)
}

/// The other way round of [`civil_from_days`]; what is no date becomes some other day.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Days since 1970-01-01 as year, month, day of the Gregorian calendar, counted in eras of 400 years that
/// begin on 1 March, so that the leap day is the last of its year.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_FROM_YEAR_0_TO_1970: i64 = 719_468;
    let shifted = days + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day_of_era) = (shifted.div_euclid(DAYS_PER_ERA), shifted.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A month of the calendar, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Month {
    /// Its first moment, unix milliseconds.
    pub start_ms: i64,
    /// The first moment after it.
    pub end_ms: i64,
}

impl Month {
    /// The month in which a moment lies.
    pub fn of(unix_ms: i64) -> Self {
        let (year, month, _) = civil_from_days(unix_ms.div_euclid(MS_PER_S * S_PER_DAY));
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let first_of = |year, month| days_from_civil(year, month, 1) * S_PER_DAY * MS_PER_S;
        Self { start_ms: first_of(year, month), end_ms: first_of(next_year, next_month) }
    }

    /// How many days it has.
    pub const fn days(&self) -> i64 {
        (self.end_ms - self.start_ms) / (MS_PER_S * S_PER_DAY)
    }

    /// How many of them are left, the day of this moment counted.
    pub const fn days_left(&self, unix_ms: i64) -> i64 {
        (self.end_ms - unix_ms + MS_PER_S * S_PER_DAY - 1) / (MS_PER_S * S_PER_DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_251_900_123, "2026-11-21T09:05:00.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (unix_ms, expected) in cases {
            assert_eq!(rfc3339_ms(unix_ms), expected);
            assert_eq!(rfc3339_from(expected), Some(unix_ms));
        }
        assert_eq!(rfc3339_from("2026-11-21T09:05:00Z"), Some(1_795_251_900_000));
        for text in [
            "2026-02-30T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T09:05:60Z",
            "2026-11-21T09:05:00",
            "2026-11-21 09:05:00Z",
            "2026-1-21T09:05:00Z",
            "2026-11-21T09:05:00.1Z",
            "2026-00-10T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "",
            "Z",
            "T",
            "1e3-11-21T09:05:00Z",
            "+026-11-21T09:05:00Z",
        ] {
            assert_eq!(rfc3339_from(text), None, "{text}");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |text: &str| rfc3339_from(text).unwrap_or_default();
        for (moment, start, end, days, left) in [
            ("2026-11-21T09:05:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 30, 10),
            ("2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", 31, 1),
            ("2028-02-01T00:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z", 29, 29),
            ("2027-02-28T00:00:00Z", "2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z", 28, 1),
        ] {
            let month = Month::of(at(moment));
            assert_eq!(month, Month { start_ms: at(start), end_ms: at(end) }, "{moment}");
            assert_eq!((month.days(), month.days_left(at(moment))), (days, left), "{moment}");
        }
    }

    #[test]
    fn a_standing_clock_moves_only_when_it_is_told_to() {
        let clock = Clock::standing_at(1_000);
        let copy = clock.clone();
        clock.advance(Duration::from_secs(2));
        assert_eq!((clock.now_ms(), copy.now_ms()), (3_000, 3_000));
    }
}
