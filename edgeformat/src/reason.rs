//! Every reason for which the edge refuses a request (DESIGN section 4, "Answers").
//!
//! This is the one table: `errors.map`, the module, the control plane and `docs/FAILURE-MODES.md` follow it, and
//! tests compare each of them with it. A number, once given, is never given to something else: it stands in logs.

use std::fmt;

/// Why a request is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// No credential in the request.
    MissingKey = 1,
    /// The credential is not the canonical text of a key, or there is more than one.
    Malformed = 2,
    /// The first letter names no service.
    UnknownService = 3,
    /// A key version that is not issued, or version 0 in a group that does not accept it.
    UnsupportedVersion = 4,
    /// The keyring has no such master key group.
    UnknownGroup = 5,
    /// The authentication tag is wrong.
    BadMac = 6,
    /// Customer id 0.
    BadCustomer = 7,
    /// The key was revoked.
    Revoked = 8,
    /// The key's time is over.
    Expired = 9,
    /// The customer has no such service.
    NoService = 10,
    /// The customer has switched the service off.
    Disabled = 11,
    /// The service is suspended: unpaid.
    SuspendedNoPayment = 12,
    /// The service is suspended: the spending limit is reached.
    SuspendedSpendingLimit = 13,
    /// The service is suspended by an operator.
    SuspendedOperator = 14,
    /// The customer as a whole is suspended or closed.
    CustomerSuspended = 15,
    /// The caller's address is not on the customer's allowlist.
    AddressNotAllowed = 16,
    /// Guaranteed and burst rate are used up in this second.
    RateLimited = 17,
    /// Too many failed keys came from this source lately.
    TooManyFailures = 18,
    /// No server can take the request.
    NoBackend = 19,
    /// The edge itself cannot judge: module, keyring or table missing, or a panic.
    NotReady = 20,
    /// The key travelled in clear text to a port that wants TLS.
    TlsRequired = 21,
}

struct Row {
    reason: Reason,
    code: &'static str,
    status: u16,
    grpc_status: u8,
    title: &'static str,
}

// gRPC status codes: 16 UNAUTHENTICATED, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 14 UNAVAILABLE
// (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
const fn row(reason: Reason, code: &'static str, status: u16, grpc_status: u8, title: &'static str) -> Row {
    Row { reason, code, status, grpc_status, title }
}

const TABLE: [Row; 21] = [
    row(Reason::MissingKey, "missing_key", 401, 16, "No API key was sent"),
    row(Reason::Malformed, "malformed", 401, 16, "The credential is not an API key"),
    row(Reason::UnknownService, "unknown_service", 401, 16, "The key names no service that exists"),
    row(
        Reason::UnsupportedVersion,
        "unsupported_version",
        401,
        16,
        "The key has a version that is not accepted",
    ),
    row(Reason::UnknownGroup, "unknown_group", 401, 16, "The key belongs to a group that is not known here"),
    row(Reason::BadMac, "bad_mac", 401, 16, "The key is not authentic"),
    row(Reason::BadCustomer, "bad_customer", 401, 16, "The key names no customer"),
    row(Reason::Revoked, "revoked", 401, 16, "The key was revoked"),
    row(Reason::Expired, "expired", 401, 16, "The key has expired"),
    row(Reason::NoService, "no_service", 403, 7, "The customer does not have this service"),
    row(Reason::Disabled, "disabled", 403, 7, "The service is switched off"),
    row(
        Reason::SuspendedNoPayment,
        "suspended_no_payment",
        403,
        7,
        "The service is suspended for lack of payment",
    ),
    row(Reason::SuspendedSpendingLimit, "suspended_spending_limit", 403, 7, "The spending limit is reached"),
    row(Reason::SuspendedOperator, "suspended_operator", 403, 7, "The service is suspended by an operator"),
    row(Reason::CustomerSuspended, "customer_suspended", 403, 7, "The account is suspended or closed"),
    row(
        Reason::AddressNotAllowed,
        "address_not_allowed",
        403,
        7,
        "The key may not be used from this address",
    ),
    row(Reason::RateLimited, "rate_limited", 429, 8, "The rate limit of the plan is reached"),
    row(Reason::TooManyFailures, "too_many_failures", 429, 8, "Too many failed keys came from this address"),
    row(Reason::NoBackend, "no_backend", 503, 14, "The service is not available here now"),
    row(Reason::NotReady, "not_ready", 503, 14, "The edge is not ready"),
    row(Reason::TlsRequired, "tls_required", 403, 7, "This port does not take keys in clear text; use TLS"),
];

impl Reason {
    /// All reasons in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.reason)
    }

    /// The reason with this number, 1..=21.
    pub fn from_number(number: u8) -> Option<Self> {
        TABLE.get(usize::from(number).checked_sub(1)?).map(|row| row.reason)
    }

    /// The reason with this word (`bad_mac`, …).
    pub fn from_code(code: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.code == code).map(|row| row.reason)
    }

    /// The number, 1..=21: what the module returns and HAProxy looks up in `errors.map`.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The word that answers carry as `code` and logs as `reason`. Stable.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// The `grpc-status` of the answer to a gRPC caller.
    pub fn grpc_status(self) -> u8 {
        self.row().grpc_status
    }

    /// One sentence for the caller. Operators may reword it in `errors.map`.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// Whether a request refused so counts against its source (reasons 2 to 9: somebody tries keys).
    pub const fn counts_against_source(self) -> bool {
        matches!(self.number(), 2..=9)
    }

    /// The value of this reason in `errors.map`: `status|code|title|grpc-status`.
    pub fn map_value(self) -> String {
        let Row { code, status, grpc_status, title, .. } = self.row();
        format!("{status}|{code}|{title}|{grpc_status}")
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "numbers are 1..=21 and the table has 21 rows; a test walks all"
    )]
    fn row(self) -> &'static Row {
        &TABLE[usize::from(self.number() - 1)]
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl From<apikey::KeyError> for Reason {
    fn from(error: apikey::KeyError) -> Self {
        match error {
            apikey::KeyError::Malformed => Self::Malformed,
            apikey::KeyError::UnknownService => Self::UnknownService,
            apikey::KeyError::UnsupportedVersion => Self::UnsupportedVersion,
            apikey::KeyError::UnknownGroup => Self::UnknownGroup,
            apikey::KeyError::BadMac => Self::BadMac,
            apikey::KeyError::BadCustomer => Self::BadCustomer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_its_numbers_and_both_look_ups_agree() {
        for (index, reason) in Reason::all().enumerate() {
            assert_eq!(usize::from(reason.number()), index + 1);
            assert_eq!(Reason::from_number(reason.number()), Some(reason));
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(Reason::all().count(), 21);
        assert_eq!(Reason::from_number(0), None);
        assert_eq!(Reason::from_number(22), None);
    }

    #[test]
    fn titles_can_stand_in_a_map_value_and_in_json_without_escaping() {
        for reason in Reason::all() {
            assert!(reason.title().chars().all(|c| c.is_ascii() && !c.is_control() && !"|\"\\%".contains(c)));
        }
    }
}
