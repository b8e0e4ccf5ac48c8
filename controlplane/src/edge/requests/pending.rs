//! What has come in and was not handed over yet. Both parts are bounded.

use crate::domain::requests::{
    Counts, LINES_MAX, MinuteRow, Outcome, Owner, RequestLine, STATISTICS_MAX, Window,
};
use crate::edge::requests::Why;
use std::collections::{BTreeMap, VecDeque};

/// How many lines wait at most: about 10 MB, and 3 s of 10,000 a second.
const LINES_WAITING_MAX: usize = 32_768;
/// How many sums are kept at most: so many customers and keys in a minute.
const SUMS_MAX: usize = 100_000;

/// Lines in their order, and sums by minute and owner.
#[derive(Debug, Default)]
pub struct Pending {
    lines: VecDeque<RequestLine>,
    sums: BTreeMap<(i64, Owner), Counts>,
    /// Sums that are being handed over; what comes meanwhile is added up anew.
    outgoing: BTreeMap<(i64, Owner), Counts>,
    /// The second of the last line, and how many of it were kept.
    second: (i64, u32),
}

impl Pending {
    /// Adds a line up, and keeps it unless `lines_per_s` of its second are kept already. Answers what of it was lost.
    pub fn take(&mut self, line: RequestLine, lines_per_s: u32) -> Option<Why> {
        let added = self.add_up(&line);
        let second = line.time_ms.div_euclid(1_000);
        if self.second.0 != second {
            self.second = (second, 0);
        }
        if self.second.1 >= lines_per_s {
            return added.err().or(Some(Why::Sampled));
        }
        self.second.1 += 1;
        if self.lines.len() >= LINES_WAITING_MAX {
            return added.err().or(Some(Why::QueueFull));
        }
        self.lines.push_back(line);
        added.err()
    }

    /// How many lines wait.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// From now on the sums until now are handed over.
    pub fn begin_statistics(&mut self) {
        if self.outgoing.is_empty() {
            self.outgoing = std::mem::take(&mut self.sums);
        }
    }

    /// The next lines and sums to hand over, as many as a batch may have.
    pub fn next_part(&mut self) -> (Vec<RequestLine>, Vec<MinuteRow>) {
        let lines = self.lines.drain(..self.lines.len().min(LINES_MAX)).collect();
        let mut statistics = Vec::new();
        while statistics.len() < STATISTICS_MAX
            && let Some(((window_start_s, owner), counts)) = self.outgoing.pop_first()
        {
            statistics.push(MinuteRow { window_start_s, owner, counts });
        }
        (lines, statistics)
    }

    fn add_up(&mut self, line: &RequestLine) -> Result<(), Why> {
        let (Some(outcome), Some(owner)) = (Outcome::of(line), Owner::of(line)) else { return Ok(()) };
        let key = (Window::Minute.start_of(line.time_ms.div_euclid(1_000)), owner);
        if self.sums.len() >= SUMS_MAX && !self.sums.contains_key(&key) {
            return Err(Why::StatisticsFull);
        }
        self.sums.entry(key).or_default().add(outcome, line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::requests::Class;

    fn line(time_ms: i64, customer: u32) -> RequestLine {
        RequestLine {
            time_ms,
            request_id: "1-2-3".to_owned(),
            client: std::net::Ipv4Addr::LOCALHOST.into(),
            customer: Some(customer),
            service: Some("seal".to_owned()),
            fingerprint: Some(9),
            class: Some(Class::Guaranteed),
            reason: None,
            status: 200,
            received_bytes: 1,
            sent_bytes: 2,
            queue_ms: 0,
            connect_ms: 0,
            response_ms: 5,
            total_ms: 6,
            server: "seal1".to_owned(),
            ending: "----".to_owned(),
        }
    }

    #[test]
    fn lines_beyond_the_bounds_are_dropped_and_still_added_up() {
        let mut pending = Pending::default();
        for number in 0..40_000 {
            let lost = pending.take(line(number, 7), u32::MAX);
            let expected = (number >= LINES_WAITING_MAX as i64).then_some(Why::QueueFull);
            assert_eq!(lost, expected, "{number}");
        }
        assert_eq!(pending.take(line(41_000, 7), 0), Some(Why::Sampled));
        pending.begin_statistics();
        let (lines, statistics) = pending.next_part();
        assert_eq!((lines.len(), pending.lines()), (LINES_MAX, LINES_WAITING_MAX - LINES_MAX));
        let [row] = <[MinuteRow; 1]>::try_from(statistics).unwrap();
        assert_eq!(
            (row.counts.guaranteed, row.counts.sent_bytes, row.counts.times.count()),
            (40_001, 80_002, 40_001)
        );
    }

    #[test]
    fn each_second_keeps_as_many_lines_as_it_may() {
        let mut pending = Pending::default();
        let kept = |pending: &mut Pending, second: i64| {
            (0..10).filter(|ms| pending.take(line(second * 1_000 + ms, 7), 4).is_none()).count()
        };
        assert_eq!((kept(&mut pending, 100), kept(&mut pending, 101)), (4, 4));
    }

    #[test]
    fn sums_are_bounded_and_handed_over_in_parts() {
        let mut pending = Pending::default();
        for customer in 1..=100_000 {
            assert_eq!(pending.take(line(1, customer), 0), Some(Why::Sampled));
        }
        assert_eq!(pending.take(line(1, 100_001), u32::MAX), Some(Why::StatisticsFull));
        assert_eq!(pending.take(line(1, 5), u32::MAX), None);
        pending.begin_statistics();
        assert_eq!(pending.take(line(1, 100_001), u32::MAX), None);
        assert_eq!(pending.next_part().1.len(), STATISTICS_MAX);
    }
}
