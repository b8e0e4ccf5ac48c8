//! What comes in a window of time, from daily and weekly rhythm, sudden crowds and bad hours; and the same as usage counts it and as
//! statistics do, so that both say the same.

use crate::domain::demo::accounts::{Source, UsedKey};
use crate::domain::demo::latency;
use crate::domain::demo::numbers::Numbers;
use crate::domain::requests::Counts;
use apikey::Service;
use edgeformat::ledger::{COUNTERS, Counter, Counters};

pub(super) const HOUR_S: i64 = 3_600;
pub(super) const DAY_S: i64 = 24 * HOUR_S;
/// How busy each hour of a day is where the callers live, in thousandths.
const BUSY_BY_HOUR: [i64; 24] = [
    310, 240, 200, 180, 190, 260, 420, 680, 980, 1_240, 1_390, 1_420, 1_330, 1_380, 1_450, 1_460, 1_420,
    1_350, 1_270, 1_210, 1_130, 950, 700, 470,
];
/// A Saturday or Sunday, in thousandths of another day.
const WEEKEND: i64 = 560;
/// How much more comes on a great day, in thousandths.
const GREAT: i64 = 4_500;
/// Bad times of a service: which, how many seconds ago they began, how long they lasted.
const BAD_TIMES: [(Service, i64, i64); 5] = [
    (Service::Grpc, 5 * HOUR_S, 25 * 60),
    (Service::Graphql, 30 * HOUR_S, 40 * 60),
    (Service::Grpc, 6 * DAY_S, 2 * HOUR_S),
    (Service::Seal, 17 * DAY_S + 3 * HOUR_S, 3 * HOUR_S),
    (Service::Seal, 20 * HOUR_S, 12 * 60),
];

/// What became of the requests of a source in a window.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    /// Served within the guaranteed rate.
    pub(super) guaranteed: i64,
    /// Served above it.
    pub(super) burst: i64,
    /// Too many.
    pub(super) rate_limited: i64,
    /// From an address that is not on the list.
    pub(super) address_not_allowed: i64,
    /// Let through within the guaranteed rate, and not answered.
    pub(super) unserved_guaranteed: i64,
    /// The same above it.
    pub(super) unserved_burst: i64,
    /// Refused, and why.
    pub(super) refused: Vec<(Counter, i64)>,
    /// Of those that were served, with a status of 4xx.
    pub(super) client_errors: i64,
    /// The same with 5xx.
    pub(super) server_errors: i64,
    /// How long an answer takes now, in milliseconds.
    pub(super) middle_ms: i64,
}

impl Traffic {
    /// Of a source, in a window that lies before `now_s`.
    pub(super) fn of(
        source: &Source,
        start_s: i64,
        length_s: i64,
        now_s: i64,
        numbers: &mut Numbers,
    ) -> Self {
        let mut traffic = Self::nothing(source);
        let is_served = start_s >= source.from_s && start_s + length_s <= source.until_s;
        let busy = busy(source, start_s, now_s);
        if is_served {
            traffic.add_served(source, length_s, busy, numbers);
            let bad = bad_part(source.key.service, start_s, length_s, now_s);
            traffic.add_errors(source, bad, busy, numbers);
        }
        // Programs that nobody has told go on calling.
        let trickle = numbers.part(length_s * busy / 1_000, 3);
        if start_s >= source.until_s && trickle > 0 {
            traffic.refused.push((source.afterwards, trickle));
        } else if source.revoked_key_from_s.is_some_and(|from_s| start_s >= from_s) && trickle > 0 {
            traffic.refused.push((Counter::Revoked, trickle));
        }
        traffic
    }

    const fn nothing(source: &Source) -> Self {
        Self {
            guaranteed: 0,
            burst: 0,
            rate_limited: 0,
            address_not_allowed: 0,
            unserved_guaranteed: 0,
            unserved_burst: 0,
            refused: Vec::new(),
            client_errors: 0,
            server_errors: 0,
            middle_ms: latency::ordinary_ms(source.key.service),
        }
    }

