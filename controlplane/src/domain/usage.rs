//! What edges have counted, taken into windows of time: each request once, however often and in whatever order it is told.
//!
//! The counters of a slot only grow, and an edge tells them whole. The greatest that were taken are the slot's cursor; what a
//! reading has more than the cursor is new, is added to the minute in which it was read, and the cursor moves, all in one
//! transaction. So a reading that comes twice, late or out of order adds nothing, and one that was never answered is told again.
//!
//! An edge can report only for ledgers of its own, and only what is plausible (`plausible`); more is set aside whole, and a
//! person decides ([`set_aside`]).

pub mod figures;
mod plausible;
mod reading;
pub mod set_aside;

use crate::db::ledgers::{self, LedgerRow, NewLedger};
use crate::db::usage_cursors::{self, Known};
use crate::db::usage_set_aside::{self as table, NewSetAside};
use crate::db::{Database, DbError, WriteTx, edges, plans, usage_records};
use edgeformat::PolicyKey;
use edgeformat::ledger::{Counters, LedgerId, LedgerReading, SlotReading};
use plausible::Bound;
use reading::Told;

/// The most slots that one reading may have; an edge with more tells them in several.
pub const SLOTS_MAX: usize = 20_000;
/// How many slots one transaction takes: all other writers wait for it.
const SLOTS_A_TRANSACTION: usize = 2_500;
/// The most that may be set aside and not decided on. An edge that reports on and on what nobody believes would fill the disk.
const UNDECIDED_MAX: i64 = 100_000;

/// How many new ledgers an edge may report in an hour. One that grows with its customers needs six to grow a thousandfold.
const LEDGERS_PER_HOUR: i64 = 60;
const MS_PER_HOUR: i64 = 3_600_000;

/// What a reading has brought.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Taken {
    /// Slots that had something new and were believed.
    pub slots: u64,
    /// Slots that had something new and were set aside.
    pub set_aside: u64,
}

/// Why a reading was not taken, or only its first part. It can be told again; only [`Self::OtherEdge`] is for ever.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// It is not what an edge sends.
    #[error("the reading is not what an edge sends: {0}")]
    Malformed(&'static str),
    /// More than [`SLOTS_MAX`] slots.
    #[error("the reading has more than {SLOTS_MAX} slots")]
    TooMany,
    /// The ledger was reported by another edge before.
    #[error("the ledger {ledger} belongs to the edge `{owner}`")]
    OtherEdge {
        /// Which ledger.
        ledger: LedgerId,
        /// Whose it is.
        owner: String,
    },
    /// Something would have to be set aside, and too much is already.
    #[error(
        "{UNDECIDED_MAX} reports are set aside and nobody has decided on them; `suiftly admin usage-set-aside list` shows them"
    )]
    TooMuchSetAside,
    /// The edge has begun one ledger after another: each is believed a little more than the time it was there.
    #[error("the edge has begun {LEDGERS_PER_HOUR} ledgers within an hour")]
    TooManyLedgers,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Takes what an edge has read in one of its ledgers. Once a reading says that the ledger is closed, and was taken, later
