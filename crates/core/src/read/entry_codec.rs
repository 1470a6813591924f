//! The bytes of a stored entry, the same in KV and R2: `NRE2`, a letter, the length of the envelope, the envelope, the
//! value. Knows nothing of KV and R2.
//!
//! The letter is `t` if the value is UTF-8, else `b`, so a reader need not check the value again. The length is 8 hex
//! digits: how many bytes of JSON follow. The value is all the rest, without a length of its own.

use crate::read::cache::Envelope;

const MAGIC: &[u8] = b"NRE2";
/// `NRE2`, the letter and the length.
const FIXED_BYTES: usize = 13;

/// Returns the bytes that stand before the value.
#[must_use]
pub fn head(envelope: &Envelope, text: bool) -> Vec<u8> {
    let json = serde_json::to_string(envelope).expect("an envelope is JSON");
    let letter = if text { 't' } else { 'b' };
    format!("NRE2{letter}{:08x}{json}", json.len()).into_bytes()
}

/// Returns an entry's stored bytes.
#[must_use]
pub fn encode(envelope: &Envelope, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(envelope, std::str::from_utf8(body).is_ok());
    bytes.extend_from_slice(body);
    bytes
}

/// Reads stored bytes: the envelope, where the value begins, and whether it is UTF-8. `None` for bytes of
/// another program or format.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(Envelope, usize, bool)> {
    let (fixed, rest) = bytes.split_at_checked(FIXED_BYTES)?;
    let (letter, digits) = fixed.strip_prefix(MAGIC)?.split_first()?;
    let text = match letter {
        b't' => true,
        b'b' => false,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let length = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let length = usize::try_from(length).ok()?;
    let json = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some((serde_json::from_str(json).ok()?, FIXED_BYTES + length, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Epoch, Position, Tag, UnixMillis};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn envelope() -> Envelope {
        Envelope {
            position: Position::genesis(Epoch::new(UnixMillis(1), [0; 10])).then(b"row"),
            found: true,
            tags: vec![Tag::new("platform:netflix").unwrap()],
            fetched_at: UnixMillis(1),
            expires_at: UnixMillis(2),
            stale_until: UnixMillis(3),
            content_type: "text/plain; charset=é".to_owned(),
            etag: "\"x\"".to_owned(),
            not_stored: None,
        }
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        for (body, is_text) in
            [(&b""[..], true), (b"value", true), ("\0 \u{e9}".as_bytes(), true), (b"\x00\xff", false)]
        {
            let bytes = encode(&envelope(), body);
            let (back, offset, text) = decode(&bytes).unwrap();
            assert_eq!((back, &bytes[offset..], text), (envelope(), body, is_text));
            assert_eq!(&bytes[..offset], head(&envelope(), is_text));
        }
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let bytes = encode(&Envelope { content_type: "text/plain".into(), ..envelope() }, b"one");
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            concat!(
                r#"NRE2t000000be{"position":"00000000010000000000000000:1:ee3eb02ab76c3258","found":true,"#,
                r#""tags":["platform:netflix"],"fetched_at":1,"expires_at":2,"stale_until":3,"#,
                r#""content_type":"text/plain","etag":"\"x\""}one"#
            )
        );
    }

    #[test]
    fn what_was_cut_before_its_value_is_no_entry() {
        let bytes = head(&envelope(), true);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_another_program_wrote_is_no_entry() {
        let json = serde_json::to_string(&envelope()).unwrap();
        let length = format!("{:08x}", json.len());
        assert!(decode(format!("NRE2t{length}{json}").as_bytes()).is_some());
        for foreign in [
            "other".to_owned(),
            format!("NRE1t{length}{json}"),
            format!("NRE2x{length}{json}"),
            format!("NRE2t+{}{json}", &length[1..]),
            format!("NRE2t       g{json}"),
            format!("NRE2tffffffff{json}"),
            format!("NRE2b00000002{json}"),
            "NRE2b00000002{}".to_owned(),
            format!("NRE2t{:08x}{json} {{}}", json.len() + 3),
        ] {
            assert_eq!(decode(foreign.as_bytes()), None, "{foreign}");
        }
        assert_eq!(decode(b"NRE2t00000002\xff\xff"), None);
    }
}
