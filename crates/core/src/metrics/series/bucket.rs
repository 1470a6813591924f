//! A bucket: the numbers of one step, by class, and their packed form.
//!
//! A packed bucket is `FORM`, and for each class: the length of its name and the name, the length of a bitmap of the
//! numbers that are not zero, the bitmap, and these numbers as varints of at most 7 bytes.

use std::collections::BTreeMap;

use super::measures::Measures;
use crate::metrics::counts::{Count, Counts};
use crate::read::policy::OTHER;
use crate::wire::series::Merge;

/// The first byte of a packed bucket.
const FORM: u8 = 1;
/// The greatest number that is packed: seven bytes of a varint.
pub const MAX_NUMBER: u64 = (1 << 49) - 1;

/// The numbers of one step, by class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bucket {
    pub(super) rows: BTreeMap<String, Vec<u64>>,
}

impl From<&Counts> for Bucket {
    fn from(counts: &Counts) -> Self {
        Self { rows: counts.rows.iter().map(|(class, row)| (class.clone(), row.to_vec())).collect() }
    }
}

impl Bucket {
    /// Returns the bucket of numbers that no class has a part in.
    #[must_use]
    pub fn of(numbers: Vec<u64>) -> Self {
        Self { rows: BTreeMap::from([(String::new(), numbers)]) }
    }

    /// Returns the bucket of some numbers of a reader's edge that no class has a part in.
    #[must_use]
    pub fn of_edge(counted: &[(Count, u64)]) -> Self {
        let mut row = vec![0; Count::ALL.len()];
        for (count, n) in counted {
            if let Some(own) = row.get_mut(*count as usize) {
                *own = *n;
            }
        }
        Self::of(row)
    }

    /// Returns the numbers of each class.
    pub fn rows(&self) -> impl Iterator<Item = (&str, &[u64])> {
        self.rows.iter().map(|(class, row)| (class.as_str(), row.as_slice()))
    }

    /// Says whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds the numbers of another bucket.
    pub fn merge(&mut self, other: &Self, measures: &Measures) {
        for (class, numbers) in &other.rows {
            self.add(class, numbers, measures);
        }
    }

    fn add(&mut self, class: &str, numbers: &[u64], measures: &Measures) {
        let row = match self.rows.get_mut(class) {
            Some(row) => row,
            None => self.rows.entry(class.to_owned()).or_default(),
        };
        if row.len() < numbers.len() {
            row.resize(numbers.len(), 0);
        }
        for (at, (own, other)) in row.iter_mut().zip(numbers).enumerate() {
            *own = match measures.merge(at) {
                Merge::Sum => own.saturating_add(*other),
                Merge::Greatest => (*own).max(*other),
            };
        }
    }

    /// Packs the bucket into at most `most` bytes. Where not all classes fit, those with the least reads are told
    /// together as `other`.
    ///
    /// # Panics
    /// When `most` has no room for a row of one class.
    #[must_use]
    pub fn pack(&self, measures: &Measures, most: usize) -> Vec<u8> {
        let mut alone: Vec<(&Vec<u64>, Vec<u8>)> = Vec::new();
        let mut other = Self::default();
        for (class, row) in &self.rows {
            if class == OTHER {
                other.add(OTHER, row, measures);
            } else {
                alone.push((row, packed_row(class, row)));
            }
        }
        // The first number of a reader is its reads. A stable sort keeps the classes in order beside it.
        alone.sort_by_key(|(row, _)| std::cmp::Reverse(row.first().copied()));
        let mut bytes = 1 + alone.iter().map(|(_, packed)| packed.len()).sum::<usize>();
        loop {
            let together = other.rows.get(OTHER).map_or_else(Vec::new, |row| packed_row(OTHER, row));
            let mut over = (bytes + together.len()).saturating_sub(most);
            if over == 0 {
                let rows = alone.into_iter().flat_map(|(_, packed)| packed).chain(together);
                return [FORM].into_iter().chain(rows).collect();
            }
            // `other` grows by little, so as many leave at once as have the bytes that are too many.
            while over > 0 {
                let (row, packed) = alone.pop().expect("a row has room for one class");
                bytes -= packed.len();
                over = over.saturating_sub(packed.len());
                other.add(OTHER, row, measures);
            }
        }
    }

    /// Reads a packed bucket. Numbers past those that the measures have are of a newer build, and are dropped.
    ///
    /// Returns `None` for bytes of another form.
    #[must_use]
    pub fn unpack(bytes: &[u8], measures: &Measures) -> Option<Self> {
        let (form, mut rest) = bytes.split_first()?;
        if *form != FORM {
            return None;
        }
        let mut bucket = Self::default();
        while !rest.is_empty() {
            let class = text(&mut rest)?;
            let mut row = numbers(&mut rest)?;
            row.truncate(measures.width);
            bucket.rows.insert(class, row);
        }
        Some(bucket)
    }
}

fn packed_row(class: &str, row: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    varint(&mut bytes, class.len() as u64);
    bytes.extend_from_slice(class.as_bytes());
    let used = row.iter().rposition(|n| *n > 0).map_or(0, |at| at + 1);
    let row = row.get(..used).unwrap_or_default();
    varint(&mut bytes, used.div_ceil(8) as u64);
    for eight in row.chunks(8) {
        bytes.push(eight.iter().enumerate().fold(0, |bits, (at, n)| bits | u8::from(*n > 0) << at));
    }
    row.iter().filter(|n| **n > 0).for_each(|n| varint(&mut bytes, *n));
    bytes
}

/// Writes a number, seven bits a byte, the lowest first; a number above [`MAX_NUMBER`] as that.
fn varint(bytes: &mut Vec<u8>, number: u64) {
    let mut left = number.min(MAX_NUMBER);
    while left >= 0x80 {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push((left & 0x7f) as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..7 {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    std::str::from_utf8(take(rest)?).ok().map(str::to_owned)
}

fn numbers(rest: &mut &[u8]) -> Option<Vec<u64>> {
    let bitmap = take(rest)?;
    let mut row = Vec::with_capacity(bitmap.len() * 8);
    for bits in bitmap {
        for at in 0..8 {
            row.push(if bits >> at & 1 == 1 { take_varint(rest)? } else { 0 });
        }
    }
    Some(row)
}
