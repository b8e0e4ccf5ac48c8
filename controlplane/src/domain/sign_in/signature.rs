//! Whether a wallet has signed a text: Sui's personal messages, by `sui-crypto`.

use crate::domain::WalletAddress;
use data_encoding::BASE64;
use sui_crypto::{SuiVerifier, UserSignatureVerifier};
use sui_sdk_types::{
    MultisigAggregatedSignature, PersonalMessage, SignatureScheme, SimpleSignature, UserSignature,
};

/// The longest signature, in characters of base64. A multisig of ten members has about 1,500.
pub const SIGNATURE_LEN_MAX: usize = 4_096;

/// Why a signature does not prove who signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureFault {
    /// No base64, or not the bytes of its scheme.
    Malformed,
    /// The first byte names no scheme that Sui has.
    UnknownScheme,
    /// A zkLogin signature: whether it is good depends on keys of identity providers that are not configured.
    ZkLogin,
    /// A passkey signature.
    Passkey,
    /// Too few members of a multisig have signed.
    BelowThreshold,
    /// It is somebody's, but not this wallet's.
    OtherWallet,
    /// It is not of this text.
    Wrong,
}

/// Whether `signature` (base64 of flag, signature and public key) is this wallet's, of this text.
///
/// # Errors
/// [`SignatureFault`].
pub fn check(wallet: &WalletAddress, text: &str, signature: &str) -> Result<(), SignatureFault> {
    if signature.len() > SIGNATURE_LEN_MAX {
        return Err(SignatureFault::Malformed);
    }
    let bytes = BASE64.decode(signature.as_bytes()).map_err(|_| SignatureFault::Malformed)?;
    let flag = *bytes.first().ok_or(SignatureFault::Malformed)?;
    match SignatureScheme::from_byte(flag) {
        Ok(SignatureScheme::ZkLogin) => return Err(SignatureFault::ZkLogin),
        Ok(SignatureScheme::Passkey) => return Err(SignatureFault::Passkey),
        Ok(
            SignatureScheme::Ed25519
            | SignatureScheme::Secp256k1
            | SignatureScheme::Secp256r1
            | SignatureScheme::Multisig,
        ) => {}
        Ok(_) | Err(_) => return Err(SignatureFault::UnknownScheme),
    }
    let signature = UserSignature::from_bytes(&bytes).map_err(|_| SignatureFault::Malformed)?;
    let signer = match &signature {
        UserSignature::Simple(SimpleSignature::Ed25519 { public_key, .. }) => public_key.derive_address(),
        UserSignature::Simple(SimpleSignature::Secp256k1 { public_key, .. }) => public_key.derive_address(),
        UserSignature::Simple(SimpleSignature::Secp256r1 { public_key, .. }) => public_key.derive_address(),
        UserSignature::Multisig(multisig) => {
            if weight_of(multisig) < u32::from(multisig.committee().threshold()) {
                return Err(SignatureFault::BelowThreshold);
            }
            multisig.committee().derive_address()
        }
        _ => return Err(SignatureFault::UnknownScheme),
    };
    if signer.to_string() != wallet.as_str() {
        return Err(SignatureFault::OtherWallet);
    }
    let message = PersonalMessage(text.as_bytes().into());
    UserSignatureVerifier::new()
        .verify_personal_message(&message, &signature)
        .map_err(|_| SignatureFault::Wrong)
}

/// The weights of those who have signed, as the bitmap says; whether each signature is good is not looked at.
fn weight_of(multisig: &MultisigAggregatedSignature) -> u32 {
    let members = (0_u32..).zip(multisig.committee().members());
    let signed = members.filter(|(place, _)| multisig.bitmap() & 1_u16.checked_shl(*place).unwrap_or(0) != 0);
    signed.map(|(_, member)| u32::from(member.weight())).sum()
}
