//! The lengths of windows.

/// The lengths of windows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Window {
    /// 60 seconds.
    Minute,
    /// 3,600 seconds.
    Hour,
    /// 86,400 seconds, UTC.
    Day,
}

impl Window {
    /// In seconds.
    pub const fn length_s(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// Of this length, in seconds.
    pub fn from_length_s(length_s: i64) -> Option<Self> {
        [Self::Minute, Self::Hour, Self::Day].into_iter().find(|window| window.length_s() == length_s)
    }

    /// The beginning of the window in which a moment lies, unix seconds.
    pub const fn start_of(self, moment_s: i64) -> i64 {
        moment_s.div_euclid(self.length_s()) * self.length_s()
    }
}
