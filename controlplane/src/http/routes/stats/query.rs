//! What is asked of statistics, and whether the caller may know it.

use crate::db::{ReadTx, api_keys};
use crate::domain::requests::Window;
use crate::domain::statistics::{Asked, Period, Span};
use crate::http::caller::Account;
use crate::http::routes::services::ServiceWord;
use crate::problem::{Problem, ProblemDetails};
use apikey::{Fingerprint, Service};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Of which time, in which buckets, of what, in which form.
#[derive(Deserialize, IntoParams, Clone, Debug)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SeriesQuery {
    /// How far back: `24h`, `7d` or `30d`; `24h` where it is not said
    #[serde(default)]
    #[param(required = false, inline)]
    range: RangeWord,
    /// `minute` (of `24h` only), `hour` or `day`; where it is not said hours of `24h` and days of the others
    #[param(inline)]
    bucket: Option<BucketWord>,
    /// Of one service only
    #[param(inline)]
    service: Option<ServiceWord>,
    /// With one key only: its fingerprint
    #[param(min_length = 16, max_length = 16, pattern = "^[0-9A-Fa-f]{16}$")]
    key: Option<String>,
    /// `json` or `csv`; where it is not said what `Accept` prefers
    #[param(inline)]
    pub(super) format: Option<FormatWord>,
}

/// The same for the last 24 hours as a whole.
#[derive(Deserialize, IntoParams, Clone, Debug)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SummaryQuery {
    /// Of one service only
    #[param(inline)]
    service: Option<ServiceWord>,
    /// With one key only: its fingerprint
    #[param(min_length = 16, max_length = 16, pattern = "^[0-9A-Fa-f]{16}$")]
    key: Option<String>,
    /// `json` or `csv`; where it is not said what `Accept` prefers
    #[param(inline)]
    pub(super) format: Option<FormatWord>,
}

/// How far back.
#[derive(Deserialize, Serialize, ToSchema, Clone, Copy, Default, Debug)]
pub enum RangeWord {
    /// 24 hours
    #[default]
    #[serde(rename = "24h")]
    Day,
    /// 7 days
    #[serde(rename = "7d")]
    Week,
    /// 30 days
    #[serde(rename = "30d")]
    Month,
}

/// How long a bucket is.
#[derive(Deserialize, Serialize, ToSchema, Clone, Copy, Debug)]
#[serde(rename_all = "snake_case")]
pub enum BucketWord {
    /// 60 seconds
    Minute,
    /// 3,600 seconds
    Hour,
    /// A day in UTC
    Day,
}

/// The form of an answer.
#[derive(Deserialize, Serialize, ToSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum FormatWord {
    /// `application/json`
    Json,
    /// `text/csv`, with a header row
    Csv,
}

impl RangeWord {
    const fn span(self) -> Span {
        match self {
            Self::Day => Span::Day,
            Self::Week => Span::Week,
            Self::Month => Span::Month,
        }
    }

    /// As it stands in a query.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }
}

impl From<BucketWord> for Window {
    fn from(word: BucketWord) -> Self {
        match word {
            BucketWord::Minute => Self::Minute,
            BucketWord::Hour => Self::Hour,
            BucketWord::Day => Self::Day,
        }
    }
}

impl From<Window> for BucketWord {
    fn from(window: Window) -> Self {
        match window {
            Window::Minute => Self::Minute,
            Window::Hour => Self::Hour,
            Window::Day => Self::Day,
        }
    }
}

impl BucketWord {
    /// As it stands in a query.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// One service or one key, or all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Which {
    pub(super) service: Option<ServiceWord>,
    pub(super) key: Option<Fingerprint>,
}

impl Which {
    fn of(service: Option<ServiceWord>, key: Option<&String>) -> Result<Self, ProblemDetails> {
        let bad = |_| bad_query("key", "a key's fingerprint is 16 hex digits");
        Ok(Self { service, key: key.map(|text| text.parse().map_err(bad)).transpose()? })
    }

    /// What is asked for, if the key is one of the caller's.
    ///
    /// # Errors
    /// [`Problem::NotFound`] for everybody else's key, and for one that there is not: nobody learns which.
    pub(super) fn asked(self, tx: &mut ReadTx<'_>, account: &Account) -> Result<Asked, ProblemDetails> {
        let customer = account.customer.customer;
        if let Some(key) = self.key {
            let found = api_keys::find(tx, key)?;
            if found.is_none_or(|found| found.customer != customer) {
                return Err(Problem::NotFound.into());
            }
        }
        Ok(Asked { customer, service: self.service.map(Service::from), key: self.key })
    }
}

impl SeriesQuery {
    /// Of what, and of which time until now (unix milliseconds).
    ///
    /// # Errors
    /// [`Problem::BadQuery`].
    pub(super) fn read(&self, now_ms: i64) -> Result<(Which, Period), ProblemDetails> {
        let (span, which) = (self.range.span(), Which::of(self.service, self.key.as_ref())?);
        let bucket = self.bucket.map_or_else(|| span.default_bucket(), Window::from);
        let period = Period::until(now_ms, span, bucket).map_err(|error| {
            bad_query("bucket", &format!("{error}; ask for hour or day, or for the range 24h"))
        })?;
        Ok((which, period))
    }

    /// The range as it stands in a query.
    pub(super) const fn range(&self) -> RangeWord {
        self.range
    }
}

impl SummaryQuery {
    /// Of what.
    ///
    /// # Errors
    /// [`Problem::BadQuery`].
    pub(super) fn which(&self) -> Result<Which, ProblemDetails> {
        Which::of(self.service, self.key.as_ref())
    }
}

fn bad_query(name: &str, detail: &str) -> ProblemDetails {
    ProblemDetails::of_field(Problem::BadQuery, name, detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_words_are_those_of_the_rest_of_the_program() {
        for range in [RangeWord::Day, RangeWord::Week, RangeWord::Month] {
            assert_eq!(serde_json::to_value(range).unwrap(), range.word());
        }
        for window in [Window::Minute, Window::Hour, Window::Day] {
            let word = BucketWord::from(window);
            assert_eq!(serde_json::to_value(word).unwrap(), word.word());
            assert_eq!(Window::from(word), window);
        }
    }
}
