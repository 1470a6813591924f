//! Where a follower stands on a log: version, epoch, rolling hash, and the three together.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::json;

/// A moment, in Unix milliseconds of the machine that says it. Moments of two machines are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(#[serde(deserialize_with = "json::whole")] pub u64);

impl UnixMillis {
    /// Returns the moment `later` after this one.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the time that much earlier, at the earliest 0.
    #[must_use]
    pub fn minus(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(earlier.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns how long before this moment `earlier` was; zero when the clock went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The number of a publish on its log: 1, 2, 3 …; 0 is the log before its first publish.
///
/// At most 2^53 - 1, because numbers pass through JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct Version(u64);

impl Version {
    /// The version of a log before its first publish.
    pub const ZERO: Self = Self(0);
    /// The greatest number JavaScript keeps exactly.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Returns the version with this number, if it is one.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// Returns the version as a number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// Returns the version after this one.
    ///
    /// # Panics
    /// Past 2^53 - 1, which 1,000 publishes a second reach after 285,000 years.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.0 + 1).expect("versions stay below 2^53")
    }

    /// Says whether this is the version right after `previous`.
    #[must_use]
    pub fn follows(self, previous: Self) -> bool {
        self.0 == previous.0 + 1
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        // `u64::from_str` takes a leading '+'; a version is digits only.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.and_then(Self::new).ok_or(PositionError::Version)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = json::whole(deserializer)?;
        Self::new(number).ok_or_else(|| serde::de::Error::custom("a version is at most 2^53 - 1"))
    }
}

/// One incarnation of a log: a ULID. The greater is the newer, everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch([u8; 26]);

impl Epoch {
    const DIGITS: &'static [u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    /// Returns the epoch that begins at `at`, told apart from others of that millisecond by 80 random bits.
    #[must_use]
    pub fn new(at: UnixMillis, random: [u8; 10]) -> Self {
        let mut bits = u128::from(at.0 & ((1 << 48) - 1)) << 80;
        for (index, byte) in random.iter().enumerate() {
            bits |= u128::from(*byte) << (72 - 8 * index);
        }
        let mut text = [0; 26];
        for (index, slot) in text.iter_mut().rev().enumerate() {
            let digit = usize::try_from((bits >> (5 * index)) & 31).unwrap_or(0);
            *slot = Self::DIGITS.get(digit).copied().unwrap_or(b'0');
        }
        Self(text)
    }

    /// Returns an epoch newer than this one, which must not be the last. The new epoch begins at `at`, or
    /// right after this one where the clock is behind.
    #[must_use]
    pub fn after(&self, at: UnixMillis, random: [u8; 10]) -> Self {
        let digit = |byte: &u8| Self::DIGITS.iter().position(|digit| digit == byte).unwrap_or(0);
        // The first ten digits are the moment.
        let began = self.0.iter().take(10).fold(0, |bits, byte| bits << 5 | digit(byte) as u64);
        let next = Self::new(at.max(UnixMillis(began + 1)), random);
        // The moment has 48 bits, past which it would begin again.
        if next > *self { next } else { self.next() }
    }

    /// Says whether this is the last of all, with none after it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.as_str() == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    }

    /// Returns the next greater text, of any but the last.
    fn next(&self) -> Self {
        let mut digits = self.0;
        for digit in digits.iter_mut().rev() {
            let next = Self::DIGITS.iter().skip_while(|known| *known != digit).nth(1);
            *digit = next.copied().unwrap_or(b'0');
            if next.is_some() {
                break;
            }
        }
        Self(digits)
    }

    /// Returns the text: 26 digits of Crockford's base 32.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an epoch is ASCII")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Epoch {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let bytes: [u8; 26] = text.as_bytes().try_into().map_err(|_| PositionError::Epoch)?;
        let ulid = bytes.iter().all(|b| Self::DIGITS.contains(b)) && bytes.first() <= Some(&b'7');
        if ulid { Ok(Self(bytes)) } else { Err(PositionError::Epoch) }
    }
}

/// The rolling hash of a log up to a version; opaque to followers.
///
/// `hash(0)` is the first 8 bytes of SHA-256 of the epoch's text; `hash(v)` those of SHA-256 of the 8 bytes
/// of `hash(v-1)` followed by the row's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 8]);

impl Hash {
    /// Returns the hash of an empty log.
    #[must_use]
    pub fn genesis(epoch: &Epoch) -> Self {
        Self::of(&[epoch.as_str().as_bytes()])
    }

    /// Returns the hash after one more row.
    #[must_use]
    pub fn then(&self, row: &[u8]) -> Self {
        Self::of(&[&self.0, row])
    }