    fn add_served(&mut self, source: &Source, length_s: i64, busy: i64, numbers: &mut Numbers) {
        let thousandths = source.milli_per_s * length_s * busy / 1_000 * numbers.between(700, 1_300) / 1_000;
        self.guaranteed = numbers.part(thousandths, 1);
        // A great day has more crowds, too.
        let great = if busy > GREAT / 2 { 6 } else { 1 };
        // In thousandths of what a day of seconds would have to bring for one: a minute must not be rounded to none.
        let (expected, one) = (source.crowds_a_day * great * busy * length_s, 1_000 * DAY_S);
        for _ in 0..expected / one + i64::from(numbers.below(one) < expected % one) {
            self.add_crowd(source, numbers);
        }
        if source.has_list {
            self.address_not_allowed = numbers.part(self.guaranteed, 2);
        }
    }

    /// Some seconds in which more come than is guaranteed.
    fn add_crowd(&mut self, source: &Source, numbers: &mut Numbers) {
        let seconds = numbers.between(1, 3);
        let guaranteed = i64::from(source.rates.guaranteed_per_s) * seconds;
        let times = if numbers.chance(150) { 4 } else { 1 };
        let over = guaranteed * numbers.between(50, 900) * times / 1_000;
        let burst = over.min(i64::from(source.rates.burst_per_s) * seconds);
        self.guaranteed += guaranteed;
        self.burst += burst;
        self.rate_limited += over - burst;
    }

    /// `bad` is how much of the window is bad, in thousandths.
    fn add_errors(&mut self, source: &Source, bad: i64, busy: i64, numbers: &mut Numbers) {
        self.unserved_guaranteed = numbers.part(self.guaranteed, bad * 40 / 1_000).min(self.guaranteed);
        self.guaranteed -= self.unserved_guaranteed;
        self.unserved_burst = numbers.part(self.burst, bad * 60 / 1_000).min(self.burst);
        self.burst -= self.unserved_burst;
        let served = self.guaranteed + self.burst;
        let own = 4 + i64::from(source.key.customer.get() % 17);
        self.client_errors = numbers.part(served, own).min(served);
        self.server_errors = numbers.part(served, 1 + bad * 140 / 1_000).min(served - self.client_errors);
        self.middle_ms = self.middle_ms * (900 + busy.min(2_000) / 8) / 1_000 * (1_000 + 4 * bad) / 1_000;
    }

    /// As the edge's ledger counts it.
    pub(super) fn counters(&self) -> Counters {
        let mut counters = [0; COUNTERS];
        let mut set = |counter: Counter, count: i64| {
            if let Some(place) = counters.get_mut(counter.number()) {
                *place += count.unsigned_abs();
            }
        };
        set(Counter::Admitted, self.admitted());
        set(Counter::Burst, self.burst + self.unserved_burst);
        set(Counter::UnservedGuaranteed, self.unserved_guaranteed);
        set(Counter::UnservedBurst, self.unserved_burst);
        set(Counter::RateLimited, self.rate_limited);
        set(Counter::AddressNotAllowed, self.address_not_allowed);
        for (counter, count) in &self.refused {
            set(*counter, *count);
        }
        Counters(counters)
    }

    /// Let through by the module, whatever came then.
    pub(super) const fn admitted(&self) -> i64 {
        self.guaranteed
            + self.burst
            + self.rate_limited
            + self.address_not_allowed
            + self.unserved_guaranteed
            + self.unserved_burst
    }

