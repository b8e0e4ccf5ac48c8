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
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    /// How much of the database strangers may use at once: sign-in, and tokens from sources that keep failing. The rest is for
    /// who has shown a good token.
    strangers: Arc<Semaphore>,
    /// Sources whose tokens failed more often than the limit allows, until when ([`Clock::steady`]).
    failing: Mutex<HashMap<String, Duration>>,
    clock: Clock,
}

/// See [`Limits::strangers`].
const STRANGERS_MAX: usize = 2;
/// How long a source counts as failing after a failure beyond the limit.
const FAILING: Duration = Duration::from_secs(10);
/// How long a stranger waits for its turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);

impl Limits {
    /// With the configured numbers.
    pub fn new(config: &AccountsConfig, clock: &Clock) -> Self {
        Self {
            sign_in: Limiter::new(config.sign_in_per_minute, clock.clone()),
            callers: Limiter::new(config.requests_per_minute, clock.clone()),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            failing: Mutex::default(),
            clock: clock.clone(),
        }
    }

    /// Counts a token that was not good. Judged first, limited after: who has a good one is never refused for a neighbour's.
    ///
    /// # Errors
    /// [`Problem::TooManyRequests`], which takes the place of what the token would have been answered.
    pub fn bad_token(&self, source: &str) -> Result<(), ProblemDetails> {
        let counted = self.sign_in(SignInPath::BadToken, source);
        if counted.is_err() {
            let now = self.clock.steady();
            let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
            if failing.len() >= KEYS_MAX {
                failing.retain(|_, until| *until > now);
            }
            if failing.len() < KEYS_MAX {
                failing.insert(source.to_owned(), now + FAILING);
            }
        }
        counted.map(drop)
    }

    /// A turn at the database for a token from this source: at once, unless its tokens keep failing; then it waits with strangers.
    ///
    /// # Errors
    /// As [`Self::stranger`].
    pub async fn turn(&self, source: &str) -> Result<Option<OwnedSemaphorePermit>, ProblemDetails> {
        let until = self.failing.lock().unwrap_or_else(PoisonError::into_inner).get(source).copied();
        match until {
            Some(until) if until > self.clock.steady() => self.stranger().await.map(Some),
            _ => Ok(None),
        }
    }

    /// A turn at the database for somebody who has not shown who it is.
    ///
    /// # Errors
    /// [`Problem::Busy`] after five seconds.
    pub async fn stranger(&self) -> Result<OwnedSemaphorePermit, ProblemDetails> {
        let turn = tokio::time::timeout(TURN_LIMIT, Arc::clone(&self.strangers).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| Problem::Busy.into())
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

/// A moment of [`Clock::steady`].
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
        Moment(self.0.steady().into())
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
