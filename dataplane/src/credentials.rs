//! Finding the key in the value of the `Authorization` field.

use edgeformat::Reason;

/// The key's text in a field value: `Bearer`, spaces, key (RFC 6750 section 2.1; the scheme in any case, RFC 9110 11.1).
///
/// `haproxy.cfg` writes the count of `Authorization` fields in their place where it is not one: `0` is a missing key,
/// every other value that is not a bearer credential is `malformed`. The text itself is judged by [`apikey::decode`].
pub fn key_text(field: &[u8]) -> Result<&[u8], Reason> {
    const SCHEME: &[u8] = b"bearer ";
    if field == b"0" {
        return Err(Reason::MissingKey);
    }
    match field.split_at_checked(SCHEME.len()) {
        Some((scheme, mut text)) if scheme.eq_ignore_ascii_case(SCHEME) => {
            while let [b' ', rest @ ..] = text {
                text = rest;
            }
            Ok(text)
        }
        _ => Err(Reason::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_credential_is_found_in_any_case_and_with_more_spaces() {
        for field in ["Bearer KEY", "bearer KEY", "BEARER    KEY", "bEaReR KEY"] {
            assert_eq!(key_text(field.as_bytes()), Ok(b"KEY".as_slice()), "{field}");
        }
    }

    #[test]
    fn only_spaces_are_skipped() {
        assert_eq!(key_text(b"Bearer  \tKEY"), Ok(b"\tKEY".as_slice()));
        assert_eq!(key_text(b"Bearer \x0cKEY"), Ok(b"\x0cKEY".as_slice()));
    }

    #[test]
    fn everything_else_is_missing_or_malformed() {
        assert_eq!(key_text(b"0"), Err(Reason::MissingKey));
        for field in ["", "2", "00", "Bearer", "Basic KEY", "KEY", "Bearer\tKEY", "Bearer,KEY", "ApiKey KEY"]
        {
            assert_eq!(key_text(field.as_bytes()), Err(Reason::Malformed), "{field}");
        }
    }
}
