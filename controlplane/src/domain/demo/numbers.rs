//! Numbers that look random and are the same for the same seed (splitmix64). For show only, never for a secret.

/// The next ones.
pub(super) struct Numbers(u64);

impl Numbers {
    /// From a seed.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below `end`, which counts as at least 1.
    pub(super) fn below(&mut self, end: i64) -> i64 {
        (self.next() >> 1).cast_signed() % end.max(1)
    }

    /// From `first` to `last`, both included.
    pub(super) fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below(last - first + 1)
    }

    /// True in so many of a thousand cases.
    pub(super) fn chance(&mut self, permille: i64) -> bool {
        self.below(1_000) < permille
    }

    /// A part of a whole, in thousandths; what is left over by dividing becomes one more as often as is fair.
    pub(super) fn part(&mut self, whole: i64, permille: i64) -> i64 {
        let product = whole.saturating_mul(permille);
        product / 1_000 + i64::from(self.chance(product % 1_000))
    }

    /// One of them; none where there is none.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let place = self.below(i64::try_from(from.len()).unwrap_or(i64::MAX));
        usize::try_from(place).ok().and_then(|place| from.get(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_parts_are_fair() {
        let of = |seed| {
            let mut numbers = Numbers::new(seed);
            (0..20).map(|_| numbers.between(-5, 5)).collect::<Vec<_>>()
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert!(of(7).iter().all(|number| (-5..=5).contains(number)));
        let mut numbers = Numbers::new(1);
        let sum: i64 = (0..10_000).map(|_| numbers.part(1, 250)).sum();
        assert!((2_300..2_700).contains(&sum), "{sum}");
        assert_eq!(numbers.pick::<u8>(&[]), None);
    }
}
