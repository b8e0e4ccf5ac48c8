//! What became of a request, in the words of the bill.

use crate::domain::requests::{Class, RequestLine};

/// Reasons for which HAProxy refuses what the module has admitted.
const AFTER_ADMISSION: [&str; 4] =
    ["rate_limited", "address_not_allowed", "too_many_failures", "content_too_large"];
/// Reasons that mean that no server answered.
const NOT_SERVED: [&str; 3] = ["no_backend", "bad_gateway", "gateway_timeout"];

/// What became of a request of a known customer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Served within the guaranteed rate; also if the caller left before the answer.
    Guaranteed,
    /// Served in the burst.
    Burst,
    /// Admitted and then refused, by a limit or by where or how it came.
    Rejected,
    /// The key was right, but not good for this.
    Refused,
    /// Admitted, and no server answered.
    Unserved,
}

impl Outcome {
    /// Of this line; none where nobody's key was in it (a preflight, an unknown key, no request at all).
    pub fn of(line: &RequestLine) -> Option<Self> {
        line.customer?;
        let reason = line.reason.as_deref();
        match (line.class, reason) {
            (Some(_), Some(reason)) if NOT_SERVED.contains(&reason) && no_server_answered(line) => {
                Some(Self::Unserved)
            }
            // HAProxy itself says these, and only where the server never began to answer.
            (Some(_), None) if matches!(line.status, 502..=504) && no_server_answered(line) => {
                Some(Self::Unserved)
            }
            (Some(Class::Guaranteed), _) => Some(Self::Guaranteed),
            (Some(Class::Burst), _) => Some(Self::Burst),
            (None, Some("no_backend")) if line.was_admitted() => Some(Self::Unserved),
            (None, Some(reason)) if line.was_admitted() && AFTER_ADMISSION.contains(&reason) => {
                Some(Self::Rejected)
            }
            (None, Some(_)) => Some(Self::Refused),
            (None, None) => None,
        }
    }
}

const fn no_server_answered(line: &RequestLine) -> bool {
    line.response_ms < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(class: Option<Class>, reason: Option<&str>, status: i64, response_ms: i64) -> RequestLine {
        RequestLine {
            time_ms: 0,
            request_id: "1-2-3".to_owned(),
            client: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            customer: Some(7),
            service: Some("seal".to_owned()),
            fingerprint: Some(9),
            class,
            reason: reason.map(str::to_owned),
            status,
            received_bytes: 1,
            sent_bytes: 2,
            queue_ms: 0,
            connect_ms: 0,
            response_ms,
            total_ms: 3,
            server: "seal1".to_owned(),
            ending: "----".to_owned(),
        }
    }

    #[test]
    fn each_kind_of_line_has_its_outcome() {
        let (guaranteed, burst) = (Some(Class::Guaranteed), Some(Class::Burst));
        for (class, reason, status, response_ms, expected) in [
            (guaranteed, None, 200, 3, Some(Outcome::Guaranteed)),
            (burst, None, 404, 3, Some(Outcome::Burst)),
            // The server's own 503 is an answer; HAProxy's is none.
            (guaranteed, None, 503, 3, Some(Outcome::Guaranteed)),
            (guaranteed, None, 503, -1, Some(Outcome::Unserved)),
            (burst, None, 504, -1, Some(Outcome::Unserved)),
            // gRPC: the status is 200, the reason says it.
            (burst, Some("gateway_timeout"), 200, -1, Some(Outcome::Unserved)),
            (burst, Some("bad_gateway"), 200, 5, Some(Outcome::Burst)),
            // The caller left.
            (guaranteed, None, -1, -1, Some(Outcome::Guaranteed)),
            (None, Some("rate_limited"), 429, -1, Some(Outcome::Rejected)),
            (None, Some("content_too_large"), 413, -1, Some(Outcome::Rejected)),
            (None, Some("address_not_allowed"), 403, -1, Some(Outcome::Rejected)),
            (None, Some("no_backend"), 503, -1, Some(Outcome::Unserved)),
            (None, Some("suspended_no_payment"), 403, -1, Some(Outcome::Refused)),
            (None, None, 400, -1, None),
        ] {
            let line = line(class, reason, status, response_ms);
            assert_eq!(Outcome::of(&line), expected, "{line:?}");
        }
    }

    #[test]
    fn who_was_never_admitted_is_refused_and_who_is_not_known_has_no_outcome() {
        let mut line = line(None, Some("too_many_failures"), 429, -1);
        assert_eq!(Outcome::of(&line), Some(Outcome::Rejected));
        line.fingerprint = None;
        assert_eq!(Outcome::of(&line), Some(Outcome::Refused));
        line.customer = None;
        assert_eq!(Outcome::of(&line), None);
    }
}
