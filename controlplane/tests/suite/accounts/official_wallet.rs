//! Signatures of the official npm library `@mysten/sui`.

use super::server::Server;
use crate::harness::Backend;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that signs.
struct OfficialWallet {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl OfficialWallet {
    /// None where there is no Node.
    fn start() -> Option<Self> {
        if Command::new("node").arg("--version").output().is_err() {
            eprintln!(
                "NOT RUN: this test signs with the official npm library, and `node` is not installed here"
            );
            return None;
        }
        let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
        let folder = target.join("wallet");
        assert!(
            folder.join("node_modules/@mysten/sui").is_dir(),
            "{} lacks the library; `scripts/test` installs it, or by hand: . scripts/lib/node.sh, then require_test_wallet",
            folder.display()
        );
        // Node finds libraries from where the script lies.
        std::fs::copy(workspace.join("tests/wallet/sign.mjs"), folder.join("sign.mjs")).unwrap();
        let mut child = Command::new("node")
            .arg(folder.join("sign.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.stdin, "{question}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for OfficialWallet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn signatures_of_the_official_library_sign_in_by_every_scheme() {
    let Some(mut wallet) = OfficialWallet::start() else { return };
    let server = Server::on(Backend::Sqlite);
    for (scheme, status, code) in [
        ("ed25519", 200, None),
        ("secp256k1", 200, None),
        ("secp256r1", 200, None),
        ("multisig 2 of 3", 200, None),
        ("multisig 1 of 3", 401, Some("multisig_below_threshold")),
    ] {
        let address = wallet.ask(&json!({ "scheme": scheme }))["address"].clone();
        let challenge =
            server.post("/api/v1/auth/challenge", &json!({ "wallet_address": address })).with(200);
        let message = &challenge["message"];
        let signature = wallet.ask(&json!({ "scheme": scheme, "message": message }))["signature"].clone();
        let body = json!({ "wallet_address": address, "message": message, "signature": signature });
        let answer = server.post("/api/v1/auth/verify", &body);
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, code),
            "{scheme}: {}",
            answer.text
        );
        // Of another text it is wrong, whatever the scheme.
        let challenge =
            server.post("/api/v1/auth/challenge", &json!({ "wallet_address": address })).with(200);
        let body =
            json!({ "wallet_address": address, "message": challenge["message"], "signature": signature });
        let expected = code.unwrap_or("signature_wrong");
        server.post("/api/v1/auth/verify", &body).is_problem(401, expected);
    }
}