/// readings of it change nothing: so an edge closes a ledger with its last reading, when all before it were answered.
///
/// # Errors
/// [`UsageError`]; then the first slots may have been taken, and the whole reading is to be told again.
pub fn take(
    database: &mut Database,
    edge: &str,
    reading: &LedgerReading,
    now_ms: i64,
) -> Result<Taken, UsageError> {
    let told = Told::read(reading)?;
    let mut all = Taken::default();
    let mut rest = told.slots.as_slice();
    loop {
        let (part, after) = rest.split_at(rest.len().min(SLOTS_A_TRANSACTION));
        let closes = told.closed && after.is_empty();
        let taken = database.write(|tx| take_part(tx, edge, &told, part, closes, now_ms))?;
        all.slots += taken.slots;
        all.set_aside += taken.set_aside;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    if all.set_aside > 0 {
        tracing::error!(
            edge,
            ledger = %told.ledger,
            set_aside = all.set_aside,
            taken = all.slots,
            "an edge has reported usage that is not plausible; `suiftly admin usage-set-aside list` shows it"
        );
    }
    Ok(all)
}

fn take_part(
    tx: &mut WriteTx<'_>,
    edge: &str,
    told: &Told,
    slots: &[SlotReading],
    closes: bool,
    now_ms: i64,
) -> Result<Taken, UsageError> {
    let ledger = own_ledger(tx, edge, told, now_ms)?;
    if ledger.closed_at_ms.is_some() {
        // A repeated end has none. Slots mean that somebody counts in a ledger whose end was told.
        if !slots.is_empty() {
            tracing::error!(edge, ledger = %told.ledger, slots = slots.len(), "a closed ledger is still counted in; it is not taken");
        }
        return Ok(Taken::default());
    }
    let known = usage_cursors::known(tx, told.ledger, slots.iter().map(|slot| slot.key))?;
    // Retired ones, too: what is told now may have been counted while a plan was in force.
    let every_plan: Vec<edgeformat::Plan> = plans::ever(tx)?.iter().map(|row| row.plan).collect();
    let bound = Bound::of(&every_plan);
    let mut news = News::default();
    for (slot, known) in slots.iter().zip(&known) {
        news.sort(slot, known, &bound, ledger.counts_from_ms, now_ms);
    }
    let taken = Taken { slots: news.believed.len() as u64, set_aside: news.set_aside.len() as u64 };
    let window_start_s = told.window_start_s(ledger.counts_from_ms, now_ms);
    if !news.set_aside.is_empty() {
        let would_be =
            table::count_undecided(tx)?.saturating_add(i64::try_from(taken.set_aside).unwrap_or(i64::MAX));
        if would_be > UNDECIDED_MAX {
            return Err(UsageError::TooMuchSetAside);
        }
        table::insert(tx, (edge, told.ledger), window_start_s, &news.set_aside, now_ms)?;
    }
    if !news.believed.is_empty() {
        usage_records::add(tx, window_start_s, &news.believed)?;
    }
    if !news.cursors.is_empty() {
        usage_cursors::store(tx, told.ledger, &news.cursors)?;
    }
    ledgers::set_heard(tx, told.ledger, now_ms)?;
    if closes {
        // Its cursors, maybe a million, go later and bit by bit (`crate::jobs`).
        ledgers::set_closed(tx, told.ledger, now_ms)?;
    }
    Ok(taken)
}

/// The ledger, which is this edge's from now on if nobody has reported it before.
fn own_ledger(tx: &mut WriteTx<'_>, edge: &str, told: &Told, now_ms: i64) -> Result<LedgerRow, UsageError> {
    if let Some(row) = ledgers::find(tx, told.ledger)? {
        if row.edge == edge {
            return Ok(row);
        }
        tracing::error!(
            edge,
            owner = row.edge,
            ledger = %told.ledger,
            "an edge has reported a ledger of another one: a token was stolen, or a state folder copied"
        );
        return Err(UsageError::OtherEdge { ledger: told.ledger, owner: row.edge });
    }
    if ledgers::begun_since(tx, edge, now_ms.saturating_sub(MS_PER_HOUR))? >= LEDGERS_PER_HOUR {
        return Err(UsageError::TooManyLedgers);
    }
    let edge_known_ms = edges::find(tx, edge)?.map_or(now_ms, |row| row.created_at_ms);
    let last_begun_ms = ledgers::last_begun_ms(tx, edge)?;
    let counts_from_ms = plausible::counts_from_ms(told.created_at_ms, last_begun_ms, edge_known_ms, now_ms);
    let new = NewLedger {
        ledger: told.ledger,
        generation: told.generation,
        created_at_ms: told.created_at_ms,
        counts_from_ms,
    };
    ledgers::insert(tx, edge, new, now_ms)?;
    Ok(LedgerRow { edge: edge.to_owned(), counts_from_ms, closed_at_ms: None })
}

/// What is new in some slots.
#[derive(Default)]
struct News {
    believed: Vec<(PolicyKey, Counters)>,
    set_aside: Vec<NewSetAside>,
    /// Where the slots' cursors stand then. They move over what was set aside, too: it is kept, and must not come again.
    cursors: Vec<(SlotReading, i64)>,
}

impl News {
    fn sort(&mut self, slot: &SlotReading, known: &Known, bound: &Bound, counts_from_ms: i64, now_ms: i64) {
        let (cursor, since_ms) = known.taken.unwrap_or((Counters::default(), counts_from_ms));
        let new = slot.counters.since(&cursor);
        if new.is_zero() {
            return;
        }
        let since_ms = match bound.judge(&new, known.has_customer, since_ms, now_ms) {
            Ok(next_ms) => {
                self.believed.push((slot.key, new));
                next_ms
            }
            Err(why) => {
                self.set_aside.push((slot.key, new, why));
                since_ms.max(now_ms)
            }
        };
        let moved = SlotReading { key: slot.key, counters: slot.counters.max(&cursor) };
        self.cursors.push((moved, since_ms));
    }
}
