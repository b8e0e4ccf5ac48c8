//! The made-up customers: tiers, services, keys, lists, and what has happened to them since they came.

mod life;

use crate::db::{Database, tiers};
use crate::domain::demo::numbers::Numbers;
use crate::domain::demo::{Made, Progress, wallet};
use crate::domain::{DomainError, Rates, Tier};
use apikey::Service;
use edgeformat::ledger::Counter;
use edgeformat::{Keyring, PolicyKey};
use std::net::IpAddr;

pub(super) const HOUR_MS: i64 = 3_600_000;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
/// How many there are.
const CUSTOMERS: u32 = 40;
/// How far apart a customer's services begin: so many keys can be made in between.
const SERVICES_APART_MS: i64 = 8 * HOUR_MS;

/// A key that sends requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsedKey {
    /// Its name.
    pub(super) fingerprint: u64,
    /// When it is used, unix seconds.
    pub(super) from_s: i64,
    /// Until when.
    pub(super) until_s: i64,
}

/// A customer's service as a source of traffic.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Whose and which.
    pub(super) key: PolicyKey,
    /// What it may.
    pub(super) rates: Rates,
    /// With which keys; the first that are in use have most of it.
    pub(super) keys: Vec<UsedKey>,
    /// From where.
    pub(super) clients: Vec<IpAddr>,
    /// Whether its addresses are checked.
    pub(super) has_list: bool,
    /// When it is served, unix seconds.
    pub(super) from_s: i64,
    /// Until when.
    pub(super) until_s: i64,
    /// Why it is refused then.
    pub(super) afterwards: Counter,
    /// Since when callers go on with a key that was revoked, unix seconds.
    pub(super) revoked_key_from_s: Option<i64>,
    /// How many requests come in a second of an ordinary hour, in thousandths.
    pub(super) milli_per_s: i64,
    /// How many sudden crowds come in a day.
    pub(super) crowds_a_day: i64,
    /// By how many hours its day is behind UTC.
    pub(super) zone_h: i64,
    /// How many days ago it had the day of its life.
    pub(super) great_day: Option<i64>,
}

/// What becomes of a customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Nothing in particular.
    Good,
    /// Has come in the last days.
    New,
    /// Suspended by an operator.
    Suspended,
    /// Left.
    Closed,
    /// Switched the service off.
    Disabled,
    /// An operator suspended the service.
    ServiceSuspended,
    /// Cancelled; still served.
    Cancelling,
}

/// What a customer is made from.
struct Plan {
    number: u32,
    tier: Tier,
    services: Vec<Service>,
    fate: Fate,
    came_ms: i64,
}

/// Something that happens to a customer. A service is named by its place among the customer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    SignIn,
    /// An operator credits some months.
    Credit,
    /// The owner sets a spending limit that leaves room.
    Limit,
    /// Subscribes, and pays out of the credit.
    Subscribe(usize),
    /// An operator's grant.
    Grant(usize, Tier),
    MakeKey(usize),
    /// The key that was made as which of the service's.
    RevokeKey(usize, usize),
    LetKeyExpire(usize, usize),
    /// The first key is replaced, and good for a day more.
    RotateKey(usize),
    CheckAddresses(usize),
    Disable(usize),
    SuspendService(usize),
    Cancel(usize),
    SuspendCustomer,
    Close,
}

/// Makes all of them, a transaction each event of their lives; answers who sends requests.
pub(super) fn make(
    database: &mut Database,
    keyring: &Keyring,
    numbers: &mut Numbers,
    now_ms: i64,
    made: &mut Made,
    progress: &mut Progress<'_>,
) -> Result<Vec<Source>, DomainError> {
    let mut sources = Vec::new();
    for number in 0..CUSTOMERS {
        progress("customers", number.into(), CUSTOMERS.into());
        let plan = plan(number, numbers, now_ms);
        let wallet = wallet(number).map_err(|error| DomainError::Refused(error.to_string()))?;
        let mut life = life::Life::begin(database, keyring, numbers, now_ms, &wallet, &plan)?;
        for (at_ms, event) in events(&plan, life.numbers, now_ms) {
            life.let_happen(event, at_ms)?;
        }
        made.customers += 1;
        for (place, (service, keys)) in plan.services.iter().zip(&life.keys).enumerate() {
            made.keys += keys.len() as u64;
            let key = PolicyKey { customer: life.customer, service: *service };
            sources.push(source(life.database, &plan, key, place, keys.clone(), life.numbers, now_ms)?);
        }
    }
    progress("customers", CUSTOMERS.into(), CUSTOMERS.into());
    Ok(sources)
}

