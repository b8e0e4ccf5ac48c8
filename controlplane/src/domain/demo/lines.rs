//! Some of the made-up requests one by one, as an edge logs them.

use crate::domain::demo::accounts::Source;
use crate::domain::demo::latency;
use crate::domain::demo::numbers::Numbers;
use crate::domain::demo::traffic::Traffic;
use crate::domain::requests::{Class, RequestLine};
use edgeformat::ledger::Counter;
use std::net::{IpAddr, Ipv4Addr};

/// How many thousandths of the minutes with traffic have a line, and of those in which something went wrong.
const QUIET: i64 = 130;
const EVENTFUL: i64 = 800;
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 250));

/// What a request came to.
#[derive(Clone, Copy)]
enum End {
    Served(Class),
    Unserved(Class),
    Rejected(Counter),
    Refused(Counter),
}

/// Lines of a source's minute that began at `start_s`, all of requests that its traffic counts.
pub(super) fn some(
    source: &Source,
    traffic: &Traffic,
    fingerprint: Option<u64>,
    start_s: i64,
    numbers: &mut Numbers,
) -> Vec<RequestLine> {
    let ends = ends(traffic);
    let is_eventful =
        ends.iter().any(|(end, count)| *count > 0 && !matches!(end, End::Served(Class::Guaranteed)));
    if !numbers.chance(if is_eventful { EVENTFUL } else { QUIET }) {
        return Vec::new();
    }
    // One of each kind at most: no more than were counted.
    let mut lines = Vec::new();
    for (end, count) in ends {
        if count > 0 && (lines.is_empty() || numbers.chance(700)) {
            lines.extend(line(source, traffic, end, fingerprint, start_s, numbers));
        }
    }
    lines
}

/// The kinds that a minute had, and how many of each.
fn ends(traffic: &Traffic) -> Vec<(End, i64)> {
    let admitted = [
        (End::Served(Class::Guaranteed), traffic.guaranteed),
        (End::Served(Class::Burst), traffic.burst),
        (End::Unserved(Class::Guaranteed), traffic.unserved_guaranteed),
        (End::Unserved(Class::Burst), traffic.unserved_burst),
        (End::Rejected(Counter::RateLimited), traffic.rate_limited),
        (End::Rejected(Counter::AddressNotAllowed), traffic.address_not_allowed),
    ];
    let refused = traffic.refused.iter().map(|(counter, count)| (End::Refused(*counter), *count));
    admitted.into_iter().chain(refused).collect()
}

fn line(
    source: &Source,
    traffic: &Traffic,
    end: End,
    fingerprint: Option<u64>,
    start_s: i64,
    numbers: &mut Numbers,
) -> Option<RequestLine> {
    let time_ms = start_s * 1_000 + numbers.below(60_000);
    let service = source.key.service.name();
    let of_server = format!("{service}1");
    let (class, reason, status, response_ms, server, ending) = match end {
        End::Served(class) => {
            let status = served_status(traffic, numbers);
            (Some(class), None, status, latency::one(traffic.middle_ms, numbers), of_server, "----")
        }
        End::Unserved(class) if numbers.chance(400) => {
            (Some(class), Some("gateway_timeout"), 504, -1, of_server, "sH--")
        }
        End::Unserved(class) => (Some(class), Some("bad_gateway"), 502, -1, of_server, "SH--"),
        End::Rejected(counter) => {
            let status = if counter == Counter::RateLimited { 429 } else { 403 };
            (None, Some(counter.word()), status, -1, "<NOSRV>".to_owned(), "PR--")
        }
        End::Refused(counter) => {
            let status = if matches!(counter, Counter::Revoked | Counter::Expired) { 401 } else { 403 };
            (None, Some(counter.word()), status, -1, "<NOSRV>".to_owned(), "PR--")
        }
    };
    let client = match end {
        End::Rejected(Counter::AddressNotAllowed) => ELSEWHERE,
        _ => *numbers.pick(&source.clients)?,
    };
    let is_refused = matches!(end, End::Refused(_));
    let answered_ms = response_ms.max(0);
    Some(RequestLine {
        time_ms,
        request_id: format!("{}-{}-{}", time_ms / 1_000, numbers.below(100_000), numbers.below(1 << 31)),
        client,
        customer: Some(source.key.customer.get()),
        // The edge refuses before it has chosen a backend.
        service: (!is_refused).then(|| service.to_owned()),
        fingerprint: if is_refused { None } else { Some(fingerprint?) },
        class,
        reason: reason.map(str::to_owned),
        status,
        received_bytes: numbers.between(240, 900),
        sent_bytes: if response_ms < 0 { 420 } else { numbers.between(300, 6_000) },
        queue_ms: if response_ms < 0 { -1 } else { 0 },
        connect_ms: if response_ms < 0 { -1 } else { numbers.below(2) },
        response_ms,
        total_ms: answered_ms + numbers.below(4),
        server,
        ending: ending.to_owned(),
    })
}

/// A server's own answer, wrong as often as the minute counted.
fn served_status(traffic: &Traffic, numbers: &mut Numbers) -> i64 {
    let place = numbers.below(traffic.guaranteed + traffic.burst);
    if place < traffic.client_errors {
        return numbers.pick(&[400, 404, 404, 422]).copied().unwrap_or(400);
    }
    if place < traffic.client_errors + traffic.server_errors { 500 } else { 200 }
}
