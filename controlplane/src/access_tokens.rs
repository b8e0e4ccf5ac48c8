//! Access tokens: JWTs (RFC 7519, RFC 9068) of 15 minutes that name a customer and a session.
//!
//! They are checked without the database; whether the session still serves is asked of the database by every call beside it.

mod hs256;

use crate::secrets::Secrets;
use apikey::CustomerId;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// How long an access token is good: 15 minutes, in seconds.
pub const ACCESS_LIFE_S: i64 = 15 * 60;
/// The longest access token, in bytes. Ours have about 350.
pub const ACCESS_LEN_MAX: usize = 1_024;

/// Who made it, and for whom: never a token for anything else of ours.
const ISSUER: &str = "suiftly";
const AUDIENCE: &str = "suiftly-api";
/// The `typ` of the header (RFC 9068, section 2.1) and of the claims, so that no other token of the same key passes for one.
const HEADER_TYPE: &str = "at+jwt";
const CLAIM_TYPE: &str = "access";
const MS_PER_S: i64 = 1_000;

/// Makes and checks access tokens.
pub struct AccessTokens {
    header: Header,
    signing: EncodingKey,
    checking: HashMap<String, DecodingKey>,
    validation: Validation,
}

/// What a good access token says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessClaims {
    /// Who signed in.
    pub customer: CustomerId,
    /// With which session.
    pub session_id: String,
}

/// Why an access token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessFault {
    /// It is none of ours.
    Bad,
    /// Its 15 minutes are over: the refresh token gets another.
    Expired,
}

/// The claims as they stand in a token.
#[derive(Serialize, Deserialize)]
struct Claims {
    typ: String,
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    iat: i64,
    exp: i64,
}

/// A token could not be made, which is a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("an access token could not be made")]
pub struct CannotSign(#[from] jsonwebtoken::errors::Error);

impl AccessTokens {
    /// With these keys.
    pub fn new(secrets: &Secrets) -> Self {
        hs256::install();
        let (name, key) = secrets.current();
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(HEADER_TYPE.to_owned());
        header.kid = Some(name.to_owned());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        // By our own clock instead, to the second and without leeway.
        validation.validate_exp = false;
        let checking = secrets.all().map(|(name, key)| (name.to_owned(), DecodingKey::from_secret(key)));
        Self { header, signing: EncodingKey::from_secret(key), checking: checking.collect(), validation }
    }

    /// A token that is good for 15 minutes.
    ///
    /// # Errors
    /// [`CannotSign`].
    pub fn issue(&self, customer: CustomerId, session_id: &str, now_ms: i64) -> Result<String, CannotSign> {
        let iat = now_ms.div_euclid(MS_PER_S);
        let claims = Claims {
            typ: CLAIM_TYPE.to_owned(),
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: customer.to_string(),
            sid: session_id.to_owned(),
            iat,
            exp: iat + ACCESS_LIFE_S,
        };
        Ok(encode(&self.header, &claims, &self.signing)?)
    }

    /// What a token says, if it is ours and good now.
    ///
    /// # Errors
    /// [`AccessFault`].
    pub fn check(&self, text: &str, now_ms: i64) -> Result<AccessClaims, AccessFault> {
        if text.len() > ACCESS_LEN_MAX {
            return Err(AccessFault::Bad);
        }
        let header = decode_header(text).map_err(|_| AccessFault::Bad)?;
        if header.typ.as_deref() != Some(HEADER_TYPE) {
            return Err(AccessFault::Bad);
        }
        let key = header.kid.and_then(|name| self.checking.get(&name)).ok_or(AccessFault::Bad)?;
        let claims = decode::<Claims>(text, key, &self.validation).map_err(|_| AccessFault::Bad)?.claims;
        if claims.typ != CLAIM_TYPE {
            return Err(AccessFault::Bad);
        }
        let customer = claims.sub.parse().ok().and_then(CustomerId::new).ok_or(AccessFault::Bad)?;
        if now_ms.div_euclid(MS_PER_S) >= claims.exp {
            return Err(AccessFault::Expired);
        }
        Ok(AccessClaims { customer, session_id: claims.sid })
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessTokens")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use data_encoding::BASE64URL_NOPAD;

    const NOW_MS: i64 = 1_795_251_900_123;

    fn tokens() -> AccessTokens {
        let folder = tempfile::tempdir().unwrap();
        AccessTokens::new(&Secrets::load_or_make(&folder.path().join("s.toml")).unwrap())
    }

    fn customer() -> CustomerId {
        CustomerId::new(4_294_967_295).unwrap()
    }

    #[test]
    fn a_token_says_who_signed_in_for_15_minutes() {
        let tokens = tokens();
        let text = tokens.issue(customer(), "ab", NOW_MS).unwrap();
        let expected = AccessClaims { customer: customer(), session_id: "ab".to_owned() };
        assert_eq!(tokens.check(&text, NOW_MS), Ok(expected.clone()));
        assert_eq!(tokens.check(&text, NOW_MS + 899_876), Ok(expected));
        assert_eq!(tokens.check(&text, NOW_MS + 899_877), Err(AccessFault::Expired));
    }

    #[test]
    fn a_token_of_another_key_or_kind_or_changed_is_refused() {
        let (tokens, others) = (tokens(), tokens());
        let text = tokens.issue(customer(), "ab", NOW_MS).unwrap();
        assert_eq!(others.check(&text, NOW_MS), Err(AccessFault::Bad));
        let parts: Vec<&str> = text.split('.').collect();
        let part = |place: usize| {
            String::from_utf8(BASE64URL_NOPAD.decode(parts[place].as_bytes()).unwrap()).unwrap()
        };
        let encoded = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        let claims = part(1).replace("4294967295", "4294967294");
        let none = part(0).replace("HS256", "none");
        for changed in [
            format!("{}.{}.{}", parts[0], encoded(claims), parts[2]),
            format!("{}.{}.", encoded(none.clone()), parts[1]),
            format!("{}.{}.{}", encoded(none), parts[1], parts[2]),
            format!("{}.{}.{}", encoded(part(0).replace("at+jwt", "JWT")), parts[1], parts[2]),
            format!("{text}A"),
            text.replace('.', ""),
            String::new(),
            "a.b.c".to_owned(),
            "x".repeat(2_000),
        ] {
            assert_eq!(tokens.check(&changed, NOW_MS), Err(AccessFault::Bad), "{changed}");
        }
    }

    #[test]
    fn the_signature_of_another_claim_type_or_audience_does_not_help() {
        let tokens = tokens();
        let signed = |typ: &str, aud: &str, sub: &str| {
            let claims = Claims {
                typ: typ.to_owned(),
                iss: ISSUER.to_owned(),
                aud: aud.to_owned(),
                sub: sub.to_owned(),
                sid: String::new(),
                iat: 0,
                exp: i64::MAX,
            };
            encode(&tokens.header, &claims, &tokens.signing).unwrap()
        };
        assert!(tokens.check(&signed("access", AUDIENCE, "7"), NOW_MS).is_ok());
        for wrong in [
            signed("refresh", AUDIENCE, "7"),
            signed("access", "other", "7"),
            signed("access", AUDIENCE, "0"),
        ] {
            assert_eq!(tokens.check(&wrong, NOW_MS), Err(AccessFault::Bad));
        }
    }
}
