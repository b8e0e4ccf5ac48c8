//! The line that `haproxy.cfg` writes (`log-format`), read into a [`RequestLine`].

use crate::domain::requests::{Class, RequestLine, TIME_MS_MAX, is_reason};
use apikey::{CustomerId, Fingerprint, Service};
use serde::Deserialize;
use std::borrow::Cow;

/// The longest line, in bytes; HAProxy cuts at the same (`len` in `haproxy.cfg`).
pub(super) const LEN_MAX: usize = 8_192;

#[derive(Deserialize)]
struct Fields<'l> {
    #[serde(borrow)]
    id: Cow<'l, str>,
    #[serde(borrow)]
    time: Cow<'l, str>,
    #[serde(borrow)]
    client: Cow<'l, str>,
    #[serde(borrow)]
    customer: Cow<'l, str>,
    #[serde(borrow)]
    service: Cow<'l, str>,
    #[serde(borrow)]
    key: Cow<'l, str>,
    #[serde(borrow)]
    class: Cow<'l, str>,
    #[serde(borrow)]
    reason: Cow<'l, str>,
    status: i64,
    received_bytes: i64,
    sent_bytes: i64,
    queue_ms: i64,
    connect_ms: i64,
    response_ms: i64,
    total_ms: i64,
    #[serde(borrow)]
    server: Cow<'l, str>,
    #[serde(borrow)]
    end: Cow<'l, str>,
}

/// Reads a line; none where it is not one of ours. The line itself is never shown to anybody.
pub fn parse(line: &[u8]) -> Option<RequestLine> {
    let fields: Fields<'_> = serde_json::from_slice(line).ok().filter(|_| line.len() <= LEN_MAX)?;
    let (seconds, ms) = fields.time.split_once('.').filter(|(_, ms)| ms.len() == 3)?;
    let (seconds, ms): (u32, u16) = (seconds.parse().ok()?, ms.parse().ok()?);
    // A caller that stays connected for days has times beyond the bound; that it was long is all that matters.
    let time = |ms: i64| ms.min(TIME_MS_MAX);
    let line = RequestLine {
        time_ms: i64::from(seconds) * 1_000 + i64::from(ms),
        client: fields.client.parse().ok()?,
        // 0: refused before the MAC was found right.
        customer: known(&fields.customer).filter(|id| *id != "0").map(customer_of).transpose_or_bad()?,
        // `refused` and the frontend's own name are no services.
        service: fields.service.parse::<Service>().ok().map(|service| service.name().to_owned()),
        fingerprint: known(&fields.key).map(fingerprint_of).transpose_or_bad()?,
        class: known(&fields.class).map(Class::from_word).transpose_or_bad()?,
        reason: Some(fields.reason.into_owned()).filter(|word| is_reason(word)),
        status: fields.status,
        received_bytes: fields.received_bytes,
        sent_bytes: fields.sent_bytes,
        queue_ms: time(fields.queue_ms),
        connect_ms: time(fields.connect_ms),
        response_ms: time(fields.response_ms),
        total_ms: time(fields.total_ms),
        request_id: fields.id.into_owned(),
        server: fields.server.into_owned(),
        ending: fields.end.into_owned(),
    };
    line.is_plausible().then_some(line)
}

/// HAProxy writes `-`, or nothing, for what is not set.
fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !matches!(*text, "" | "-"))
}

fn customer_of(text: &str) -> Option<u32> {
    text.parse::<CustomerId>().ok().map(CustomerId::get)
}

/// HAProxy writes as many hex digits as it needs bytes.
fn fingerprint_of(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().map(|bits| Fingerprint::from_u64(bits).get())
}

/// What is set but cannot be read makes the whole line bad.
trait TransposeOrBad<T> {
    /// `Some(None)` where nothing is set, `None` where it cannot be read.
    fn transpose_or_bad(self) -> Option<Option<T>>;
}

impl<T> TransposeOrBad<T> for Option<Option<T>> {
    fn transpose_or_bad(self) -> Option<Option<T>> {
        match self {
            None => Some(None),
            Some(None) => None,
            Some(read) => Some(read),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    const SERVED: &str = r#"{"id":"1795288456-12-242696378","time":"1795288456.582","client":"192.0.2.1","customer":"305419896","service":"seal","key":"410000011234ABCD","class":"burst","reason":"-","status":200,"received_bytes":52,"sent_bytes":49,"queue_ms":0,"connect_ms":0,"response_ms":7,"total_ms":8,"server":"seal1","end":"----"}"#;

    #[test]
    fn a_line_of_a_served_request_is_read_whole() {
        let line = parse(SERVED.as_bytes()).unwrap();
        assert_eq!(line.time_ms, 1_795_288_456_582);
        assert_eq!((line.customer, line.service.as_deref()), (Some(305_419_896), Some("seal")));
        assert_eq!((line.fingerprint, line.class), (Some(0x4100_0001_1234_ABCD), Some(Class::Burst)));
        assert_eq!((line.reason, line.status, line.response_ms), (None, 200, 7));
        assert_eq!((line.received_bytes, line.sent_bytes, line.total_ms), (52, 49, 8));
        assert_eq!((line.client.to_string().as_str(), line.server.as_str()), ("192.0.2.1", "seal1"));
    }

    #[test]
    fn what_haproxy_does_not_know_is_none() {
        let text = SERVED
            .replace("\"seal\"", "\"refused\"")
            .replace("305419896", "0")
            .replace("410000011234ABCD", "")
            .replace("\"burst\"", "\"-\"")
            .replace("\"reason\":\"-\"", "\"reason\":\"bad_mac\"");
        let line = parse(text.as_bytes()).unwrap();
        assert_eq!((line.customer, line.service, line.fingerprint, line.class), (None, None, None, None));
        assert_eq!(line.reason.as_deref(), Some("bad_mac"));
        // A server's own gRPC message is no reason of ours; nor is a key.
        let text = SERVED.replace("\"reason\":\"-\"", "\"reason\":\"sabcdefghijklmnopqrstuvwx\"");
        assert_eq!(parse(text.as_bytes()).unwrap().reason, None);
    }

    #[test]
    fn every_line_that_is_not_one_of_ours_is_refused() {
        let longer = SERVED.replace("seal1", &"s".repeat(65));
        let longest = SERVED.replacen('{', &format!("{{{}", " ".repeat(LEN_MAX)), 1);
        for (from, to) in [
            ("1795288456.582", "1795288456"),
            ("1795288456.582", "-1.582"),
            ("192.0.2.1", "host"),
            ("305419896", "4294967296"),
            ("410000011234ABCD", "S410"),
            ("\"burst\"", "\"first\""),
            ("1795288456-12-242696378", "SABCDEFGHIJKLMNOPQRSTUVWX"),
            ("\"status\":200", "\"status\":\"200\""),
            ("\"sent_bytes\":49", "\"sent_bytes\":-49"),
            ("\"total_ms\":8", "\"total_ms\":-2"),
            ("seal1", "a b"),
            ("\"total_ms\":8,", ""),
        ] {
            let text = SERVED.replace(from, to);
            assert_ne!(text, SERVED);
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for text in ["", "{}", "Server seal/seal1 is DOWN.", &SERVED[1..], &longer, &longest] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        // Cut anywhere.
        for len in 0..SERVED.len() {
            assert_eq!(parse(&SERVED.as_bytes()[..len]), None, "{len}");
        }
    }
}
