//! The usage ledger: what an edge has counted, by customer and service, in one file (DESIGN section 4, "Metering").
//!
//! A file of fixed size that the module in HAProxy maps and adds to, and the agent maps and reads. Every number in it is
//! an aligned 64-bit word in little-endian order, and every counter only grows, so that what is read at any time, in any
//! order and any number of times can be put together: of two readings of a counter the greater one is the later one.
//!
//! | at byte | words | what |
//! |---|---|---|
//! | 0 | 8 | [`Header`]: [`MAGIC`], [`FORMAT_VERSION`], id, generation, created (unix milliseconds), slots, counters a slot, boot |
//! | 64 | 1 | checksum of the 64 bytes before it: the first 8 bytes of their SHA-256 |
//! | 72 | 1 | slots that are taken |
//! | 128 | 16 | counters of requests whose customer found no slot |
//! | 4096 | slots | who has the slot: customer · 256 + service's number; 0: nobody |
//! | 4096 + 8 · slots | 16 · slots | the counters of each slot, 128 bytes: see [`Counter`] |
//!
//! The slots are a hash table with linear probing ([`first_slot`], at most [`PROBES_MAX`] steps) whose entries are never
//! removed: several processes take slots in it at once with one compare-and-swap each, and none of them twice. Who is gone
//! leaves with the file: a new one, with the next generation, takes its place.

use crate::PolicyKey;
use apikey::{CustomerId, Service};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// The first word of the file: `suiftly` and a zero byte.
pub const MAGIC: u64 = u64::from_le_bytes(*b"suiftly\0");
/// The layout described here.
pub const FORMAT_VERSION: u64 = 1;
/// Words before the checksum.
const HEADER_WORDS: usize = 8;
/// Where the counters of requests without a slot begin, in bytes.
pub const UNPLACED_OFFSET: usize = 128;
/// Where the number of taken slots stands, in bytes.
pub const TAKEN_OFFSET: usize = 72;
/// Where the slots begin, in bytes.
pub const SLOTS_OFFSET: usize = 4096;
/// Counters of one slot.
pub const COUNTERS: usize = 16;
/// How many slots are looked at for one customer. A table that is half full needs about 70 at worst in a million.
pub const PROBES_MAX: usize = 512;
/// The fewest and the most slots of a file.
pub const SLOTS_MIN: usize = 8_192;
/// See [`SLOTS_MIN`]: 16,777,216 slots are 2.3 GB.
pub const SLOTS_MAX: usize = 1 << 24;

/// Names one ledger file for ever; random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LedgerId(u64);

impl LedgerId {
    /// An id from a random number; 0 is none.
    pub const fn from_u64(id: u64) -> Option<Self> {
        if id == 0 { None } else { Some(Self(id)) }
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for LedgerId {
    type Err = crate::FieldError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        crate::digest::parse_hex64(text)
            .and_then(Self::from_u64)
            .ok_or_else(|| crate::FieldError::new("a ledger's id is 16 lower-case hex digits, not all 0"))
    }
}

/// What never changes in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Which file.
    pub id: LedgerId,
    /// 1 for the first file of an edge, 2 for the one that took its place, and so on.
    pub generation: u64,
    /// When it was made, unix milliseconds.
    pub created_at_ms: u64,
    /// Slots; a power of two, [`SLOTS_MIN`] to [`SLOTS_MAX`].
    pub slots: usize,
    /// Which run of the machine it was made in, any number that differs between them: what a power cut leaves of a file may be
    /// older than what was read of it, so nobody goes on counting in it.
    pub boot: u64,
}

/// Why a file cannot be used as a ledger.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// It is something else, or its first bytes are damaged.
    #[error("it is no usage ledger: it does not begin with the ledger's mark")]
    NoLedger,
    /// A layout of another version of suiftly.
    #[error("its layout has version {0}; this suiftly knows version {FORMAT_VERSION}")]
    OtherVersion(u64),
    /// The header is damaged.
    #[error("its header is damaged: {0}")]
    Damaged(&'static str),
    /// The file has another length than its header says.
    #[error("it has {found} bytes, its header says {expected}")]
    Length {
        /// By the header.
        expected: u64,
        /// As it is.
        found: u64,
    },
}

impl Header {
    /// Bytes of the first part of the file that [`Self::read`] wants: header and checksum.
    pub const LEN: usize = HEADER_WORDS * 8 + 8;

