//! A wallet, and how it signs in.

use super::server::{Answer, Server};
use serde_json::{Value, json};
use sui_crypto::SuiSigner;
use sui_crypto::ed25519::Ed25519PrivateKey;
use sui_sdk_types::{
    MultisigMemberPublicKey, MultisigMemberSignature, PersonalMessage, SimpleSignature, UserSignature,
};

/// An ed25519 wallet, made from a number.
pub(crate) struct Wallet(Ed25519PrivateKey);

impl Wallet {
    pub(crate) fn new(number: u8) -> Self {
        Self(Ed25519PrivateKey::new([number; 32]))
    }

    pub(crate) fn address(&self) -> String {
        self.0.public_key().derive_address().to_string()
    }

    pub(crate) fn sign(&self, text: &str) -> String {
        self.0.sign_personal_message(&PersonalMessage(text.as_bytes().into())).unwrap().to_base64()
    }

    /// As a member of a multisig.
    pub(crate) fn public_key(&self) -> MultisigMemberPublicKey {
        MultisigMemberPublicKey::Ed25519(self.0.public_key())
    }

    /// What it adds to a multisig's signature.
    pub(crate) fn member_signature(&self, text: &str) -> MultisigMemberSignature {
        let signature = self.0.sign_personal_message(&PersonalMessage(text.as_bytes().into())).unwrap();
        match signature {
            UserSignature::Simple(SimpleSignature::Ed25519 { signature, .. }) => {
                MultisigMemberSignature::Ed25519(signature)
            }
            other => panic!("{other:?}"),
        }
    }

    /// The text to sign.
    pub(crate) fn challenge(&self, server: &Server) -> String {
        let answer = server.post("/api/v1/auth/challenge", &json!({ "wallet_address": self.address() }));
        answer.with(200)["message"].as_str().unwrap().to_owned()
    }

    /// What `verify` answers to this text and signature.
    pub(crate) fn verify(&self, server: &Server, message: &str, signature: &str) -> Answer {
        server.post(
            "/api/v1/auth/verify",
            &json!({ "wallet_address": self.address(), "message": message, "signature": signature,
                "refresh_token_in_body": true }),
        )
    }

    /// Signs in.
    pub(crate) fn sign_in(&self, server: &Server) -> Session {
        let message = self.challenge(server);
        Session::of(&self.verify(server, &message, &self.sign(&message)).with(200))
    }
}

/// What a sign-in gave.
pub(crate) struct Session {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) customer: u64,
}

impl Session {
    pub(crate) fn of(body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Self {
            access: text("access_token"),
            refresh: text("refresh_token"),
            customer: body["customer_id"].as_u64().unwrap(),
        }
    }
}
