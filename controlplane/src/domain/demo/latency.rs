//! How long made-up servers take.

use crate::domain::demo::numbers::Numbers;
use crate::domain::requests::Sketch;
use apikey::Service;

/// Thousandths of the middle, and how many of a thousand answers take so long: most around the middle, some far longer.
const SHAPE: [(i64, i64); 9] = [
    (550, 90),
    (700, 160),
    (900, 230),
    (1_100, 220),
    (1_400, 160),
    (2_000, 90),
    (3_500, 35),
    (7_000, 12),
    (15_000, 3),
];
/// Up to so many answers are drawn one by one; more have the shape.
const DRAWN_MAX: i64 = 25;

/// How long an ordinary answer of a service takes, in milliseconds.
pub(super) const fn ordinary_ms(service: Service) -> i64 {
    match service {
        Service::Seal => 38,
        Service::Grpc => 14,
        Service::Graphql => 64,
    }
}

/// The time of one answer, in milliseconds.
pub(super) fn one(middle_ms: i64, numbers: &mut Numbers) -> i64 {
    let mut place = numbers.below(1_000);
    for (times, share) in SHAPE {
        if place < share {
            return (middle_ms * times * numbers.between(900, 1_100) / 1_000_000).max(1);
        }
        place -= share;
    }
    middle_ms
}

/// The times of so many answers.
pub(super) fn many(count: i64, middle_ms: i64, numbers: &mut Numbers) -> Sketch {
    let mut sketch = Sketch::default();
    if count <= DRAWN_MAX {
        for _ in 0..count {
            sketch.add(one(middle_ms, numbers).unsigned_abs());
        }
        return sketch;
    }
    let mut left = count;
    let mut buckets = Vec::new();
    for (times, share) in SHAPE {
        let here = numbers.part(count, share).min(left);
        left -= here;
        buckets.push((middle_ms * times * numbers.between(960, 1_040) / 1_000_000, here));
    }
    buckets.push((middle_ms, left));
    let text: Vec<String> = buckets
        .into_iter()
        .filter(|(_, here)| *here > 0)
        .map(|(ms, here)| format!("{}:{here}", ms.max(1)))
        .collect();
    // Written as a sketch reads it, within its bounds.
    text.join(" ").parse().unwrap_or(sketch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_a_time_and_the_middle_is_where_it_should_be() {
        let mut numbers = Numbers::new(3);
        for count in [0, 1, 25, 26, 1_000, 123_457] {
            let sketch = many(count, 40, &mut numbers);
            assert_eq!(sketch.count(), count.unsigned_abs());
            if let Some([middle, high]) = sketch.quantiles([0.5, 0.99]).filter(|_| count >= 1_000) {
                assert!((30..=60).contains(&middle) && (150..700).contains(&high), "{middle} {high}");
            }
        }
        assert_eq!(SHAPE.iter().map(|(_, share)| share).sum::<i64>(), 1_000);
    }
}
