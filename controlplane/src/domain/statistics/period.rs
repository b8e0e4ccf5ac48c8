//! The time that is asked for, in buckets.

use crate::domain::requests::Window;
use std::ops::Range;

/// How far back statistics go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
}

impl Span {
    /// In seconds.
    pub const fn length_s(self) -> i64 {
        match self {
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 30 * 86_400,
        }
    }

    /// The buckets where none are asked for.
    pub const fn default_bucket(self) -> Window {
        match self {
            Self::Day => Window::Hour,
            Self::Week | Self::Month => Window::Day,
        }
    }
}

/// Minutes are only kept for a little longer than a day, and a month of them would be 43,200.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("minutes are there for the range 24h only")]
pub struct BadBucket;

/// As many buckets as fit into a span. The last one is the one in which we are, and not over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// How long each bucket is.
    pub bucket: Window,
    /// From the beginning of the first to the end of the last, unix seconds.
    pub time_s: Range<i64>,
}

impl Period {
    /// The span until a moment, unix milliseconds.
    ///
    /// # Errors
    /// [`BadBucket`].
    pub fn until(now_ms: i64, span: Span, bucket: Window) -> Result<Self, BadBucket> {
        if bucket == Window::Minute && span != Span::Day {
            return Err(BadBucket);
        }
        let end_s = bucket.start_of(now_ms.div_euclid(1_000)) + bucket.length_s();
        Ok(Self { bucket, time_s: end_s - span.length_s()..end_s })
    }

    /// When each bucket begins, unix seconds, in order.
    pub fn starts(&self) -> impl Iterator<Item = i64> + use<> {
        let Range { start, end } = self.time_s;
        let length_s = self.bucket.length_s();
        (0..(end - start) / length_s).map(move |place| start + place * length_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_with_the_bucket_in_which_we_are_and_is_as_long_as_its_span() {
        // 2026-11-21T09:05:00.123Z.
        let now_ms = 1_795_251_900_123;
        for (span, bucket, count) in [
            (Span::Day, Window::Minute, 1_440),
            (Span::Day, Window::Hour, 24),
            (Span::Day, Window::Day, 1),
            (Span::Week, Window::Hour, 168),
            (Span::Week, Window::Day, 7),
            (Span::Month, Window::Hour, 720),
            (Span::Month, Window::Day, 30),
        ] {
            let starts: Vec<i64> = Period::until(now_ms, span, bucket)
                .map(|period| period.starts().collect())
                .unwrap_or_default();
            assert_eq!(starts.len(), count);
            assert_eq!(starts.last(), Some(&bucket.start_of(now_ms / 1_000)));
        }
        for span in [Span::Week, Span::Month] {
            assert_eq!(Period::until(now_ms, span, Window::Minute), Err(BadBucket));
        }
    }
}