    /// Returns the hash of a value, for its entity tag.
    #[must_use]
    pub(crate) fn of_body(body: &[u8]) -> Self {
        Self::of(&[body])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut sha = Sha256::new();
        for part in parts {
            sha.update(part);
        }
        let mut first = [0; 8];
        for (slot, byte) in first.iter_mut().zip(sha.finalize()) {
            *slot = byte;
        }
        Self(first)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 16];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let mut bytes = [0; 8];
        let read = hex::decode_to_slice(text, &mut bytes);
        // The crate takes capitals too, of which a position has one right spelling.
        let is_lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if read.is_ok() && is_lower_case { Ok(Self(bytes)) } else { Err(PositionError::Hash) }
    }
}

/// Where a follower stands: `epoch:version:hash` as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The last version that is held.
    pub version: Version,
    /// The hash at the version, which tells this log from another that reached the same version.
    pub hash: Hash,
}

impl Position {
    /// Returns the position of an empty log.
    #[must_use]
    pub fn genesis(epoch: Epoch) -> Self {
        Self { epoch, version: Version::ZERO, hash: Hash::genesis(&epoch) }
    }

    /// Returns the position after one more row.
    #[must_use]
    pub fn then(&self, row: &[u8]) -> Self {
        Self { epoch: self.epoch, version: self.version.next(), hash: self.hash.then(row) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.version, self.hash)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Position {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().ok_or(PositionError::Shape);
        Ok(Self { epoch: part()?.parse()?, version: part()?.parse()?, hash: part()?.parse()? })
    }
}

/// Why a text is not a position or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// The text has not three parts.
    #[error("a position is epoch:version:hash")]
    Shape,
    /// The epoch is not a ULID.
    #[error("an epoch is a ULID: 26 digits of Crockford's base 32, in capitals")]
    Epoch,
    /// The version is not a whole number up to 2^53 - 1.
    #[error("a version is a whole number from 0 to 2^53 - 1")]
    Version,
    /// The hash is not 16 hex digits.
    #[error("a hash is 16 lower-case hex digits")]
    Hash,
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Epoch, Hash, Position);

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn epoch(at: u64) -> Epoch {
        Epoch::new(UnixMillis(at), [7; 10])
    }

    #[test]
    fn a_later_epoch_is_greater() {
        assert!(epoch(2) > epoch(1));
        assert!(epoch(1_900_000_000_000) > epoch(1_800_000_000_000));
        assert_eq!(Epoch::new(UnixMillis(1_469_918_176_385), [0; 10]).as_str(), "01ARYZ6S410000000000000000");
    }

    #[test]
    fn an_epoch_after_another_is_newer_whatever_the_clock_says() {
        let old = epoch(1_900_000_000_000);
        for at in [0, 1_900_000_000_000, 1_900_000_000_001, 2_000_000_000_000] {
            let new = old.after(UnixMillis(at), [0; 10]);
            assert!(new > old, "{at}");
            assert_eq!(new, Epoch::new(UnixMillis(at.max(1_900_000_000_001)), [0; 10]));
        }
    }

    #[test]
    fn an_epoch_is_only_a_ulid() {
        assert!("01ARYZ6S410000000000000000".parse::<Epoch>().is_ok());
        for bad in [
            "",
            "01ARYZ6S41",
            "81ARYZ6S410000000000000000",
            "01aryz6s410000000000000000",
            "01ARYZ6S41000000000000000U",
        ] {
            assert_eq!(bad.parse::<Epoch>(), Err(PositionError::Epoch), "{bad}");
        }
    }

    #[test]
    fn a_position_survives_its_text() {
        let at = Position::genesis(epoch(5)).then(b"row");
        assert_eq!(at.to_string().parse::<Position>(), Ok(at));
        assert!("x:1:00".parse::<Position>().is_err());
        assert!("".parse::<Position>().is_err());
    }

    #[test]
    fn a_version_is_digits_up_to_2_to_the_53() {
        assert_eq!("9007199254740991".parse(), Ok(Version::MAX));
        for bad in ["", "+1", "-1", "1.0", "9007199254740992", "99999999999999999999"] {
            assert_eq!(bad.parse::<Version>(), Err(PositionError::Version), "{bad}");
        }
    }

    #[test]
    fn the_hash_depends_on_every_row_and_their_order() {
        let start = Position::genesis(epoch(5));
        assert_ne!(start.then(b"a").then(b"b").hash, start.then(b"b").then(b"a").hash);
        assert_ne!(start.hash, Position::genesis(epoch(6)).hash);
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        // printf 01ARYZ6S410000000000000000 | sha256sum | cut -c1-16
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        assert_eq!(Hash::genesis(&epoch).to_string(), "7ae264e1fd7e3c55");
    }
}
