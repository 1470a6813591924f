//! JSON in pure ASCII: all other characters are written `\uXXXX`. Also reads objects as nothing but objects.
//!
//! A JavaScript string with one character past Latin-1 is stored two bytes wide and sent at half the speed
//! (measured), so rows and frames never hold one.

use std::marker::PhantomData;
use std::{fmt, io};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::{CompactFormatter, Formatter};

/// Returns the value as compact ASCII JSON.
///
/// # Panics
/// When the value's own `Serialize` fails, which none on the wire does.
pub(crate) fn to_ascii<T: Serialize + ?Sized>(value: &T) -> String {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Ascii(CompactFormatter));
    value.serialize(&mut serializer).expect("wire types serialize");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// Reads a whole number, however JSON spells it: `51`, `51.0` and `5.1e1` are one number, as they are to
/// JavaScript.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Whole;
    impl Visitor<'_> for Whole {
        type Value = u64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number of at most 2^53 - 1")
        }
        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }
        fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
            whole_of(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
        }
    }
    deserializer.deserialize_u64(Whole)
}

/// Returns a number that is a whole one of 0 to 2^53 - 1.
#[expect(clippy::cast_possible_truncation, reason = "the line before checks the range")]
pub(crate) fn whole_of(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_991.0).contains(&number);
    is_whole.then_some(number as u64)
}

/// A value that stands in JSON as an object. (serde takes an array for a struct too, field by field.)
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMaps<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMaps<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        deserializer.deserialize_map(OnlyMaps(PhantomData))
    }
}

struct Ascii(CompactFormatter);

impl Formatter for Ascii {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !c.is_ascii()) {
            let (plain, other) = rest.split_at(at);
            self.0.write_string_fragment(writer, plain)?;
            let mut characters = other.chars();
            for unit in characters.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        self.0.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_not_ascii_is_escaped_and_comes_back() {
        let text = "é \u{2028} \"q\" \\ 映画 😀 \n";
        let json = to_ascii(text);
        assert!(json.is_ascii(), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert_eq!(to_ascii("😀"), r#""\ud83d\ude00""#);
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_spelled() {
        let read = |text: &str| whole(&mut serde_json::Deserializer::from_str(text)).ok();
        for text in ["51", "51.0", "5.1e1", "510E-1"] {
            assert_eq!(read(text), Some(51), "{text}");
        }
        assert_eq!(read("9007199254740991.0"), Some((1 << 53) - 1));
        assert_eq!((read("0.0"), read("-0.0")), (Some(0), Some(0)));
        for text in ["51.5", "-1", "-1.0", "9007199254740992.0", "1e300", "\"51\"", "null"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
