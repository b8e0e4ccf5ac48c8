//! The made-up customers: tiers, services, keys, lists, and what has happened to them since they came.

mod life;

use crate::db::{Database, tiers};
use crate::domain::demo::numbers::Numbers;
use crate::domain::demo::{Made, Progress, wallet};
use crate::domain::{DomainError, Rates, Tier};
use apikey::{CustomerId, Service};
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

/// Makes all of them, a transaction each step of their lives; answers who sends requests.
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
        let mut life = life::Life { database, keyring, numbers, now_ms, keys: 0 };
        let customer = life.begin(&wallet, plan.came_ms)?;
        for (place, service) in plan.services.iter().enumerate() {
            sources.push(live(&mut life, &plan, customer, *service, place)?);
        }
        life.end(customer, plan.fate)?;
        made.customers += 1;
        made.keys += life.keys;
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

/// A service from its beginning to now.
fn live(
    life: &mut life::Life<'_>,
    plan: &Plan,
    customer: CustomerId,
    service: Service,
    place: usize,
) -> Result<Source, DomainError> {
    let key = PolicyKey { customer, service };
    let number = plan.number;
    let begun_ms = plan.came_ms + HOUR_MS + i64::try_from(place).unwrap_or(0) * SERVICES_APART_MS;
    // Two of three pay for their first service; everything else was granted.
    if place == 0 && (number % 3 != 2 || plan.fate == Fate::Cancelling) {
        life.pay_in(customer, begun_ms - HOUR_MS / 2)?;
        life.subscribe(key, plan.tier, begun_ms)?;
    } else {
        life.grant(key, plan.tier, begun_ms)?;
    }
    let rates = life.database.read(|tx| tiers::terms_at(tx, plan.tier, life.now_ms))?.rates;
    let keys_at_first = match plan.tier {
        Tier::Starter => 1,
        Tier::Pro => 2,
        Tier::Enterprise => 3,
    };
    let mut keys = Vec::new();
    for turn in 0..keys_at_first {
        keys.push(life.make_key(key, begun_ms + (turn + 1) * HOUR_MS)?);
    }
    let is_rich = number == 0 || place == 0;
    let revoked_key_from_s = match is_rich && number % 3 == 0 {
        true => Some(life.revoke_one(key, begun_ms + DAY_MS, 6 * DAY_MS, &mut keys)?),
        false => None,
    };
    if is_rich && number % 5 == 0 {
        life.let_one_expire(&keys)?;
    }
    if is_rich && number % 4 == 0 && plan.fate == Fate::Good {
        life.rotate_one(&mut keys)?;
    }
    let has_list = is_rich && plan.tier != Tier::Starter && number % 2 == 0;
    if has_list {
        life.check_addresses(key, begun_ms + 2 * DAY_MS)?;
    }
    // Only what was paid for is cancelled at the end of something.
    let fate = if place > 0 && plan.fate == Fate::Cancelling { Fate::Good } else { plan.fate };
    let (until_ms, afterwards) = life.change_service(key, fate)?;
    let milli_per_s = match plan.tier {
        Tier::Starter => life.numbers.between(2, 18),
        Tier::Pro => life.numbers.between(50, 380),
        Tier::Enterprise => life.numbers.between(450, 900),
    };
    Ok(Source {
        key,
        rates,
        keys,
        clients: life.clients(has_list),
        has_list,
        from_s: begun_ms / 1_000 + 3_600,
        until_s: until_ms / 1_000,
        afterwards,
        revoked_key_from_s,
        milli_per_s,
        crowds_a_day: life.numbers.between(0, 3) + i64::from(number == 0),
        zone_h: life.numbers.between(-9, 8),
        great_day: (number % 6 == 4).then(|| life.numbers.between(3, 24)),
    })
}
