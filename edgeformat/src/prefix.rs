//! A block of IP addresses in CIDR notation, in one spelling.
//!
//! There is one text for each block: no bits after its length, IPv6 as RFC 5952 writes it, and what is IPv4 in
//! disguise (`::ffff:10.0.0.0/104`) as IPv4. So equal texts are equal blocks, in the database, in files and in changes.

use crate::field::{FieldError, shown};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The longest text of a prefix, in bytes: 39 of an IPv6 address and `/128`.
pub const PREFIX_LEN_MAX: usize = 43;

/// The bits that an IPv4 address stands behind in its IPv6 form, `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

/// A block of addresses. The order is that of the blocks' first addresses, IPv4 before IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    network: IpAddr,
    len: u8,
}

impl Prefix {
    /// The smallest IPv4 prefix in the order; every other one comes after it.
    pub const FIRST_V4: Self = Self { network: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };
    /// The smallest IPv6 prefix in the order.
    pub const FIRST_V6: Self = Self { network: IpAddr::V6(Ipv6Addr::UNSPECIFIED), len: 0 };

    /// The block with only this address, which must not be IPv6 in disguise: see [`IpAddr::to_canonical`].
    pub const fn of_address(address: IpAddr) -> Self {
        let len = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { network: address, len }
    }

    /// Reads the text as files and changes spell it, and no other.
    ///
    /// # Errors
    /// Any other spelling, also one that [`Self::from_str`] understands; the error has the right one.
    pub fn from_field(text: &str) -> Result<Self, FieldError> {
        let prefix: Self = text.parse()?;
        let canonical = prefix.to_string();
        if canonical == text {
            Ok(prefix)
        } else {
            Err(FieldError::new(format!("`{}` must be written `{canonical}`", shown(text))))
        }
    }

    /// The first address of the block.
    pub const fn network(self) -> IpAddr {
        self.network
    }

    /// How many leading bits all addresses of the block share.
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, not of a collection")]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether an address lies in the block. One of the other family never does.
    pub const fn contains(self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()) & mask_v4(self.len) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()) & mask_v6(self.len) == 0
            }
            _ => false,
        }
    }

    /// Family (4 or 6), length and the 16 bytes of the network (IPv4: the first four), for digests.
    pub(crate) fn bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        let [family, len, network @ ..] = &mut bytes;
        *len = self.len;
        match self.network {
            IpAddr::V4(v4) => {
                *family = 4;
                for (place, byte) in network.iter_mut().zip(v4.octets()) {
                    *place = byte;
                }
            }
            IpAddr::V6(v6) => (*family, *network) = (6, v6.octets()),
        }
        bytes
    }

    /// The same block with the bits after its length cleared.
    const fn masked(self) -> Self {
        let network = match self.network {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask_v4(self.len))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask_v6(self.len))),
        };
        Self { network, len: self.len }
    }
}

const fn mask_v4(len: u8) -> u32 {
    // A shift by the whole width is none.
    if len == 0 { 0 } else { u32::MAX << (32 - len) }
}

const fn mask_v6(len: u8) -> u128 {
    if len == 0 { 0 } else { u128::MAX << (128 - len) }
}

impl FromStr for Prefix {
    type Err = FieldError;

    /// Reads what a person writes: `10.0.0.0/8`, `2001:db8::/32`, or an address alone.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let wrong = || {
            FieldError::new(format!(
                "`{}` is no address and no CIDR block; one looks like 203.0.113.0/24, 203.0.113.7 or 2001:db8::/32",
                shown(text)
            ))
        };
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = Self::of_address(address);
        let mut prefix = match len {
            None => whole,
            Some(len) => {
                let is_number =
                    len.bytes().all(|b| b.is_ascii_digit()) && (len == "0" || !len.starts_with('0'));
                let bits: u8 = len.parse().ok().filter(|_| is_number).ok_or_else(wrong)?;
                if bits > whole.len {
                    return Err(FieldError::new(format!(
                        "`{}` has a length beyond {}, which is all of the address",
                        shown(text),
                        whole.len
                    )));
                }
                Self { network: address, len: bits }
            }
        };
        // IPv4 in disguise; a block that is larger than all of IPv4 is none.
        if prefix.len >= MAPPED_BITS && address.to_canonical().is_ipv4() {
            prefix = Self { network: address.to_canonical(), len: prefix.len - MAPPED_BITS };
        }
        if prefix.masked() == prefix {
            Ok(prefix)
        } else {
            Err(FieldError::new(format!(
                "`{}` has bits set after its length; the block is {}, this address alone {}",
                shown(text),
                prefix.masked(),
                Self::of_address(prefix.network)
            )))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        text.parse::<Prefix>().map(|prefix| prefix.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_person_writes_is_read_and_has_one_spelling() {
        for (text, canonical) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("2001:0db8::1", "2001:db8::1/128"),
            ("::/0", "::/0"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::ffff:203.0.113.7", "203.0.113.7/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::1.2.3.4", "::102:304/128"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(canonical), "{text}");
            assert_eq!(Prefix::from_field(canonical).unwrap(), text.parse().unwrap());
            let other = Prefix::from_field(text).map(|prefix| prefix.to_string());
            if text != canonical {
                assert!(other.unwrap_err().to_string().contains(canonical), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_block_is_refused_with_what_would_be_right() {
        for (text, expected) in [
            ("203.0.113.7/24", "the block is 203.0.113.0/24, this address alone 203.0.113.7/32"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:10.0.0.1/104", "10.0.0.0/8"),
            ("10.0.0.0/33", "beyond 32"),
            ("::/129", "beyond 128"),
            ("10.0.0.0/", "no CIDR block"),
            ("10.0.0.0/08", "no CIDR block"),
            ("10.0.0.0/+8", "no CIDR block"),
            ("10.0.0/8", "no CIDR block"),
            ("010.0.0.1", "no CIDR block"),
            ("fe80::1%eth0", "no CIDR block"),
            ("example.com", "no CIDR block"),
            ("", "no CIDR block"),
            (" 10.0.0.1", "no CIDR block"),
            ("10.0.0.0/8/8", "no CIDR block"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_block_has_its_own_addresses_only() {
        let has = |prefix: &str, address: &str| {
            prefix.parse::<Prefix>().unwrap().contains(address.parse::<IpAddr>().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.255.255") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("0.0.0.0/0", "255.255.255.255") && !has("0.0.0.0/0", "::1"));
        assert!(has("::/0", "ffff::") && !has("::/0", "10.0.0.1"));
        assert!(has("2001:db8::/33", "2001:db8:7fff::1") && !has("2001:db8::/33", "2001:db8:8000::"));
        assert!(has("203.0.113.7/32", "203.0.113.7") && !has("203.0.113.7/32", "203.0.113.6"));
        assert!(has("::1/128", "::1") && !has("::1/128", "::"));
    }
}
