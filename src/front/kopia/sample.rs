//! A share of many things, chosen again in each run.

use std::hash::{BuildHasher, Hash, RandomState};

/// Chooses this many percent of what it is asked about.
pub(super) struct Sample {
    random: RandomState,
    percent: f64,
}

impl Sample {
    pub(super) fn new(percent: f64) -> Self {
        Self { random: RandomState::new(), percent }
    }

    /// Whether this one is chosen.
    #[expect(clippy::cast_precision_loss, reason = "a random number")]
    pub(super) fn takes(&self, thing: &impl Hash) -> bool {
        let random = self.random.hash_one(thing) as f64 / u64::MAX as f64;
        self.percent >= 100.0 || 100.0 * random < self.percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_none_and_some() {
        let chosen = |percent| {
            let sample = Sample::new(percent);
            (0..1000).filter(|number| sample.takes(number)).count()
        };
        assert_eq!((chosen(100.0), chosen(0.0), chosen(-1.0)), (1000, 0, 0));
        assert!((300..700).contains(&chosen(50.0)));
    }
}
