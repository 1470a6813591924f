//! `Range` and `If-Range`, for one range of bytes (RFC 9110).

use super::etag;

/// The part of a value that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedRange {
    /// The whole value. Also used when the header is not a single byte range, which RFC 9110 lets a server
    /// ignore.
    Whole,
    /// The bytes from the first to the last, both included.
    Part {
        /// The first byte of the range.
        first: u64,
        /// The last byte of the range.
        last: u64,
    },
    /// The range has no byte of the value: 416.
    Nothing,
}

/// Reads a `Range` header, of a value of so many bytes and with this entity tag. `if_range` is the `If-Range`
/// header: the part is only wanted of the value that it names, by a strong tag.
#[must_use]
pub fn wanted(range: Option<&str>, if_range: Option<&str>, etag: &str, length: u64) -> RequestedRange {
    let same = if_range.is_none_or(|named| etag::is_the_same(named, etag));
    let Some(range) = range.filter(|_| same) else { return RequestedRange::Whole };
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return RequestedRange::Whole;
    };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    match (first.trim(), last.trim()) {
        ("", count) => match number(count) {
            Some(0) => RequestedRange::Nothing,
            Some(_) if length == 0 => RequestedRange::Nothing,
            Some(count) => RequestedRange::Part { first: length.saturating_sub(count), last: length - 1 },
            None => RequestedRange::Whole,
        },
        (first, last) => {
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match number(first).zip(last) {
                Some((first, last)) if first > last => RequestedRange::Whole,
                Some((first, _)) if first >= length => RequestedRange::Nothing,
                Some((first, last)) => RequestedRange::Part { first, last: last.min(length - 1) },
                None => RequestedRange::Whole,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn of_ten(range: &str) -> RequestedRange {
        wanted(Some(range), None, "\"x\"", 10)
    }

    fn part(first: u64, last: u64) -> RequestedRange {
        RequestedRange::Part { first, last }
    }

    #[test]
    fn one_range_of_bytes_is_cut_to_what_is_there() {
        assert_eq!(of_ten("bytes=2-5"), part(2, 5));
        assert_eq!(of_ten("bytes=0-0"), part(0, 0));
        assert_eq!(of_ten("bytes=2-"), part(2, 9));
        assert_eq!(of_ten("bytes=2-99"), part(2, 9));
        assert_eq!(of_ten("bytes=-3"), part(7, 9));
        assert_eq!(of_ten("bytes=-99"), part(0, 9));
        for none in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(of_ten(none), RequestedRange::Nothing, "{none}");
        }
        assert_eq!(wanted(Some("bytes=-1"), None, "\"x\"", 0), RequestedRange::Nothing);
        assert_eq!(wanted(Some("bytes=0-"), None, "\"x\"", 0), RequestedRange::Nothing);
    }

    #[test]
    fn a_header_that_is_not_one_range_of_bytes_asks_for_the_whole() {
        for other in ["bytes=5-2", "bytes=1-2,4-5", "bytes=a-", "bytes=-", "bytes=+1-2", "items=1-2", "bytes"]
        {
            assert_eq!(of_ten(other), RequestedRange::Whole, "{other}");
        }
        assert_eq!(wanted(None, None, "\"x\"", 10), RequestedRange::Whole);
    }

    #[test]
    fn a_part_of_another_value_is_not_wanted() {
        let of = |if_range, etag| wanted(Some("bytes=0-1"), Some(if_range), etag, 10);
        assert_eq!(of("\"x\"", "\"x\""), part(0, 1));
        assert_eq!(of("\"y\"", "\"x\""), RequestedRange::Whole);
        assert_eq!(
            of("W/\"x\"", "W/\"x\""),
            RequestedRange::Whole,
            "a weak tag does not say that the bytes are the same"
        );
        assert_eq!(of("Wed, 25 Nov 2026 00:00:00 GMT", "\"x\""), RequestedRange::Whole);
    }
}
