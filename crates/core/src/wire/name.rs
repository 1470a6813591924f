//! Names: catalogs, keys, classes, tags and key prefixes, each valid by construction.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest key or prefix, in bytes of UTF-8. Together with catalog, epoch and generation it fits the
/// 512 bytes of a KV key: 64 + 1 + 26 + 1 + 400 + 1 + 16 = 509.
pub const MAX_KEY_BYTES: usize = 400;
/// The longest tag, in bytes.
pub const MAX_TAG_BYTES: usize = 256;
/// The longest catalog name, in bytes.
pub const MAX_CATALOG_BYTES: usize = 64;

/// Why a name is not one. The text tells the sender what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text does not match `[a-z0-9-]{1,64}`.
    #[error("a catalog is 1 to 64 of a-z, 0-9 and '-'")]
    Catalog,
    /// The key has no `:`, or nothing on one side of its `:`.
    #[error("a key is class:id, with something on both sides of the first ':'")]
    KeyShape,
    /// The name has more than 400 bytes.
    #[error("a key or prefix has at most 400 bytes; this one has {0}")]
    TooLong(usize),
    /// The name holds a control character: U+0000 to U+001F or U+007F to U+009F.
    #[error("a key or prefix has no control characters")]
    Control,
    /// The prefix is empty, and would stand for everything.
    #[error("a prefix is not empty; to name everything, publish {{\"all\":true}}")]
    EmptyPrefix,
    /// The tag is not 1 to 256 bytes of printable ASCII without space and comma.
    #[error("a tag is 1 to 256 bytes of printable ASCII without space or comma")]
    Tag,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name if it is valid.
            ///
            /// # Errors
            /// [`NameError`] says which rule it breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                Self::check(&text)?;
                Ok(Self(text))
            }

            /// Says whether a text is such a name.
            ///
            /// # Errors
            /// [`NameError`] says which rule it breaks.
            pub(super) fn check(text: &str) -> Result<(), NameError> {
                let check: fn(&str) -> Result<(), NameError> = $parse;
                check(text)
            }

            /// Returns the text of the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        /// Lets a map with names as keys be asked with a text. Names are ordered as their texts are.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// One keyspace with one log.
    Catalog,
    |text| {
        let fits = (1..=MAX_CATALOG_BYTES).contains(&text.len());
        let plain = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits && plain { Ok(()) } else { Err(NameError::Catalog) }
    }
);

name!(
    /// The name of an entry: `class:id`.
    Key,
    |text| {
        bounded(text)?;
        match text.split_once(':') {
            Some((class, id)) if !class.is_empty() && !id.is_empty() => Ok(()),
            Some(_) | None => Err(NameError::KeyShape),
        }
    }
);

name!(
    /// The beginning of keys, compared byte for byte. Never empty.
    Prefix,
    |text| {
        if text.is_empty() {
            return Err(NameError::EmptyPrefix);
        }
        bounded(text)
    }
);

name!(
    /// A surrogate key of an entry, e.g. `platform:netflix`.
    Tag,
    |text| {
        let fits = (1..=MAX_TAG_BYTES).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if fits && plain { Ok(()) } else { Err(NameError::Tag) }
    }
);

impl Key {
    /// Returns the part before the first `:`, which chooses the policy.
    #[must_use]
    pub fn class(&self) -> &str {
        self.0.split_once(':').map_or("", |(class, _)| class)
    }
}

impl Tag {
    /// Returns the tag with its letters in lower case, as `TAGS_FOLD_CASE` has them.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self(self.0.to_ascii_lowercase())
    }
}

impl Prefix {
    /// Says whether `key` begins with this prefix.
    #[must_use]
    pub fn covers(&self, key: &Key) -> bool {
        key.as_str().starts_with(&self.0)
    }
}

/// Returns the tags named by a `Cache-Tag` (commas) or `Surrogate-Key` (spaces) header, each once, in order.
///
/// # Errors
/// [`NameError::Tag`] for the first that is not a tag.
pub fn tags_from_header(value: &str) -> Result<Vec<Tag>, NameError> {
    let mut tags: Vec<Tag> = Vec::new();
    for text in value.split([',', ' ', '\t']).filter(|text| !text.is_empty()) {
        let tag = Tag::new(text)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

fn bounded(text: &str) -> Result<(), NameError> {
    if text.len() > MAX_KEY_BYTES {
        return Err(NameError::TooLong(text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_key_needs_a_class_and_an_id() {
        assert_eq!(Key::new("title:603").unwrap().class(), "title");
        assert_eq!(Key::new("availability:netflix:603").unwrap().class(), "availability");
        for bad in ["title", ":603", "title:", "", ":"] {
            assert_eq!(Key::new(bad), Err(NameError::KeyShape), "{bad:?}");
        }
    }

    #[test]
    fn a_key_has_at_most_400_bytes_and_no_control_characters() {
        let longest = format!("t:{}", "é".repeat(199));
        assert_eq!(longest.len(), MAX_KEY_BYTES);
        assert!(Key::new(longest.clone()).is_ok());
        assert_eq!(Key::new(longest + "x"), Err(NameError::TooLong(401)));
        for bad in ["t:a\nb", "t:\u{7f}", "t:\u{85}", "t:\0"] {
            assert_eq!(Key::new(bad), Err(NameError::Control), "{bad:?}");
        }
        assert!(Key::new("t:a\u{2028}b שלום").is_ok(), "a line separator is not a control character");
    }

    #[test]
    fn a_catalog_is_lower_case_letters_digits_and_dashes() {
        assert!(Catalog::new("tv-2").is_ok());
        for bad in ["", "TV", "a_b", "a/b", &"x".repeat(65)] {
            assert_eq!(Catalog::new(bad), Err(NameError::Catalog));
        }
    }

    #[test]
    fn a_tag_is_printable_ascii_without_space_or_comma() {
        assert!(Tag::new("platform:netflix").is_ok());
        assert!(Tag::new("x".repeat(256)).is_ok());
        for bad in ["", "a b", "a,b", "é", "a\tb", &"x".repeat(257)] {
            assert_eq!(Tag::new(bad), Err(NameError::Tag), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_is_not_empty_and_need_not_name_a_class() {
        assert_eq!(Prefix::new(""), Err(NameError::EmptyPrefix));
        let prefix = Prefix::new("tit").unwrap();
        assert!(prefix.covers(&Key::new("title:1").unwrap()));
        assert!(!prefix.covers(&Key::new("live:1").unwrap()));
    }

    #[test]
    fn tags_come_from_commas_or_spaces_and_once_each() {
        let tags = tags_from_header("a, b,,c a").unwrap();
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(tags_from_header("").unwrap().is_empty());
        assert!(tags_from_header("é").is_err());
    }
}
