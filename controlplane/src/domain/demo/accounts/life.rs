//! What happens to a made-up customer, by the rules that true ones obey, each at its moment.

use super::{DAY_MS, Fate, HOUR_MS, UsedKey};
use crate::db::Database;
use crate::domain::activity::{Action, Actor, ActorKind, note};
use crate::domain::allowlists::{self, ListChange};
use crate::domain::demo::numbers::Numbers;
use crate::domain::gate::{CreditBalance, Declined};
use crate::domain::keys::{KeyName, NewKey};
use crate::domain::revocations::{RevocableFingerprint, revoke};
use crate::domain::services::subscriptions::{self, Refusal, SubscriptionError};
use crate::domain::services::{Move, make_move};
use crate::domain::{
    DomainError, RevocationSource, Tier, WalletAddress, credit, customer_status, customers, gate, key_life,
    keys, sessions,
};
use apikey::{CustomerId, Fingerprint, Version};
use edgeformat::ledger::Counter;
use edgeformat::{Keyring, PolicyKey};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What operators credit at first: some months of any tier.
const CREDIT_CENTS: [i64; 4] = [50_000, 75_000, 100_000, 120_000];
const KEY_NAMES: [&str; 8] =
    ["production", "staging", "mobile app", "backend eu", "backend us", "CI", "nightly jobs", "load test"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
    "curl/8.5.0",
];

/// Where it all is made.
pub(super) struct Life<'l> {
    pub(super) database: &'l mut Database,
    pub(super) keyring: &'l Keyring,
    pub(super) numbers: &'l mut Numbers,
    pub(super) now_ms: i64,
    /// How many keys were made.
    pub(super) keys: u64,
}

