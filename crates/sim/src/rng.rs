//! The random numbers of a run: independent streams, so that one more draw from one stream moves no other.

use newsreel_core::rng::{SplitMix64, mix};

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng(SplitMix64);

impl Rng {
    /// Returns the stream that a seed and a name begin. Streams of different names are independent, so a draw
    /// from one does not move the others.
    pub(crate) fn new(seed: u64, name: u64) -> Self {
        Self(SplitMix64::new(mix(seed ^ mix(name.wrapping_mul(0x9e37_79b9_7f4a_7c15)))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next()
    }

    /// Returns a number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Returns a number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Says yes so many times of a hundred.
    pub(crate) fn percent(&mut self, yes: u64) -> bool {
        self.below(100) < yes
    }

    /// Returns an index below `length`, a small one more often, since small numbers are hot keys.
    pub(crate) fn hot(&mut self, length: usize) -> usize {
        self.index(length).min(self.index(length))
    }

    /// Returns an index below `length`.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Returns one of the items.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Returns ten random bytes, for an epoch.
    pub(crate) fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes.fill_with(|| self.next().to_le_bytes()[0]);
        bytes
    }
}
