//! How often somebody may ask (`governor`: GCRA). Each copy of `suiftly serve` counts for itself: what must hold over all copies,
//! failed signatures, is counted in the database.

use crate::clock::Clock;
use crate::config::AccountsConfig;
use crate::problem::{Problem, ProblemDetails};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::Reference;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How many keys a limiter remembers; all beyond it share one.
const KEYS_MAX: usize = 100_000;
/// How often those that have their whole limit again are forgotten, in questions.
const FORGET_EVERY: u32 = 1_024;
const WINDOW_S: u64 = 60;

/// Which limit of sign-in a request counts against.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SignInPath {
    /// `POST /api/v1/auth/challenge`.
    Challenge,
    /// `POST /api/v1/auth/verify`.
    Verify,
    /// `POST /api/v1/auth/refresh`.
    Refresh,
    /// `POST /api/v1/auth/logout`.
    Logout,
    /// Tokens that were not good, on any other path.
    BadToken,
}

/// The limits of the API.
#[derive(Debug)]
pub struct Limits {
    sign_in: Limiter<(SignInPath, String)>,
    callers: Limiter<String>,
}

impl Limits {
    /// With the configured numbers.
    pub fn new(config: &AccountsConfig, clock: &Clock) -> Self {
        Self {
            sign_in: Limiter::new(config.sign_in_per_minute, clock.clone()),
            callers: Limiter::new(config.requests_per_minute, clock.clone()),
        }
    }

    /// Counts a request to a path of sign-in.
    ///
    /// # Errors
    /// [`Problem::TooManyRequests`].
    pub fn sign_in(&self, path: SignInPath, source: &str) -> Result<Rate, ProblemDetails> {
        self.sign_in.count((path, source.to_owned()), (path, String::new()))
    }

    /// Counts a request of a session or an API token, whose id is given.
    ///
    /// # Errors
    /// [`Problem::TooManyRequests`], with how it stands.
    pub fn caller(&self, id: &str) -> Result<Rate, ProblemDetails> {
        self.callers.count(id.to_owned(), String::new())
    }

    /// How a caller stands that was refused.
    pub const fn exhausted(&self) -> Rate {
        Rate { quota: self.callers.per_minute, remaining: 0 }
    }
}

/// How a caller stands after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    quota: u32,
    remaining: u32,
}

impl Rate {
    /// Writes `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    pub fn write(self, headers: &mut HeaderMap) {
        let Self { quota, remaining } = self;
        // One comes back every 60 / quota seconds.
        let next_s = WINDOW_S.div_ceil(u64::from(quota.max(1)));
        let fields = [
            ("ratelimit-policy", format!("\"requests\";q={quota};w={WINDOW_S}")),
            ("ratelimit", format!("\"requests\";r={remaining};t={next_s}")),
        ];
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

struct Limiter<K: Clone + Eq + Hash> {
    per_minute: u32,
    limiter: RateLimiter<K, HashMapStateStore<K>, LimitClock, StateInformationMiddleware>,
    clock: LimitClock,
    /// Relaxed: it only spreads work.
    questions: AtomicU32,
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    fn new(per_minute: u32, clock: Clock) -> Self {
        let most = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_minute(most).allow_burst(most);
        let clock = LimitClock(clock);
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self { per_minute: most.get(), limiter, clock, questions: AtomicU32::new(0) }
    }

    fn count(&self, key: K, shared: K) -> Result<Rate, ProblemDetails> {
        if self.questions.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        // So that many sources cannot fill our memory.
        let key = if self.limiter.len() < KEYS_MAX { key } else { shared };
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(Rate { quota: self.per_minute, remaining: state.remaining_burst_capacity() }),
            Err(refusal) => {
                use governor::clock::Clock as _;
                let wait = refusal.wait_time_from(self.clock.now());
                let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                Err(ProblemDetails::retry_after_ms(Problem::TooManyRequests, wait_ms))
            }
        }
    }
}

impl<K: Clone + Eq + Hash> fmt::Debug for Limiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("per_minute", &self.per_minute).finish_non_exhaustive()
    }
}

/// Our clock, as governor asks it.
#[derive(Clone, Debug)]
struct LimitClock(Clock);

/// Unix time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Moment(Nanos);

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.as_u64().saturating_sub(earlier.0.as_u64()).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.as_u64().saturating_sub(duration.as_u64()).into())
    }
}

impl std::ops::Add<Nanos> for Moment {
    type Output = Self;

    fn add(self, duration: Nanos) -> Self {
        Self(self.0.as_u64().saturating_add(duration.as_u64()).into())
    }
}

impl governor::clock::Clock for LimitClock {
    type Instant = Moment;

    fn now(&self) -> Moment {
        let since_1970 = Duration::from_millis(u64::try_from(self.0.now_ms()).unwrap_or(0));
        Moment(since_1970.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn limits(clock: &Clock) -> Limits {
        let config = crate::config::Config::from_variables(&crate::config::Variables::new()).unwrap();
        Limits::new(&config.accounts, clock)
    }

    #[test]
    fn sixty_at_once_then_one_a_second_for_each_source_and_path() {
        let clock = Clock::standing_at(1_795_251_900_000);
        let limits = limits(&clock);
        for _ in 0..60 {
            limits.sign_in(SignInPath::Verify, "192.0.2.1").unwrap();
        }
        let refused = limits.sign_in(SignInPath::Verify, "192.0.2.1").unwrap_err();
        assert_eq!((refused.problem, refused.retry_after_s), (Problem::TooManyRequests, Some(1)));
        assert!(limits.sign_in(SignInPath::Challenge, "192.0.2.1").is_ok());
        assert!(limits.sign_in(SignInPath::Verify, "192.0.2.2").is_ok());
        clock.advance(Duration::from_secs(1));
        assert!(limits.sign_in(SignInPath::Verify, "192.0.2.1").is_ok());
        assert!(limits.sign_in(SignInPath::Verify, "192.0.2.1").is_err());
    }

    #[test]
    fn a_caller_is_told_what_is_left() {
        let limits = limits(&Clock::standing_at(1_795_251_900_000));
        let rate = limits.caller("a").unwrap();
        let mut headers = HeaderMap::new();
        rate.write(&mut headers);
        assert_eq!(headers.get("ratelimit").unwrap(), "\"requests\";r=599;t=1");
        assert_eq!(headers.get("ratelimit-policy").unwrap(), "\"requests\";q=600;w=60");
    }

    #[test]
    fn more_sources_than_are_remembered_share_one_limit() {
        let limits = limits(&Clock::standing_at(1_795_251_900_000));
        for number in 0..KEYS_MAX {
            limits.caller(&number.to_string()).unwrap();
        }
        let admitted = (0..1_000).filter(|number| limits.caller(&format!("more {number}")).is_ok()).count();
        assert_eq!(admitted, 600);
    }
}
