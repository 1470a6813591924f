//! Names and positions: a name that is read keeps its limits and is its own text.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use newsreel_core::read::sync::MinVersion;
use newsreel_core::wire::cursor::PageCursor;
use newsreel_core::wire::keys::{decoded_key, encoded_key};
use newsreel_core::wire::name::{MAX_CATALOG_BYTES, MAX_KEY_BYTES, MAX_TAG_BYTES, tags_from_header};
use newsreel_core::wire::route::EdgeCall;
use newsreel_core::wire::{Catalog, Epoch, Hash, Key, Position, Prefix, Route, Tag, UnixMillis, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::first_lines;

/// A text as each kind of name.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(catalog) = same_as_text::<Catalog>(text) {
        assert!((1..=MAX_CATALOG_BYTES).contains(&catalog.as_str().len()));
        assert!(!catalog.as_str().contains(['/', '?', '#', '%', ' ']), "a catalog needs no escape in a path");
    }
    if let Some(key) = same_as_text::<Key>(text) {
        check_key(&key);
    }
    if let Some(prefix) = same_as_text::<Prefix>(text) {
        assert!((1..=MAX_KEY_BYTES).contains(&prefix.as_str().len()));
        assert!(!prefix.as_str().contains(char::is_control));
        let longer = Key::new(format!("{text}:x")).ok();
        assert!(longer.is_none_or(|key| prefix.covers(&key)));
    }
    if let Some(tag) = same_as_text::<Tag>(text) {
        check_tag(&tag);
        assert_eq!(tags_from_header(tag.as_str()).as_deref(), Ok([tag].as_slice()));
    }
    if let Ok(tags) = tags_from_header(text) {
        tags.iter().for_each(check_tag);
        let joined = tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(",");
        assert_eq!(tags_from_header(&joined), Ok(tags), "a list of tags is what it is written as");
    }
}

pub(crate) fn check_key(key: &Key) {
    let text = key.as_str();
    assert!(text.len() <= MAX_KEY_BYTES && !text.contains(char::is_control));
    assert!(!key.class().is_empty() && text.len() > key.class().len() + 1, "{text:?}");
    let escaped = encoded_key(key);
    assert!(escaped.is_ascii() && !escaped.contains(['/', '?', '#', ' ']), "{escaped}");
    assert_eq!(decoded_key(&escaped).as_ref(), Ok(key));
    let path = format!("/v1/catalogs/tv/entries/{escaped}");
    let asked = Route::parse("GET", &path, "").expect("a key has an address");
    assert_eq!(asked, Route::Edge(Catalog::new("tv").expect("a catalog"), EdgeCall::Entry(key.clone())));
}

pub(crate) fn check_tag(tag: &Tag) {
    let text = tag.as_str();
    assert!((1..=MAX_TAG_BYTES).contains(&text.len()) && text.is_ascii());
    assert!(!text.contains([',', ' ']) && !text.contains(char::is_control));
}

/// Two lines of positions or parts of them, and a moment.
pub(crate) fn positions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ([one, other, at], _) = first_lines(text);
    comes_back::<Version>(one);
    same_as_text::<Hash>(one);
    comes_back::<PageCursor>(one);
    if let Some(position) = comes_back::<Position>(one) {
        let next = position.version < Version::MAX;
        assert!(!next || position.then(b"row").version.follows(position.version));
        let heard = one.parse::<MinVersion>().expect("a position is a version that was heard");
        assert!(heard.is_met_by(&position));
    }
    if let (Some(one), Some(other)) = (same_as_text::<Epoch>(one), other.parse::<Epoch>().ok()) {
        assert_eq!(one.cmp(&other), one.as_str().cmp(other.as_str()), "an epoch sorts as its text");
        let at = UnixMillis(at.parse().unwrap_or(0));
        assert!(
            one.is_last() || one.after(at, [0; 10]) > one,
            "an epoch that is to come after another is newer"
        );
        assert!(one.is_last() || one.after(at, [0xff; 10]) > one);
    }
}

/// Reads a text as something that is written as it was read, in JSON too.
fn same_as_text<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let read = comes_back::<T>(text)?;
    assert_eq!(read.to_string(), text);
    let json = serde_json::to_string(&read).expect("names are JSON");
    assert_eq!(json, serde_json::to_string(text).expect("a text is JSON"), "in JSON it is its text");
    assert_eq!(serde_json::from_str::<T>(&json).expect("it comes back from JSON"), read);
    Some(read)
}

/// Reads a text as something that comes back from its own text.
fn comes_back<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let read = text.parse::<T>().ok()?;
    assert_eq!(read.to_string().parse::<T>().ok().as_ref(), Some(&read), "{read} comes back");
    Some(read)
}