    /// The first bytes of the file.
    pub fn bytes(&self) -> [u8; Self::LEN] {
        let words = [
            MAGIC,
            FORMAT_VERSION,
            self.id.get(),
            self.generation,
            self.created_at_ms,
            self.slots as u64,
            COUNTERS as u64,
            self.boot,
        ];
        let mut bytes = [0; Self::LEN];
        let (head, checksum) = bytes.split_at_mut(HEADER_WORDS * 8);
        for (place, word) in head.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        checksum.copy_from_slice(&checksum_of(head).to_le_bytes());
        bytes
    }

    /// Reads them back; `file_len` is the length of the whole file in bytes.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(bytes: &[u8; Self::LEN], file_len: u64) -> Result<Self, HeaderError> {
        let (head, checksum) = bytes.split_at(HEADER_WORDS * 8);
        let mut words = [0; HEADER_WORDS];
        for (word, place) in words.iter_mut().zip(head.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*place);
        }
        let [magic, version, id, generation, created_at_ms, slots, counters, boot] = words;
        if magic != MAGIC {
            return Err(HeaderError::NoLedger);
        }
        if version != FORMAT_VERSION {
            return Err(HeaderError::OtherVersion(version));
        }
        if checksum != checksum_of(head).to_le_bytes() {
            return Err(HeaderError::Damaged("the checksum is wrong"));
        }
        let slots = usize::try_from(slots).ok().filter(|slots| {
            slots.is_power_of_two() && (SLOTS_MIN..=SLOTS_MAX).contains(slots) && counters == COUNTERS as u64
        });
        let slots = slots.ok_or(HeaderError::Damaged("no such number of slots or counters"))?;
        let id = LedgerId::from_u64(id).ok_or(HeaderError::Damaged("it has no id"))?;
        let header = Self { id, generation, created_at_ms, slots, boot };
        let expected = header.file_len();
        if expected != file_len {
            return Err(HeaderError::Length { expected, found: file_len });
        }
        Ok(header)
    }

    /// Length of the whole file in bytes.
    pub const fn file_len(&self) -> u64 {
        (SLOTS_OFFSET + self.slots * (8 + COUNTERS * 8)) as u64
    }
}

fn checksum_of(head: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(head).into();
    digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// The word in a slot's key: customer and service. Never 0.
pub const fn packed_key(key: PolicyKey) -> u64 {
    (key.customer.get() as u64) << 8 | key.service.number() as u64
}

/// The customer and service of such a word; none where it is damaged.
pub fn unpacked_key(word: u64) -> Option<PolicyKey> {
    let customer = CustomerId::new(u32::try_from(word >> 8).ok()?)?;
    let service = Service::from_number((word & 0xff) as u8)?;
    Some(PolicyKey { customer, service })
}

/// Where the search for a customer's slot begins; it goes on with the next slot, after the last with the first.
pub const fn first_slot(packed_key: u64, slots: usize) -> usize {
    // Fibonacci hashing: customers' ids are random, but those of the documents' examples are 1, 2, 3.
    let mixed = packed_key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize & (slots - 1)
}

/// What is counted. The number is the place in a slot and is never given to anything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Counter {
    /// Let through by the converter. Every other counter up to [`Self::ContentTooLarge`] is part of this one.
    Admitted = 0,
    /// Served above the guaranteed rate.
    Burst = 1,
    /// Let through at the guaranteed rate, and then answered 502, 503 or 504 by HAProxy itself, or without a server.
    UnservedGuaranteed = 2,
    /// The same above the guaranteed rate; these are part of [`Self::Burst`], too.
    UnservedBurst = 3,
    /// Let through, then refused for their address (reason 16).
    AddressNotAllowed = 4,
    /// Let through, then refused over the limit (reason 17).
    RateLimited = 5,
    /// Let through, then refused for the failures of their source (reason 18; version 0 only).
    TooManyFailures = 6,
    /// Let through, then refused for the length of their body.
    ContentTooLarge = 7,
    /// Refused, reason 8. Here and below the number is the reason's, and nothing is part of [`Self::Admitted`].
    Revoked = 8,
    /// Refused, reason 9.
    Expired = 9,
    /// Refused, reason 10.
    NoService = 10,
    /// Refused, reason 11.
    Disabled = 11,
    /// Refused, reason 12.
    SuspendedNoPayment = 12,
    /// Refused, reason 13.
    SuspendedSpendingLimit = 13,
    /// Refused, reason 14.
    SuspendedOperator = 14,
    /// Refused, reason 15.
    CustomerSuspended = 15,
}

