//! The headers of a request that the core reads.

use newsreel_core::access::{bearer, subprotocol_bearer};
use newsreel_core::wire::etag;
use newsreel_core::wire::frame::{BEARER_SUBPROTOCOL, is_spoken};
use newsreel_core::wire::name::tags_from_header;
use newsreel_core::wire::ndjson;
use newsreel_core::wire::publish::check_idempotency_key;
use newsreel_core::wire::range::{RequestedRange, wanted};
use newsreel_core::wire::sse;

use crate::first_lines;

/// Four lines: the value of a header, an entity tag, an `If-Range`, and how long a value is.
pub(crate) fn of_request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ([header, tag, if_range, length], _) = first_lines(text);
    let length: u64 = length.parse().unwrap_or(0);
    check_range(header, tag, Some(if_range).filter(|named| !named.is_empty()), length);

    let named = etag::is_named(header, tag);
    assert!(header.trim() != "*" || named, "* names everything");
    let one = !tag.contains(',') && !tag.trim().is_empty();
    assert!(!one || etag::is_named(&format!("\"other\", {tag}"), tag), "a list names what is on it");

    assert!(!sse::is_wanted(header) || header.to_ascii_lowercase().contains(sse::MEDIA_TYPE));
    assert!(!ndjson::are_in(header) || header.to_ascii_lowercase().contains("json"));
    let bare = is_spoken(Some(header)) && check_idempotency_key(header).is_ok();
    assert!(
        !bare || is_spoken(Some(&format!("other, {header}"))),
        "the order of what is offered is no matter"
    );
    let _ = tags_from_header(header);

    if let Some(token) = bearer(header) {
        assert!(!token.is_empty() && token == token.trim() && header.trim_end().ends_with(token));
        assert_eq!(bearer(&format!("Bearer {token}")), Some(token));
    }
    if let Some(token) = subprotocol_bearer(header) {
        assert!(!token.is_empty() && header.contains(BEARER_SUBPROTOCOL));
    }
}

fn check_range(range: &str, tag: &str, if_range: Option<&str>, length: u64) {
    match wanted(Some(range), if_range, tag, length) {
        RequestedRange::Part { first, last } => {
            assert!(first <= last && last < length, "{first}-{last} of {length}");
            let same = if_range.is_none_or(|named| named.trim() == tag && !tag.starts_with("W/"));
            assert!(same, "a part is only of the value that was named");
            let said = format!("bytes={first}-{last}");
            assert_eq!(wanted(Some(&said), None, tag, length), RequestedRange::Part { first, last });
        }
        RequestedRange::Whole | RequestedRange::Nothing => {}
    }
    assert_eq!(wanted(None, if_range, tag, length), RequestedRange::Whole);
}
