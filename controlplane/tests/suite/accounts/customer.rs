//! A customer that is signed in, and what it does with its services and keys.

use super::server::{Answer, Sending, Server};
use super::wallet::{Session, Wallet};
use apikey::CustomerId;
use controlplane::domain::credit;
use serde_json::{Value, json};

pub(crate) struct Customer<'a> {
    pub(crate) server: &'a Server,
    wallet: u8,
    pub(crate) session: Session,
    pub(crate) id: CustomerId,
}

impl<'a> Customer<'a> {
    pub(crate) fn new(server: &'a Server, wallet: u8) -> Self {
        let session = Wallet::new(wallet).sign_in(server);
        let account = server.to("GET", "/api/v1/account").bearer(&session.access).send().with(200);
        let id = u32::try_from(account["customer_id"].as_u64().unwrap()).unwrap();
        Self { server, wallet, session, id: CustomerId::new(id).unwrap() }
    }

    pub(crate) fn with_credit(server: &'a Server, wallet: u8, cents: i64) -> Self {
        let customer = Self::new(server, wallet);
        customer.credit(cents);
        customer
    }

    pub(crate) fn credit(&self, cents: i64) {
        credit::grant(&mut self.server.database(), self.id, cents, self.server.clock.now_ms()).unwrap();
    }

    pub(crate) fn balance(&self) -> i64 {
        credit::show(&mut self.server.database(), self.id).unwrap().balance_cents
    }

    /// Moves the clock, and signs in again, since no access token lives that long.
    pub(crate) fn wait_s(&mut self, seconds: u64) {
        self.server.advance_s(seconds);
        self.session = Wallet::new(self.wallet).sign_in(self.server);
    }

    pub(crate) fn to(&self, method: &str, path: &str) -> Sending {
        self.server.to(method, &format!("/api/v1{path}")).bearer(&self.session.access)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.to("GET", path).send()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.to("POST", path).json(body).send()
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.to("PATCH", path).json(body).send()
    }

    pub(crate) fn subscribe(&self, service: &str, tier: &str) -> Answer {
        self.post("/services", &json!({ "service": service, "tier": tier }))
    }

    pub(crate) fn key(&self, service: &str) -> Answer {
        self.post(&format!("/services/{service}/keys"), &json!({}))
    }

    pub(crate) fn keys(&self, service: &str) -> Vec<Value> {
        let listed = self.get(&format!("/services/{service}/keys")).with(200);
        listed["items"].as_array().unwrap().clone()
    }
}