fn plan(number: u32, numbers: &mut Numbers, now_ms: i64) -> Plan {
    let fate = match number {
        5 | 29 => Fate::Suspended,
        9 | 33 => Fate::Closed,
        12 | 26 => Fate::Disabled,
        15 | 35 => Fate::ServiceSuspended,
        18 | 28 => Fate::Cancelling,
        36..=39 => Fate::New,
        _ => Fate::Good,
    };
    let tier = match number % 8 {
        0 => Tier::Enterprise,
        1 | 4 | 6 => Tier::Pro,
        _ => Tier::Starter,
    };
    let first = match number % 5 {
        1 | 3 => Service::Grpc,
        4 => Service::Graphql,
        _ => Service::Seal,
    };
    // The first customer has everything; of the others a third has two.
    let services = match number {
        0 => Service::ALL.to_vec(),
        _ if number % 3 == 1 => {
            Service::ALL.into_iter().filter(|of| *of == first || *of == Service::Seal).collect()
        }
        _ => vec![first],
    };
    let days = match fate {
        Fate::New => numbers.between(2, 6),
        _ if number == 0 => 190,
        _ => numbers.between(33, 240),
    };
    Plan { number, tier, services, fate, came_ms: now_ms - days * DAY_MS - numbers.below(DAY_MS) }
}

impl Plan {
    /// When a service begins, unix milliseconds.
    fn begun_ms(&self, place: usize) -> i64 {
        self.came_ms + HOUR_MS + i64::try_from(place).unwrap_or(0) * SERVICES_APART_MS
    }

    /// How many keys a service gets at first.
    const fn keys(&self) -> usize {
        match self.tier {
            Tier::Starter => 1,
            Tier::Pro => 2,
            Tier::Enterprise => 3,
        }
    }

    /// Whether more than the ordinary happens to a service.
    const fn is_eventful(&self, place: usize) -> bool {
        self.number == 0 || place == 0
    }

    const fn has_list(&self, place: usize) -> bool {
        self.is_eventful(place) && !matches!(self.tier, Tier::Starter) && self.number.is_multiple_of(2)
    }

    const fn revokes(&self, place: usize) -> bool {
        self.is_eventful(place) && self.number.is_multiple_of(3)
    }

    /// What becomes of a service. Only what was paid for is cancelled at the end of something.
    const fn fate_of(&self, place: usize) -> Fate {
        match self.fate {
            Fate::Cancelling if place > 0 => Fate::Good,
            fate => fate,
        }
    }

    /// Until when a service is served, unix milliseconds, and why it is refused then.
    const fn end_of(&self, place: usize, now_ms: i64) -> (i64, Counter) {
        match self.fate_of(place) {
            Fate::Good | Fate::New | Fate::Cancelling => (i64::MAX, Counter::Disabled),
            Fate::Suspended => (now_ms - 12 * DAY_MS, Counter::CustomerSuspended),
            Fate::Closed => (now_ms - 9 * DAY_MS, Counter::Revoked),
            Fate::Disabled => (now_ms - 4 * DAY_MS, Counter::Disabled),
            Fate::ServiceSuspended => (now_ms - 2 * DAY_MS, Counter::SuspendedOperator),
        }
    }

    /// When a key is revoked with which callers go on: no two in the same hour.
    fn revoked_ms(&self, place: usize, now_ms: i64) -> i64 {
        let apart_ms = i64::try_from(place).unwrap_or(0) * 5 * HOUR_MS / 3;
        (now_ms - 14 * DAY_MS + apart_ms).max(self.begun_ms(place) + DAY_MS)
    }
}

