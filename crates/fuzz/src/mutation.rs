//! Changes to bytes that are the same on every run: a poor man's fuzzer, for where there is no libFuzzer.

use newsreel_core::rng::SplitMix64;

/// Random numbers from a seed.
#[derive(Debug, Clone)]
pub struct Random(SplitMix64);

impl Random {
    /// Returns the numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// Returns a number below `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next() % (end.max(1) as u64)).unwrap_or(0)
    }
}

/// Bytes that parsers often mistake.
const ODD: &[&[u8]] = &[
    b"\n",
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"=",
    b" ",
    b"%",
    b"%00",
    b"*",
    b"-",
    b"+",
    b"0",
    b"00",
    b"9007199254740991",
    b"9007199254740992",
    b"18446744073709551615",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\\u0000",
    b"\\ud800",
    "\u{e9}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{1f600}".as_bytes(),
    b"\xff",
    b"\x7f",
];

/// Returns one to four changes to `bytes`, with pieces of `other` among them.
#[must_use]
pub fn mutated(random: &mut Random, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let from = random.below(bytes.len() + 1);
        let to = bytes.len().min(from + random.below(16));
        match random.below(6) {
            0 => drop(bytes.drain(from..to)),
            1 => {
                let piece = bytes.drain(from..to).collect::<Vec<u8>>();
                let at = random.below(bytes.len() + 1);
                bytes.splice(at..at, piece);
            }
            2 => {
                let piece = bytes.get(from..to).unwrap_or_default().to_vec();
                bytes.splice(from..from, piece);
            }
            3 => {
                let start = random.below(other.len() + 1);
                let end = other.len().min(start + random.below(64));
                bytes.splice(from..to, other.get(start..end).unwrap_or_default().iter().copied());
            }
            4 => {
                let odd = ODD.get(random.below(ODD.len())).copied().unwrap_or_default();
                bytes.splice(from..from, odd.iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(from) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}
