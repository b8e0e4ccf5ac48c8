//! A time in buckets, cut into the pieces that it is read from: sums of whole hours or days, and minutes where there are none yet.

use std::ops::Range;

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;

/// Rows of windows that begin in a time, unix seconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Minutes.
    Minutes(Range<i64>),
    /// Sums of windows of so many seconds.
    Sums(i64, Range<i64>),
}

impl Piece {
    /// How long its windows are, in seconds.
    pub const fn length_s(&self) -> i64 {
        match self {
            Self::Minutes(_) => MINUTE_S,
            Self::Sums(length_s, _) => *length_s,
        }
    }

    /// When its windows begin, unix seconds.
    pub const fn time_s(&self) -> &Range<i64> {
        match self {
            Self::Minutes(time) | Self::Sums(_, time) => time,
        }
    }
}

/// The pieces of a time; no count is in two of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TimePieces {
    /// They do not overlap.
    pub pieces: Vec<Piece>,
    /// How long a bucket is, in seconds; what is read is grouped by it.
    pub bucket_s: i64,
}

impl TimePieces {
    /// Cuts a time into pieces, where minutes from `rest_from_s` on are not added up yet.
    pub fn of(time_s: &Range<i64>, bucket_s: i64, rest_from_s: i64) -> Self {
        let Range { start, end } = *time_s;
        if bucket_s <= MINUTE_S {
            return Self { pieces: vec![Piece::Minutes(start..end)], bucket_s };
        }
        // One bucket for all of it is read from hours.
        let length_s = if bucket_s == 86_400 { bucket_s } else { HOUR_S };
        let first = (start + length_s - 1).div_euclid(length_s) * length_s;
        let pieces = [
            Piece::Minutes(start..first.min(end)),
            Piece::Sums(length_s, first..end),
            Piece::Minutes(rest_from_s.max(first)..end),
        ];
        Self { pieces: pieces.into_iter().filter(|piece| !piece.time_s().is_empty()).collect(), bucket_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 1_795_251_600;

    #[test]
    fn whole_hours_are_read_as_such_and_the_rest_as_minutes() {
        let now = HOUR + 300;
        let pieces = |start, bucket_s, rest| TimePieces::of(&(start..now), bucket_s, rest).pieces;
        assert_eq!(pieces(now - 86_400, 60, now - 120), [Piece::Minutes(now - 86_400..now)]);
        let rest = Piece::Minutes(now - 120..now);
        assert_eq!(
            pieces(HOUR - 3_600, 3_600, now - 120),
            [Piece::Sums(3_600, HOUR - 3_600..now), rest.clone()]
        );
        // From the middle of an hour, and nothing added up for two hours.
        assert_eq!(
            pieces(HOUR - 60, i64::MAX, HOUR - 7_200),
            [Piece::Minutes(HOUR - 60..HOUR), Piece::Sums(3_600, HOUR..now), Piece::Minutes(HOUR..now)]
        );
        let day = HOUR.div_euclid(86_400) * 86_400;
        assert_eq!(pieces(day, 86_400, now - 120), [Piece::Sums(86_400, day..now), rest]);
    }
}