    /// As statistics of log lines have what was admitted, for each key that sent some.
    pub(super) fn by_key(
        &self,
        keys: &[UsedKey],
        length_s: i64,
        numbers: &mut Numbers,
    ) -> Vec<(u64, Counts)> {
        if self.admitted() == 0 {
            return Vec::new();
        }
        // A minute is one key's; in an hour each has its part, and the first what is left.
        let (first, others) = match keys {
            [] => return Vec::new(),
            [first, others @ ..] if length_s >= HOUR_S => (*first, others),
            [first, others @ ..] => (
                numbers.pick(others).filter(|_| numbers.chance(350)).copied().unwrap_or(*first),
                [].as_slice(),
            ),
        };
        let mut rest = self.clone();
        let mut rows = Vec::new();
        for key in others {
            let permille = numbers.between(120, 220);
            let guaranteed = self.guaranteed * permille / 1_000;
            let client_errors = (self.client_errors * permille / 1_000).min(guaranteed);
            if guaranteed == 0 {
                continue;
            }
            rest.guaranteed -= guaranteed;
            rest.client_errors -= client_errors;
            let part = Self { guaranteed, client_errors, ..self.none_of_it() };
            rows.push((key.fingerprint, part.counts(numbers)));
        }
        rows.push((first.fingerprint, rest.counts(numbers)));
        rows
    }

    const fn none_of_it(&self) -> Self {
        Self {
            guaranteed: 0,
            burst: 0,
            rate_limited: 0,
            address_not_allowed: 0,
            unserved_guaranteed: 0,
            unserved_burst: 0,
            refused: Vec::new(),
            client_errors: 0,
            server_errors: 0,
            middle_ms: self.middle_ms,
        }
    }

    fn counts(&self, numbers: &mut Numbers) -> Counts {
        let served = self.guaranteed + self.burst;
        let not_served = self.admitted() - served;
        Counts {
            guaranteed: self.guaranteed,
            burst: self.burst,
            rejected: self.rate_limited + self.address_not_allowed,
            refused: 0,
            unserved: self.unserved_guaranteed + self.unserved_burst,
            client_errors: self.client_errors,
            server_errors: self.server_errors,
            received_bytes: self.admitted() * numbers.between(380, 520),
            sent_bytes: served * numbers.between(1_400, 2_600) + not_served * 420,
            times: latency::many(served, self.middle_ms, numbers),
        }
    }

    /// What was refused, as statistics have it.
    pub(super) fn refused_counts(&self) -> Option<Counts> {
        let refused: i64 = self.refused.iter().map(|(_, count)| count).sum();
        (refused > 0).then(|| Counts {
            refused,
            received_bytes: refused * 310,
            sent_bytes: refused * 420,
            ..Counts::default()
        })
    }
}

/// How busy a source is, in thousandths of an ordinary hour.
fn busy(source: &Source, start_s: i64, now_s: i64) -> i64 {
    let there_s = start_s + source.zone_h * HOUR_S;
    let hour = usize::try_from(there_s.rem_euclid(DAY_S) / HOUR_S).unwrap_or(0);
    let by_hour = BUSY_BY_HOUR.get(hour).copied().unwrap_or(1_000);
    // The first day of 1970 was a Thursday.
    let is_weekend = matches!((there_s.div_euclid(DAY_S) + 4).rem_euclid(7), 0 | 6);
    let by_day = if is_weekend { WEEKEND } else { 1_000 };
    let is_great = source.great_day.is_some_and(|days| (now_s - start_s).div_euclid(DAY_S) == days);
    by_hour * by_day / 1_000 * if is_great { GREAT } else { 1_000 } / 1_000
}

/// How much of a window lies in a bad time of a service, in thousandths.
fn bad_part(service: Service, start_s: i64, length_s: i64, now_s: i64) -> i64 {
    let of_service = BAD_TIMES.iter().filter(|(of, _, _)| *of == service);
    let overlap = |ago_s: i64, lasted_s: i64| {
        let (begun_s, ended_s) = (now_s - ago_s, now_s - ago_s + lasted_s);
        (ended_s.min(start_s + length_s) - begun_s.max(start_s)).max(0)
    };
    of_service
        .map(|(_, ago_s, lasted_s)| overlap(*ago_s, *lasted_s) * 1_000 / length_s)
        .sum::<i64>()
        .min(1_000)
}
