//! The customers' API of a stack, as a customer's script calls it.

use crate::{Answer, Connection, Stack};
use serde_json::Value;
use std::process::Command;

/// Scopes that a script of a customer's can have.
const SCOPES: &str = "billing:read keys:read keys:write services:write usage:read";

/// A customer's script with a token.
pub struct CustomerApi<'a> {
    stack: &'a Stack,
    line: String,
}

impl<'a> CustomerApi<'a> {
    /// With a token as a session would make it: wallets sign in elsewhere (`controlplane/tests/suite/accounts`).
    pub fn of(stack: &'a Stack, customer: u32) -> Self {
        let text = format!("suiftly_api_{}", format!("{customer:08x}").repeat(8));
        let program = "import hashlib, sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], timeout=30)\n\
            digest = hashlib.sha256(sys.argv[3].encode()).hexdigest()\n\
            db.execute('INSERT INTO api_tokens VALUES (?, ?, ?, ?, ?, 0, 9999999999999, NULL, NULL, 1)',\n\
            \x20   (digest[:32], int(sys.argv[2]), 'script', digest, sys.argv[4]))\n\
            db.commit()\n";
        let status = Command::new("python3")
            .args(["-c", program])
            .arg(stack.state().join("suiftly.db"))
            .args([&customer.to_string(), &text, SCOPES])
            .status();
        assert!(status.unwrap().success());
        Self { stack, line: format!("Authorization: Bearer {text}") }
    }

    /// What the API answers; the path begins after `/api/v1/`.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut connection = Connection::open(self.stack.api.number()).unwrap();
        let mut lines = vec![self.line.as_str()];
        if !body.is_empty() {
            lines.push("Content-Type: application/json");
        }
        connection.send(method, &format!("/api/v1/{path}"), &lines, body.as_bytes()).unwrap()
    }

    /// The body of an answer that is as it should be.
    pub fn does(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.ask(method, path, body);
        assert!(matches!(answer.status, 200 | 201), "{method} {path} {body}: {answer:?}");
        answer.json()
    }
}