impl Counter {
    /// All of them, by number.
    pub const ALL: [Self; COUNTERS] = [
        Self::Admitted,
        Self::Burst,
        Self::UnservedGuaranteed,
        Self::UnservedBurst,
        Self::AddressNotAllowed,
        Self::RateLimited,
        Self::TooManyFailures,
        Self::ContentTooLarge,
        Self::Revoked,
        Self::Expired,
        Self::NoService,
        Self::Disabled,
        Self::SuspendedNoPayment,
        Self::SuspendedSpendingLimit,
        Self::SuspendedOperator,
        Self::CustomerSuspended,
    ];

    /// Those of requests that were let through and then refused by HAProxy.
    pub const REJECTED: [Self; 4] =
        [Self::AddressNotAllowed, Self::RateLimited, Self::TooManyFailures, Self::ContentTooLarge];

    /// Those of requests that the converter refused, knowing whose they were.
    pub const REFUSED: [Self; 8] = [
        Self::Revoked,
        Self::Expired,
        Self::NoService,
        Self::Disabled,
        Self::SuspendedNoPayment,
        Self::SuspendedSpendingLimit,
        Self::SuspendedOperator,
        Self::CustomerSuspended,
    ];

    /// The place in a slot.
    pub const fn number(self) -> usize {
        self as usize
    }

    /// The counter's word: for a refusal the `code` of the answer.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Burst => "burst",
            Self::UnservedGuaranteed => "unserved_guaranteed",
            Self::UnservedBurst => "unserved_burst",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::RateLimited => "rate_limited",
            Self::TooManyFailures => "too_many_failures",
            Self::ContentTooLarge => "content_too_large",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::NoService => "no_service",
            Self::Disabled => "disabled",
            Self::SuspendedNoPayment => "suspended_no_payment",
            Self::SuspendedSpendingLimit => "suspended_spending_limit",
            Self::SuspendedOperator => "suspended_operator",
            Self::CustomerSuspended => "customer_suspended",
        }
    }
}

/// One reading of the counters of a slot, or a sum or difference of such readings.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counters(pub [u64; COUNTERS]);

impl Counters {
    /// One of them.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter.number()).copied().unwrap_or(0)
    }

    fn sum_of(&self, counters: &[Counter]) -> u64 {
        counters.iter().map(|counter| self.get(*counter)).fold(0, u64::saturating_add)
    }

    /// Let through by the converter.
    pub fn admitted(&self) -> u64 {
        self.get(Counter::Admitted)
    }

    /// Let through, then refused by HAProxy.
    pub fn rejected(&self) -> u64 {
        self.sum_of(&Counter::REJECTED)
    }

    /// Refused by the converter, knowing whose they were.
    pub fn refused(&self) -> u64 {
        self.sum_of(&Counter::REFUSED)
    }

    /// Let through, and then answered by HAProxy for want of a server's answer; not billed.
    pub fn unserved(&self) -> u64 {
        self.get(Counter::UnservedGuaranteed).saturating_add(self.get(Counter::UnservedBurst))
    }

    /// What is billed at the guaranteed rate. Over a short time it can be negative: outcomes are counted after
    /// [`Counter::Admitted`], and a reading can fall between.
    pub fn billed_guaranteed(&self) -> i64 {
        let not_guaranteed = self.get(Counter::Burst).saturating_add(self.rejected());
        difference(self.admitted(), not_guaranteed.saturating_add(self.get(Counter::UnservedGuaranteed)))
    }

    /// What is billed above the guaranteed rate.
    pub fn billed_burst(&self) -> i64 {
        difference(self.get(Counter::Burst), self.get(Counter::UnservedBurst))
    }

    /// What this reading has more than an earlier one; a counter that is smaller gives 0, as it comes from an older reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }

    /// The greater of each: what two readings of one slot know together.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        self.zip(other, u64::max)
    }

    /// The sum of each.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// Whether every counter is 0.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|count| *count == 0)
    }

    fn zip(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        let mut result = *self;
        for (ours, theirs) in result.0.iter_mut().zip(&other.0) {
            *ours = with(*ours, *theirs);
        }
        result
    }
}

fn difference(more: u64, less: u64) -> i64 {
    // Counters stay below 2^63 for as long as there are computers of this kind.
    more.wrapping_sub(less).cast_signed()
}

/// What an agent tells its control plane of one ledger: slots that have changed since it was last heard, whole counters
/// and not differences, so that telling it twice or in another order changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerReading {
    /// [`LedgerId`], 16 hex digits.
    pub ledger: String,
    /// [`Header::generation`].
    pub generation: u64,
    /// [`Header::created_at_ms`].
    pub created_at_ms: u64,
    /// When the counters were read, unix milliseconds, by the edge's clock: which window they belong to.
    pub read_at_ms: i64,
    /// Whether this is the last reading: nobody counts in this file any more.
    #[serde(default)]
    pub closed: bool,
    /// Customer, service's number, and the counters without the zeros at the end.
    pub slots: Vec<(u32, u8, Vec<u64>)>,
}

