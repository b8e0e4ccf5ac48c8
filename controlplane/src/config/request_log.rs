//! Where HAProxy sends a copy of each request's log line, and what is done with it.

use super::{ConfigError, Variables, number};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

const TARGET: &str = "SUIFTLY_REQUEST_LOG";
const KEEP: &str = "SUIFTLY_REQUEST_LOG_KEEP_H";
const PER_S: &str = "SUIFTLY_REQUEST_LOG_PER_S";
const S_PER_H: u64 = 3_600;
/// Ten years.
const KEEP_H_MAX: u64 = 87_600;

/// The request log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestLogConfig {
    /// `SUIFTLY_REQUEST_LOG`, default `127.0.0.1:` and the API's port: where its lines come in. HAProxy reads the same
    /// variable. Here, other than elsewhere, empty is not the default but `none`, since HAProxy takes it so.
    pub target: RequestLogTarget,
    /// `SUIFTLY_REQUEST_LOG_KEEP_H`, default 168: for how many hours requests are kept one by one, with callers' addresses.
    pub keep: Duration,
    /// `SUIFTLY_REQUEST_LOG_PER_S`, default 10000: the most requests a second of this edge that are kept one by one; 0 keeps
    /// none. Statistics count all the same.
    pub lines_per_s: u32,
}

/// Where the lines come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestLogTarget {
    /// `none`: nowhere.
    Off,
    /// `127.0.0.1:8081`: a UDP port of this machine.
    Udp(SocketAddrV4),
    /// `unix@/path`: a datagram socket. It holds 10 lines (`net.unix.max_dgram_qlen`), and a hardened HAProxy does not reach it.
    Unix(PathBuf),
}

impl RequestLogConfig {
    pub(super) fn from_variables(variables: &Variables, api_port: u16) -> Result<Self, ConfigError> {
        let hours = number(variables, KEEP, 168, KEEP_H_MAX)?;
        let lines_per_s = number(variables, PER_S, 10_000, u64::from(u32::MAX))?;
        Ok(Self {
            target: target(variables, api_port)?,
            keep: Duration::from_secs(hours * S_PER_H),
            lines_per_s: u32::try_from(lines_per_s).unwrap_or(u32::MAX),
        })
    }
}

fn target(variables: &Variables, api_port: u16) -> Result<RequestLogTarget, ConfigError> {
    let Some(value) = variables.get(TARGET) else {
        return Ok(RequestLogTarget::Udp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, api_port)));
    };
    if value.is_empty() || value == "none" {
        return Ok(RequestLogTarget::Off);
    }
    if let Some(path) = value.strip_prefix("unix@").filter(|path| !path.is_empty()) {
        return Ok(RequestLogTarget::Unix(PathBuf::from(path)));
    }
    // The lines name callers' addresses and travel in clear: not beyond this machine.
    match value.parse() {
        Ok(SocketAddr::V4(address)) if address.ip().is_loopback() && address.port() != 0 => {
            Ok(RequestLogTarget::Udp(address))
        }
        _ => Err(ConfigError {
            variable: TARGET,
            reason: format!("`{value}` is no place for log lines; write 127.0.0.1:PORT, unix@PATH or none"),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<RequestLogConfig, ConfigError> {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RequestLogConfig::from_variables(&variables, 8081)
    }

    #[test]
    fn it_is_the_apis_port_of_this_machine_unless_another_place_is_named() {
        let default = config(&[]).unwrap();
        assert_eq!(default.target, RequestLogTarget::Udp("127.0.0.1:8081".parse().unwrap()));
        assert_eq!((default.keep.as_secs(), default.lines_per_s), (7 * 86_400, 10_000));
        for (value, expected) in [
            ("", RequestLogTarget::Off),
            ("none", RequestLogTarget::Off),
            ("127.0.0.1:99", RequestLogTarget::Udp("127.0.0.1:99".parse().unwrap())),
            ("unix@/run/x.sock", RequestLogTarget::Unix("/run/x.sock".into())),
        ] {
            assert_eq!(config(&[(TARGET, value)]).unwrap().target, expected, "{value}");
        }
    }

    #[test]
    fn lines_do_not_leave_the_machine_and_numbers_are_numbers() {
        for (name, value) in [
            (TARGET, "10.0.0.1:514"),
            (TARGET, "0.0.0.0:514"),
            (TARGET, "127.0.0.1:0"),
            (TARGET, "unix@"),
            (TARGET, "/dev/log"),
            (KEEP, "a week"),
            (KEEP, "87601"),
            (PER_S, "-1"),
        ] {
            assert_eq!(config(&[(name, value)]).unwrap_err().variable, name, "{value}");
        }
    }
}
