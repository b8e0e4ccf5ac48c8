//! What happens to a made-up customer, by the rules that true ones obey, each at its moment.

use super::{DAY_MS, Event, Plan, UsedKey};
use crate::db::{Database, WriteTx};
use crate::domain::activity::{Action, Actor, ActorKind, note};
use crate::domain::allowlists::{self, ListChange};
use crate::domain::demo::numbers::Numbers;
use crate::domain::gate::{CreditBalance, Declined};
use crate::domain::keys::{KeyName, NewKey};
use crate::domain::services::subscriptions::{self, Refusal, SubscriptionError};
use crate::domain::services::{Move, make_move};
use crate::domain::{
    DomainError, WalletAddress, credit, customer_status, customers, gate, key_life, keys, sessions,
};
use apikey::{CustomerId, Fingerprint, Version};
use edgeformat::{Keyring, PolicyKey};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What operators credit at first: some months of any tier.
const CREDIT_CENTS: [i64; 4] = [50_000, 75_000, 100_000, 120_000];
/// What the first month of any tier and an upgrade or two fit into.
const LIMIT_CENTS: i64 = 100_000;
const KEY_NAMES: [&str; 8] =
    ["production", "staging", "mobile app", "backend eu", "backend us", "CI", "nightly jobs", "load test"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
    "curl/8.5.0",
];

/// A customer, and where all of it is made.
pub(super) struct Life<'l> {
    pub(super) database: &'l mut Database,
    pub(super) numbers: &'l mut Numbers,
    pub(super) customer: CustomerId,
    /// The keys of each service, by its place.
    pub(super) keys: Vec<Vec<UsedKey>>,
    keyring: &'l Keyring,
    plan: &'l Plan,
    now_ms: i64,
}

impl<'l> Life<'l> {
    /// The wallet comes.
    pub(super) fn begin(
        database: &'l mut Database,
        keyring: &'l Keyring,
        numbers: &'l mut Numbers,
        now_ms: i64,
        wallet: &WalletAddress,
        plan: &'l Plan,
    ) -> Result<Self, DomainError> {
        database.act_as(owner("", &office(numbers)));
        let customer = customers::create(database, wallet, plan.came_ms)?.customer;
        let keys = vec![Vec::new(); plan.services.len()];
        Ok(Self { database, numbers, customer, keys, keyring, plan, now_ms })
    }