/// One slot of a [`LedgerReading`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotReading {
    /// Whose.
    pub key: PolicyKey,
    /// All that was counted since the file was made.
    pub counters: Counters,
}

impl SlotReading {
    /// As it travels.
    pub fn to_wire(&self) -> (u32, u8, Vec<u64>) {
        let used = self.counters.0.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let counters = self.counters.0.iter().take(used).copied().collect();
        (self.key.customer.get(), self.key.service.number(), counters)
    }

    /// Read back; none for what no edge says: an unknown service, customer 0, too many counters.
    pub fn from_wire(wire: &(u32, u8, Vec<u64>)) -> Option<Self> {
        let (customer, service, told) = wire;
        let key =
            PolicyKey { customer: CustomerId::new(*customer)?, service: Service::from_number(*service)? };
        let mut counters = Counters::default();
        if told.len() > COUNTERS {
            return None;
        }
        for (place, count) in counters.0.iter_mut().zip(told) {
            *place = *count;
        }
        Some(Self { key, counters })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use crate::Reason;

    fn header() -> Header {
        Header {
            id: LedgerId::from_u64(0x1234).unwrap(),
            generation: 3,
            created_at_ms: 7,
            slots: SLOTS_MIN,
            boot: 5,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = header();
        assert_eq!(header.file_len(), 4096 + 8192 * 136);
        assert_eq!(Header::read(&header.bytes(), header.file_len()), Ok(header));
        assert_eq!(
            Header::read(&header.bytes(), 5),
            Err(HeaderError::Length { expected: header.file_len(), found: 5 })
        );
    }

    #[test]
    fn no_bit_of_a_header_can_change_unseen() {
        let (header, bytes) = (header(), header().bytes());
        for bit in 0..Header::LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::read(&damaged, header.file_len()).is_err(), "bit {bit}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        assert_eq!(Header::read(&newer, header.file_len()), Err(HeaderError::OtherVersion(2)));
    }

    #[test]
    fn refusals_are_counted_under_the_code_and_number_of_their_reason() {
        for counter in Counter::REFUSED {
            let reason = Reason::from_number(u8::try_from(counter.number()).unwrap()).unwrap();
            assert_eq!(reason.code(), counter.word());
        }
        let codes: Vec<&str> = Reason::all().map(Reason::code).collect();
        for counter in [Counter::AddressNotAllowed, Counter::RateLimited, Counter::TooManyFailures] {
            assert!(codes.contains(&counter.word()), "{counter:?}");
        }
        for (number, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter.number(), number);
        }
    }

    #[test]
    fn figures_follow_the_formula() {
        let mut counters = Counters::default();
        for (counter, count) in [
            (Counter::Admitted, 100),
            (Counter::Burst, 30),
            (Counter::UnservedGuaranteed, 5),
            (Counter::UnservedBurst, 4),
            (Counter::RateLimited, 7),
            (Counter::ContentTooLarge, 1),
            (Counter::Revoked, 50),
        ] {
            counters.0[counter.number()] = count;
        }
        assert_eq!((counters.billed_guaranteed(), counters.billed_burst()), (100 - 30 - 8 - 5, 26));
        assert_eq!((counters.rejected(), counters.refused(), counters.unserved()), (8, 50, 9));
        let early = Counters([5, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(early.billed_guaranteed(), -2);
        assert_eq!(early.since(&counters).0, [0; COUNTERS]);
        assert_eq!(early.max(&counters), counters);
    }

    #[test]
    fn a_slot_travels_without_its_last_zeros() {
        let key = unpacked_key(7 << 8 | 1).unwrap();
        let mut counters = Counters::default();
        counters.0[2] = 9;
        let slot = SlotReading { key, counters };
        assert_eq!(slot.to_wire(), (7, 1, vec![0, 0, 9]));
        assert_eq!(SlotReading::from_wire(&slot.to_wire()), Some(slot));
        assert_eq!(packed_key(key), 7 << 8 | 1);
        for wrong in [(0, 1, vec![]), (7, 9, vec![]), (7, 1, vec![0; 17])] {
            assert_eq!(SlotReading::from_wire(&wrong), None);
        }
        assert_eq!(unpacked_key(1), None);
        assert_eq!(unpacked_key(1 << 41), None);
    }
}