/// What happens to a customer, in order.
fn events(plan: &Plan, numbers: &mut Numbers, now_ms: i64) -> Vec<(i64, Event)> {
    let mut events = Vec::new();
    let mut sign_in_ms = plan.came_ms;
    while sign_in_ms < plan.end_of(0, now_ms).0.min(now_ms) {
        events.push((sign_in_ms, Event::SignIn));
        sign_in_ms += numbers.between(4 * DAY_MS, 40 * DAY_MS);
    }
    for place in 0..plan.services.len() {
        events.extend(events_of(plan, place, numbers, now_ms));
    }
    match plan.fate {
        Fate::Suspended => events.push((plan.end_of(0, now_ms).0, Event::SuspendCustomer)),
        Fate::Closed => events.push((plan.end_of(0, now_ms).0, Event::Close)),
        _ => {}
    }
    // As they were pushed, where two are in the same moment.
    events.sort_by_key(|(at_ms, _)| *at_ms);
    events
}

fn events_of(plan: &Plan, place: usize, numbers: &mut Numbers, now_ms: i64) -> Vec<(i64, Event)> {
    let begun_ms = plan.begun_ms(place);
    let mut events = Vec::new();
    // Two of three pay for their first service; everything else was granted.
    if place == 0 && (plan.number % 3 != 2 || plan.fate == Fate::Cancelling) {
        events.push((begun_ms - HOUR_MS / 2, Event::Credit));
        events.push((begun_ms - HOUR_MS / 3, Event::Limit));
        events.push((begun_ms, Event::Subscribe(place)));
    } else {
        // Some began smaller.
        let small = numbers.chance(300) && plan.tier != Tier::Starter;
        events.extend(small.then_some((begun_ms - HOUR_MS / 4, Event::Grant(place, Tier::Starter))));
        events.push((begun_ms, Event::Grant(place, plan.tier)));
    }
    let mut made_ms = begun_ms;
    for _ in 0..plan.keys() + usize::from(plan.revokes(place)) {
        made_ms += HOUR_MS;
        events.push((made_ms, Event::MakeKey(place)));
    }
    if plan.revokes(place) {
        events.push((plan.revoked_ms(place, now_ms), Event::RevokeKey(place, plan.keys())));
    }
    if plan.has_list(place) {
        events.push(((begun_ms + 2 * DAY_MS).min(now_ms - HOUR_MS), Event::CheckAddresses(place)));
    }
    let is_served = plan.end_of(place, now_ms).0 > now_ms;
    if is_served && plan.is_eventful(place) && plan.number.is_multiple_of(5) {
        let at_ms = (now_ms - 3 * DAY_MS + numbers.below(HOUR_MS)).max(made_ms + HOUR_MS);
        events.push((at_ms, Event::LetKeyExpire(place, plan.keys() - 1)));
    }
    if is_served && plan.is_eventful(place) && plan.number.is_multiple_of(4) {
        events.push((now_ms - 10 * HOUR_MS + numbers.below(HOUR_MS), Event::RotateKey(place)));
    }
    let (end_ms, _) = plan.end_of(place, now_ms);
    match plan.fate_of(place) {
        Fate::Disabled => events.push((end_ms, Event::Disable(place))),
        Fate::ServiceSuspended => events.push((end_ms, Event::SuspendService(place))),
        Fate::Cancelling => events.push((now_ms - HOUR_MS, Event::Cancel(place))),
        Fate::Good | Fate::New | Fate::Suspended | Fate::Closed => {}
    }
    events
}

/// A service as a source of traffic.
fn source(
    database: &mut Database,
    plan: &Plan,
    key: PolicyKey,
    place: usize,
    keys: Vec<UsedKey>,
    numbers: &mut Numbers,
    now_ms: i64,
) -> Result<Source, DomainError> {
    let rates = database.read(|tx| tiers::terms_at(tx, plan.tier, now_ms))?.rates;
    let (until_ms, afterwards) = plan.end_of(place, now_ms);
    let has_list = plan.has_list(place);
    Ok(Source {
        key,
        rates,
        keys,
        clients: life::clients(has_list, numbers),
        has_list,
        from_s: plan.begun_ms(place) / 1_000 + 3_660,
        until_s: until_ms / 1_000,
        afterwards,
        revoked_key_from_s: plan.revokes(place).then(|| plan.revoked_ms(place, now_ms) / 1_000),
        milli_per_s: match plan.tier {
            Tier::Starter => numbers.between(2, 18),
            Tier::Pro => numbers.between(50, 380),
            Tier::Enterprise => numbers.between(450, 900),
        },
        crowds_a_day: numbers.between(0, 3) + i64::from(plan.number == 0),
        zone_h: numbers.between(-9, 8),
        great_day: (plan.number % 6 == 4).then(|| numbers.between(3, 24)),
    })
}