    /// What happens, by the rule that it would obey for anybody.
    pub(super) fn let_happen(&mut self, event: Event, at_ms: i64) -> Result<(), DomainError> {
        match event {
            Event::Credit
            | Event::Grant(..)
            | Event::Disable(_)
            | Event::SuspendService(_)
            | Event::SuspendCustomer => self.database.act_as(Actor::operator("demo-operator", None)),
            _ => self.database.act_as(owner("", &office(self.numbers))),
        }
        let customer = self.customer;
        match event {
            Event::SignIn => self.sign_in(at_ms),
            Event::Credit => {
                let amount_cents = self.numbers.pick(&CREDIT_CENTS).copied().unwrap_or(50_000);
                credit::grant(self.database, customer, amount_cents, at_ms).map(drop)
            }
            Event::Limit => gate::set_spending_limit(self.database, customer, LIMIT_CENTS, at_ms).map(drop),
            Event::Subscribe(place) => {
                let (key, tier) = (self.key(place)?, self.plan.tier);
                let subscribe = |tx: &mut WriteTx<'_>| {
                    subscriptions::subscribe(tx, key, tier, true, &CreditBalance, at_ms)
                };
                self.database.write(subscribe).map(drop).map_err(plain)
            }
            Event::Grant(place, tier) => self.make_move(place, Move::Enable(Some(tier)), at_ms),
            Event::MakeKey(place) => self.make_key(place, at_ms),
            Event::RevokeKey(place, number) => self.revoke_key(place, number, at_ms),
            Event::LetKeyExpire(place, number) => self.let_key_expire(place, number, at_ms),
            Event::RotateKey(place) => self.rotate_key(place, at_ms),
            Event::CheckAddresses(place) => {
                let list = ["198.51.100.0/24", "203.0.113.7", "2001:db8:30::/48"];
                let prefixes = list.iter().filter_map(|text| text.parse().ok()).collect();
                let key = self.key(place)?;
                allowlists::change(self.database, key, &ListChange::Set(prefixes), Some(true), at_ms)
                    .map(drop)
            }
            Event::Disable(place) => self.make_move(place, Move::Disable, at_ms),
            Event::SuspendService(place) => self.make_move(place, Move::Suspend, at_ms),
            Event::Cancel(place) => {
                let key = self.key(place)?;
                let cancelled = self.database.write(|tx| subscriptions::cancel(tx, key, at_ms));
                cancelled.map(drop).map_err(plain)
            }
            Event::SuspendCustomer => customer_status::suspend(self.database, customer, at_ms).map(drop),
            Event::Close => customer_status::close(self.database, customer, at_ms).map(drop),
        }
    }

    fn key(&self, place: usize) -> Result<PolicyKey, DomainError> {
        let service = self.plan.services.get(place).copied();
        let service = service.ok_or_else(|| DomainError::Refused(format!("there is no service {place}")))?;
        Ok(PolicyKey { customer: self.customer, service })
    }

    fn sign_in(&mut self, at_ms: i64) -> Result<(), DomainError> {
        let (customer, source) = (self.customer, office(self.numbers));
        let agent = self.numbers.pick(&AGENTS).copied().unwrap_or_default();
        self.database.write(|tx| {
            let granted = sessions::begin(tx, customer, &source, agent, at_ms)?;
            let session = granted.session.session_id;
            tx.act_as(owner(&session, &source));
            note(tx, customer, Action::SignedIn, &json!({ "session_id": session }), at_ms)?;
            Ok(())
        })
    }

    fn make_move(&mut self, place: usize, wanted: Move, at_ms: i64) -> Result<(), DomainError> {
        let key = self.key(place)?;
        make_move(self.database, key, wanted, at_ms).map(drop)
    }

    fn make_key(&mut self, place: usize, at_ms: i64) -> Result<(), DomainError> {
        let name = self.numbers.pick(&KEY_NAMES).and_then(|name| KeyName::new(name)).unwrap_or_default();
        let key = self.key(place)?;
        let new = NewKey {
            key,
            version: Version::V1,
            name,
            expires_at_s: None,
            by_owner: true,
            replaces_another: false,
        };
        let issued = keys::create(self.database, self.keyring, &new, at_ms)?;
        let fingerprint = issued.row.fingerprint.get();
        let used = UsedKey { fingerprint, from_s: at_ms / 1_000 + 60, until_s: i64::MAX };
        if let Some(keys) = self.keys.get_mut(place) {
            keys.push(used);
        }
        Ok(())
    }

    fn used(&mut self, place: usize, number: usize) -> Result<&mut UsedKey, DomainError> {
        let used = self.keys.get_mut(place).and_then(|keys| keys.get_mut(number));
        used.ok_or_else(|| DomainError::Refused(format!("service {place} has no key {number}")))
    }

    fn revoke_key(&mut self, place: usize, number: usize, at_ms: i64) -> Result<(), DomainError> {
        let used = self.used(place, number)?;
        used.until_s = at_ms / 1_000;
        let fingerprint = Fingerprint::from_u64(used.fingerprint);
        let revoked = self.database.write(|tx| key_life::revoke_one_in(tx, fingerprint, at_ms));
        Ok(revoked.map(drop)?)
    }

    /// It gets an end some weeks ahead.
    fn let_key_expire(&mut self, place: usize, number: usize, at_ms: i64) -> Result<(), DomainError> {
        let fingerprint = Fingerprint::from_u64(self.used(place, number)?.fingerprint);
        let end_s = u64::try_from((self.now_ms + 20 * DAY_MS) / 1_000).unwrap_or(0);
        key_life::expire(self.database, fingerprint, Some(end_s), at_ms).map(drop)
    }

    fn rotate_key(&mut self, place: usize, at_ms: i64) -> Result<(), DomainError> {
        // Its caller changes over six hours later.
        let changed_s = at_ms / 1_000 + 6 * 3_600;
        let used = self.used(place, 0)?;
        used.until_s = changed_s;
        let fingerprint = Fingerprint::from_u64(used.fingerprint);
        let (issued, _) = key_life::rotate(self.database, self.keyring, fingerprint, 24 * 3_600, at_ms)?;
        let fingerprint = issued.row.fingerprint.get();
        let new = UsedKey { fingerprint, from_s: changed_s, until_s: i64::MAX };
        if let Some(keys) = self.keys.get_mut(place) {
            keys.insert(0, new);
        }
        Ok(())
    }
}

/// From where a service's callers come: addresses for documentation, which are on the list where there is one.
pub(super) fn clients(has_list: bool, numbers: &mut Numbers) -> Vec<IpAddr> {
    let mut host = |first| u8::try_from(numbers.between(first, 250)).unwrap_or(1);
    let listed = IpAddr::V4(Ipv4Addr::new(198, 51, 100, host(2)));
    let six = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x30, 0, 0, 0, 0, host(1).into()));
    let free = IpAddr::V4(Ipv4Addr::new(203, 0, 113, host(8)));
    if has_list { vec![listed, six] } else { vec![listed, free, six] }
}

/// From where an owner looks after the account.
fn office(numbers: &mut Numbers) -> String {
    Ipv4Addr::new(192, 0, 2, u8::try_from(numbers.between(2, 250)).unwrap_or(2)).to_string()
}

fn owner(session: &str, source: &str) -> Actor {
    Actor {
        kind: ActorKind::Wallet,
        name: session.to_owned(),
        source: Some(source.to_owned()),
        request_id: None,
    }
}

/// A refusal as text: it would be a fault of this plan of lives.
fn plain(error: SubscriptionError) -> DomainError {
    match error {
        SubscriptionError::Domain(error) => error,
        SubscriptionError::Refused(refusal) => {
            let what = match refusal {
                Refusal::Declined(Declined::SpendingLimitExceeded { .. }) => {
                    "beyond the spending limit".to_owned()
                }
                other => format!("{other:?}"),
            };
            DomainError::Refused(format!("a demo customer cannot have its service: {what}"))
        }
    }
}
