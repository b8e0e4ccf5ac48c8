//! Where a request comes from. A header is believed only from configured proxies: anybody can write a header.

use crate::domain::sign_in::source_of;
use actix_web::HttpRequest;
use edgeformat::Prefix;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The address that a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Source(IpAddr);

impl Source {
    /// The peer of the connection; behind a trusted proxy the last address of `X-Forwarded-For` that is no trusted proxy.
    pub fn of(request: &HttpRequest, trusted: &[Prefix]) -> Self {
        let peer =
            request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
        let is_trusted = |address: IpAddr| trusted.iter().any(|prefix| prefix.contains(address));
        if !is_trusted(peer) {
            return Self(peer);
        }
        let fields = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = fields.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut nearest = peer;
        for hop in hops.into_iter().rev() {
            // What is no address was written by nobody whom we trust.
            let Ok(address) = hop.parse::<IpAddr>() else { break };
            nearest = address.to_canonical();
            if !is_trusted(nearest) {
                break;
            }
        }
        Self(nearest)
    }

    /// Whether the request comes from this very machine, with no proxy between that we know of.
    pub fn is_this_machine(self) -> bool {
        self.0.is_loopback()
    }

    /// The IP address.
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// The address: what the activity log shows.
    pub fn address(self) -> String {
        self.0.to_string()
    }
}

/// What limits count by: an IPv4 address, or the /64 of an IPv6 address.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&source_of(self.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use actix_web::test::TestRequest;

    fn source(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = TestRequest::default().peer_addr(format!("{peer}:1").parse().unwrap());
        for value in forwarded {
            request = request.append_header(("X-Forwarded-For", *value));
        }
        let trusted: Vec<Prefix> = trusted.iter().map(|prefix| prefix.parse().unwrap()).collect();
        Source::of(&request.to_http_request(), &trusted).to_string()
    }

    #[test]
    fn a_header_is_believed_only_from_a_trusted_proxy() {
        assert_eq!(source("192.0.2.1", &["198.51.100.7"], &[]), "192.0.2.1");
        assert_eq!(source("192.0.2.1", &["198.51.100.7"], &["192.0.2.0/24"]), "198.51.100.7");
        assert_eq!(
            source("192.0.2.1", &["10.9.9.9, 198.51.100.7, 192.0.2.9"], &["192.0.2.0/24"]),
            "198.51.100.7"
        );
        assert_eq!(source("192.0.2.1", &["203.0.113.5", "198.51.100.7"], &["192.0.2.0/24"]), "198.51.100.7");
        assert_eq!(source("192.0.2.1", &["198.51.100.7, junk"], &["192.0.2.0/24"]), "192.0.2.1");
        assert_eq!(source("192.0.2.1", &[], &["192.0.2.0/24"]), "192.0.2.1");
    }

    #[test]
    fn only_loopback_is_this_machine_and_not_through_a_proxy() {
        let source = |peer: &str, forwarded: Option<&str>| {
            let mut request = TestRequest::default().peer_addr(format!("{peer}:1").parse().unwrap());
            if let Some(value) = forwarded {
                request = request.append_header(("X-Forwarded-For", value));
            }
            Source::of(&request.to_http_request(), &["127.0.0.1".parse().unwrap()]).is_this_machine()
        };
        for peer in ["127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(source(peer, None), "{peer}");
        }
        assert!(!source("10.0.0.1", None) && !source("10.0.0.1", Some("127.0.0.1")));
        assert!(!source("127.0.0.1", Some("203.0.113.5")));
    }

    #[test]
    fn ipv6_counts_by_its_network_and_ipv4_in_disguise_as_ipv4() {
        assert_eq!(source("[2001:db8:1:2:3:4:5:6]", &[], &[]), "2001:db8:1:2::/64");
        assert_eq!(source("[::ffff:192.0.2.1]", &[], &[]), "192.0.2.1");
    }
}
