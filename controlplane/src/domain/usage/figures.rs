//! What usage means: the figures that are billed, from the counters that are kept.

use crate::db::usage_records::{self, Asked, Sums};
use crate::db::{Database, DbError, customers};
use crate::domain::DomainError;
use std::collections::BTreeMap;

/// What is billed, and what is not. Over a short time a figure can be negative: outcomes are counted after admission, and a
/// window can end between. Only who shows one to a person shows 0 then; sums need the true number.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Figures {
    /// Served at the guaranteed rate.
    pub guaranteed: i64,
    /// Served above it.
    pub burst: i64,
    /// Refused, by the converter or by HAProxy.
    pub rejected: i64,
    /// Let through, and not answered by a server.
    pub unserved: i64,
}

impl Figures {
    /// From sums of counters.
    pub fn of(sums: &Sums) -> Self {
        Self {
            guaranteed: sums.admitted - sums.burst - sums.rejected - sums.unserved_guaranteed,
            burst: sums.burst - sums.unserved_burst,
            rejected: sums.rejected + sums.refused,
            unserved: sums.unserved_guaranteed + sums.unserved_burst,
        }
    }

    /// Adds others.
    pub const fn add(&mut self, more: &Self) {
        self.guaranteed += more.guaranteed;
        self.burst += more.burst;
        self.rejected += more.rejected;
        self.unserved += more.unserved;
    }
}

/// A customer's figures, and why requests were refused, by the code that callers were answered.
///
/// # Errors
/// [`DomainError::NoCustomer`].
pub fn of_customer(
    database: &mut Database,
    asked: &Asked,
) -> Result<(Figures, BTreeMap<String, u64>), DomainError> {
    database.read(|tx| {
        if customers::find(tx, asked.customer)?.is_none() {
            return Err(DomainError::NoCustomer(asked.customer));
        }
        let sums = usage_records::sums(tx, asked)?;
        Ok((Figures::of(&sums), usage_records::reasons(tx, asked)?))
    })
}

/// A customer's figures for each time of `length_s` seconds in which there was anything, by its beginning, unix seconds. Where
/// only longer windows are left, what is in one stands at its beginning.
///
/// # Errors
/// [`DbError`].
pub fn by_time(
    database: &mut Database,
    asked: &Asked,
    length_s: u32,
) -> Result<BTreeMap<i64, Figures>, DbError> {
    let sums = database.read(|tx| usage_records::sums_by_time(tx, asked, length_s))?;
    Ok(sums.iter().map(|(start_s, sums)| (*start_s, Figures::of(sums))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_the_formula() {
        let sums = Sums {
            admitted: 100,
            burst: 30,
            rejected: 8,
            refused: 50,
            unserved_guaranteed: 5,
            unserved_burst: 4,
        };
        let expected = Figures { guaranteed: 57, burst: 26, rejected: 58, unserved: 9 };
        assert_eq!(Figures::of(&sums), expected);
    }
}
