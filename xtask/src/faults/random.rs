//! A small seeded generator, so that a run can be repeated.

use std::time::Duration;

/// `SplitMix64`: every seed gives a full-period sequence.
pub(crate) struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`; 0 where the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// Between two whole numbers of milliseconds.
    pub(crate) fn pause_ms(&mut self, from: u64, below: u64) -> Duration {
        Duration::from_millis(from + self.below(below.saturating_sub(from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence_and_another_does_not() {
        let sequence = |seed| {
            let mut random = Random::new(seed);
            [random.below(1000), random.below(1000), random.below(1000)]
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
    }

    #[test]
    fn a_pause_stays_within_its_bounds() {
        let mut random = Random::new(1);
        for _ in 0..1000 {
            let pause = random.pause_ms(5, 9);
            assert!((5..9).contains(&pause.as_millis()));
        }
        assert_eq!(random.below(0), 0);
    }
}
