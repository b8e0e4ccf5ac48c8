//! From text to proof: [`decode`] takes a key apart, [`DecodedKey::authenticate`] makes it a [`VerifiedKey`].
//!
//! The step between the two, finding the secret of the key's group, belongs to the caller, who owns the
//! keyring. Both calls run once per request at the edge: no allocation, no branch on a secret, and hardly
//! more than the two SHA-256 compressions that HMAC needs (about 90 ns with SHA instructions).

use std::fmt;

use crate::base32;
use crate::payload::{CustomerId, Derivation, Group, Version, obeys_field_rules};
use crate::tag::{MacKey, Trailer};
use crate::{Fingerprint, KEY_LEN, KeyError, Service};

/// Takes the text of a key apart. Says nothing about whether it is genuine: see [`DecodedKey::authenticate`].
///
/// # Errors
///
/// In this order, whatever else is wrong: [`KeyError::Malformed`], [`KeyError::UnknownService`],
/// [`KeyError::UnsupportedVersion`].
pub fn decode(text: &[u8]) -> Result<DecodedKey, KeyError> {
    let Ok([letter, characters @ ..]) = <&[u8; KEY_LEN]>::try_from(text) else {
        return Err(KeyError::Malformed);
    };
    if !letter.is_ascii_alphanumeric() {
        return Err(KeyError::Malformed);
    }
    let (head, trailer) = base32::decode(characters).ok_or(KeyError::Malformed)?;
    let (fingerprint, trailer) = (Fingerprint::from_u64(head), Trailer::from_u64(trailer));

    // The field rules of versions 2 and 3 are unknown, so their fields cannot be called malformed.
    let version = Version::from_number(fingerprint.version_bits());
    if version.is_some_and(|version| !obeys_field_rules(version, fingerprint, &trailer)) {
        return Err(KeyError::Malformed);
    }
    let service = Service::from_letter(*letter).ok_or(KeyError::UnknownService)?;
    let version = version.ok_or(KeyError::UnsupportedVersion)?;
    Ok(DecodedKey { version, service, fingerprint, trailer })
}

/// A key's canonical text taken apart. **Its tag is not checked yet**: anybody can write such a text.
///
/// There is deliberately no `customer()` here: who is calling is known only from a [`VerifiedKey`]. There is
/// no `==` either: comparing two of these would compare tags, and not in constant time.
#[derive(Clone, Copy)]
pub struct DecodedKey {
    version: Version,
    service: Service,
    fingerprint: Fingerprint,
    trailer: Trailer,
}

impl DecodedKey {
    /// Checks the tag against the secret of this key's group, which the caller has looked up by
    /// [`Self::group`]. The comparison takes the same time wherever the first difference is.
    ///
    /// # Errors
    ///
    /// [`KeyError::BadMac`] when the key was not made with this secret, then [`KeyError::BadCustomer`] when
    /// it was, but names customer 0.
    pub fn authenticate(&self, mac: &MacKey) -> Result<VerifiedKey, KeyError> {
        if !mac.trailer(self.version, self.service, self.fingerprint).equals_in_constant_time(&self.trailer) {
            return Err(KeyError::BadMac);
        }
        let customer = CustomerId::new(self.fingerprint.customer_bits()).ok_or(KeyError::BadCustomer)?;
        Ok(VerifiedKey {
            version: self.version,
            service: self.service,
            fingerprint: self.fingerprint,
            customer,
        })
    }

    /// Which tag rule and field rules the key follows.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The service that the letter names. Under version 0 the tag does not cover it.
    pub const fn service(&self) -> Service {
        self.service
    }

    /// The master key group whose secret [`Self::authenticate`] needs.
    pub const fn group(&self) -> Group {
        self.fingerprint.group()
    }

    /// Whether the key claims to have been made elsewhere and taken over.
    pub const fn imported(&self) -> bool {
        self.fingerprint.imported()
    }

    /// The name under which the key stands in logs and revocations.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// Leaves the tag out: with the fingerprint it would be the whole key.
impl fmt::Debug for DecodedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodedKey")
            .field("service", &self.service)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// Proof that a key was made with the group's secret: only [`DecodedKey::authenticate`] makes one.
///
/// It holds no secret and may be logged. It does not say that the key is still good (revoked, expired) or
/// that the customer has the service: that is for the caller's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerifiedKey {
    version: Version,
    service: Service,
    fingerprint: Fingerprint,
    customer: CustomerId,
}

impl VerifiedKey {
    /// The service that the key opens. Under version 0 whoever sent the key chose it: the tag does not cover
    /// the letter.
    pub const fn service(&self) -> Service {
        self.service
    }

    /// Who is calling.
    pub const fn customer(&self) -> CustomerId {
        self.customer
    }

    /// The name under which the key stands in logs and revocations.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Which tag rule proved the key. A caller may hold version 0 to stricter rules: its tag has only 16
    /// bits.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The master key group under which the key was made.
    pub const fn group(&self) -> Group {
        self.fingerprint.group()
    }

    /// Whether the key was made elsewhere and taken over.
    pub const fn imported(&self) -> bool {
        self.fingerprint.imported()
    }

    /// Which of the customer's keys in this group it is; `None` exactly when [`Self::imported`].
    pub fn derivation(&self) -> Option<Derivation> {
        Derivation::new(self.fingerprint.derivation_bits())
    }
}