impl Life<'_> {
    /// The wallet comes and signs in, then and some times since.
    pub(super) fn begin(&mut self, wallet: &WalletAddress, came_ms: i64) -> Result<CustomerId, DomainError> {
        let source = self.office();
        self.database.act_as(owner("", &source));
        let customer = customers::create(self.database, wallet, came_ms)?.customer;
        let mut moment_ms = came_ms;
        while moment_ms < self.now_ms {
            self.sign_in(customer, &source, moment_ms)?;
            moment_ms += self.numbers.between(4 * DAY_MS, 40 * DAY_MS);
        }
        Ok(customer)
    }

    fn sign_in(&mut self, customer: CustomerId, source: &str, at_ms: i64) -> Result<(), DomainError> {
        let agent = self.numbers.pick(&AGENTS).copied().unwrap_or_default();
        self.database.write(|tx| {
            let granted = sessions::begin(tx, customer, source, agent, at_ms)?;
            let session = granted.session.session_id;
            tx.act_as(owner(&session, source));
            note(tx, customer, Action::SignedIn, &json!({ "session_id": session }), at_ms)?;
            Ok(())
        })
    }

    /// Credit comes, and a limit that lets the customer have what it wants.
    pub(super) fn pay_in(&mut self, customer: CustomerId, at_ms: i64) -> Result<(), DomainError> {
        self.as_operator();
        let amount_cents = self.numbers.pick(&CREDIT_CENTS).copied().unwrap_or(50_000);
        credit::grant(self.database, customer, amount_cents, at_ms)?;
        self.as_owner();
        gate::set_spending_limit(self.database, customer, 100_000, at_ms)?;
        Ok(())
    }

    /// Subscribes and pays out of the credit.
    pub(super) fn subscribe(&mut self, key: PolicyKey, tier: Tier, at_ms: i64) -> Result<(), DomainError> {
        self.as_owner();
        let subscribed =
            self.database.write(|tx| subscriptions::subscribe(tx, key, tier, true, &CreditBalance, at_ms));
        subscribed.map(drop).map_err(plain)
    }

    /// An operator's grant; some began smaller.
    pub(super) fn grant(&mut self, key: PolicyKey, tier: Tier, at_ms: i64) -> Result<(), DomainError> {
        self.as_operator();
        let mut at_ms = at_ms;
        if tier != Tier::Starter && self.numbers.chance(300) {
            make_move(self.database, key, Move::Enable(Some(Tier::Starter)), at_ms)?;
            at_ms += HOUR_MS / 2;
        }
        make_move(self.database, key, Move::Enable(Some(tier)), at_ms)?;
        Ok(())
    }

    pub(super) fn make_key(&mut self, key: PolicyKey, at_ms: i64) -> Result<UsedKey, DomainError> {
        self.as_owner();
        let name = self.numbers.pick(&KEY_NAMES).and_then(|name| KeyName::new(name)).unwrap_or_default();
        let new = NewKey { key, version: Version::V1, name, expires_at_s: None, by_owner: true };
        let issued = keys::create(self.database, self.keyring, &new, at_ms)?;
        self.keys += 1;
        Ok(UsedKey {
            fingerprint: issued.row.fingerprint.get(),
            from_s: at_ms / 1_000 + 60,
            until_s: i64::MAX,
        })
    }

    /// Makes one more key, which is revoked so long before now; callers go on with it. Answers from when on, unix seconds.
    pub(super) fn revoke_one(
        &mut self,
        key: PolicyKey,
        made_ms: i64,
        ago_ms: i64,
        keys: &mut Vec<UsedKey>,
    ) -> Result<i64, DomainError> {
        let used = self.make_key(key, made_ms)?;
        let at_ms = (self.now_ms - ago_ms).max(made_ms + HOUR_MS);
        let fingerprint = RevocableFingerprint::try_from(Fingerprint::from_u64(used.fingerprint))
            .map_err(|error| DomainError::Refused(error.to_string()))?;
        revoke(self.database, &[fingerprint], RevocationSource::Operator, at_ms)?;
        keys.push(UsedKey { until_s: at_ms / 1_000, ..used });
        Ok(at_ms / 1_000)
    }

    /// The last key gets an end some weeks ahead.
    pub(super) fn let_one_expire(&mut self, keys: &[UsedKey]) -> Result<(), DomainError> {
        let Some(used) = keys.iter().rev().find(|used| used.until_s == i64::MAX) else { return Ok(()) };
        let at_s = u64::try_from((self.now_ms + 20 * DAY_MS) / 1_000).unwrap_or(0);
        self.as_owner();
        let fingerprint = Fingerprint::from_u64(used.fingerprint);
        key_life::expire(self.database, fingerprint, Some(at_s), self.now_ms - 3 * DAY_MS)?;
        Ok(())
    }

    /// The first key was replaced ten hours ago, and is good for fourteen more.
    pub(super) fn rotate_one(&mut self, keys: &mut Vec<UsedKey>) -> Result<(), DomainError> {
        let Some(first) = keys.first_mut() else { return Ok(()) };
        let at_ms = self.now_ms - 10 * HOUR_MS;
        self.as_owner();
        let fingerprint = Fingerprint::from_u64(first.fingerprint);
        let (issued, _) = key_life::rotate(self.database, self.keyring, fingerprint, 24 * 3_600, at_ms)?;
        self.keys += 1;
        // Its caller changed over six hours later.
        let changed_s = at_ms / 1_000 + 6 * 3_600;
        first.until_s = changed_s;
        let fingerprint = issued.row.fingerprint.get();
        keys.insert(0, UsedKey { fingerprint, from_s: changed_s, until_s: i64::MAX });
        Ok(())
    }

    pub(super) fn check_addresses(&mut self, key: PolicyKey, at_ms: i64) -> Result<(), DomainError> {
        let list = ["198.51.100.0/24", "203.0.113.7", "2001:db8:30::/48"];
        let prefixes = list.iter().filter_map(|text| text.parse().ok()).collect();
        self.as_owner();
        let at_ms = at_ms.min(self.now_ms);
        allowlists::change(self.database, key, &ListChange::Set(prefixes), Some(true), at_ms)?;
        Ok(())
    }

    /// What the fate does to the service: until when it is served, unix milliseconds, and why it is refused then.
    pub(super) fn change_service(
        &mut self,
        key: PolicyKey,
        fate: Fate,
    ) -> Result<(i64, Counter), DomainError> {
        let ago = |days: i64| self.now_ms - days * DAY_MS;
        match fate {
            Fate::Good | Fate::New => Ok((i64::MAX, Counter::Disabled)),
            Fate::Suspended => Ok((ago(12), Counter::CustomerSuspended)),
            Fate::Closed => Ok((ago(9), Counter::Revoked)),
            Fate::Disabled => {
                let at_ms = ago(4);
                self.as_operator();
                make_move(self.database, key, Move::Disable, at_ms)?;
                Ok((at_ms, Counter::Disabled))
            }
            Fate::ServiceSuspended => {
                let at_ms = ago(2);
                self.as_operator();
                make_move(self.database, key, Move::Suspend, at_ms)?;
                Ok((at_ms, Counter::SuspendedOperator))
            }
            Fate::Cancelling => {
                let at_ms = self.now_ms - HOUR_MS;
                self.as_owner();
                self.database.write(|tx| subscriptions::cancel(tx, key, at_ms)).map_err(plain)?;
                Ok((i64::MAX, Counter::Disabled))
            }
        }
    }

    /// What the fate does to the customer.
    pub(super) fn end(&mut self, customer: CustomerId, fate: Fate) -> Result<(), DomainError> {
        match fate {
            Fate::Suspended => {
                self.as_operator();
                customer_status::suspend(self.database, customer, self.now_ms - 12 * DAY_MS)?;
            }
            Fate::Closed => {
                self.as_owner();
                customer_status::close(self.database, customer, self.now_ms - 9 * DAY_MS)?;
            }
            Fate::Good | Fate::New | Fate::Disabled | Fate::ServiceSuspended | Fate::Cancelling => {}
        }
        Ok(())
    }

    /// From where a service's callers come: addresses for documentation, which are on the list where there is one.
    pub(super) fn clients(&mut self, has_list: bool) -> Vec<IpAddr> {
        let mut host = |first| u8::try_from(self.numbers.between(first, 250)).unwrap_or(1);
        let listed = IpAddr::V4(Ipv4Addr::new(198, 51, 100, host(2)));
        let six = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x30, 0, 0, 0, 0, host(1).into()));
        let free = IpAddr::V4(Ipv4Addr::new(203, 0, 113, host(8)));
        if has_list { vec![listed, six] } else { vec![listed, free, six] }
    }

    fn office(&mut self) -> String {
        Ipv4Addr::new(192, 0, 2, u8::try_from(self.numbers.between(2, 250)).unwrap_or(2)).to_string()
    }

    fn as_owner(&mut self) {
        let source = self.office();
        self.database.act_as(owner("", &source));
    }

    fn as_operator(&mut self) {
        self.database.act_as(Actor::operator("demo-operator", None));
    }
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
