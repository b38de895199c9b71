//! Pseudo-random numbers that are cheap, seekable and the same on every machine.

/// Step of the counter; odd, so that it visits every 64-bit value.
const STEP: u64 = 0xa076_1d64_78bd_642f;
const MASK: u64 = 0xe703_7ed1_a0b4_28db;

/// Mixes two words into one: the folded 128-bit product.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Word number `index` of the stream that `seed` names.
#[inline]
pub(crate) const fn word_at(seed: u64, index: u64) -> u64 {
    let state = seed.wrapping_add(index.wrapping_mul(STEP));
    mix(state, state ^ MASK)
}

/// A seed that depends on `seed` and `label`, unrelated to those of other labels.
pub(crate) const fn derive(seed: u64, label: u64) -> u64 {
    mix(word_at(seed, label) ^ STEP, word_at(label, seed) ^ MASK)
}

/// A seed that depends on `seed` and a name.
pub(crate) fn derive_name(seed: u64, name: &[u8]) -> u64 {
    name.iter().fold(derive(seed, name.len() as u64), |state, &byte| derive(state, u64::from(byte)))
}

/// Writes the bytes `offset..` of the stream that `seed` names.
pub(crate) fn fill_at(seed: u64, offset: u64, out: &mut [u8]) {
    let mut index = offset / 8;
    let skip = (offset % 8) as usize;
    let (head, body) = out.split_at_mut(if skip == 0 { 0 } else { (8 - skip).min(out.len()) });
    if !head.is_empty() {
        for (to, from) in head.iter_mut().zip(word_at(seed, index).to_le_bytes().iter().skip(skip)) {
            *to = *from;
        }
        index += 1;
    }
    let (words, tail) = body.as_chunks_mut::<8>();
    for word in words {
        *word = word_at(seed, index).to_le_bytes();
        index += 1;
    }
    for (to, from) in tail.iter_mut().zip(word_at(seed, index).to_le_bytes()) {
        *to = from;
    }
}

/// A sequence of numbers from a seed. Not for keys that protect anything.
#[derive(Debug, Clone)]
pub struct Rng {
    seed: u64,
    next: u64,
}

impl Rng {
    /// The sequence that `seed` names.
    pub fn new(seed: u64) -> Rng {
        Rng { seed: derive(seed, 0), next: 0 }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.next += 1;
        word_at(self.seed, self.next)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low.min(high)).saturating_add(1))
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of the standard normal distribution, near enough: the sum of twelve uniform ones, which needs no
    /// function whose last digit differs between C libraries.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        fill_at(derive(self.next_u64(), 1), 0, out);
    }

    /// `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_can_be_read_from_any_offset() {
        let mut whole = [0; 100];
        fill_at(7, 0, &mut whole);
        for start in 0..40 {
            for len in 0..40 {
                let mut part = vec![0; len];
                fill_at(7, start as u64, &mut part);
                assert_eq!(part, whole[start..start + len], "{start}+{len}");
            }
        }
        let mut other = [0; 100];
        fill_at(8, 0, &mut other);
        assert_ne!(whole, other);
    }

    #[test]
    fn numbers_stay_in_their_ranges_and_spread() {
        let mut rng = Rng::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[rng.below(10) as usize] += 1;
            assert!((3..=5).contains(&rng.between(3, 5)));
            assert!((0.0..1.0).contains(&rng.unit()));
        }
        assert!(seen.iter().all(|&n| (800..1200).contains(&n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.between(9, 9), 9);
        let normal: Vec<f64> = (0..10_000).map(|_| rng.normal()).collect();
        let mean = normal.iter().sum::<f64>() / 1e4;
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.05 && (0.9..1.1).contains(&variance), "{mean} {variance}");
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..1000).collect();
        Rng::new(3).shuffle(&mut items);
        assert_ne!(items, (0..1000).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..1000).collect::<Vec<_>>());
    }
}
