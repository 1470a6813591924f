//! The byte order mark (U+FEFF) that some editors write at the beginning of a file: no part of what the file
//! says.

/// Returns a file or a body without the byte order mark at its beginning.
#[must_use]
pub fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn one_mark_at_the_beginning_is_left_out() {
        assert_eq!(without_bom("\u{feff}{}".as_bytes()), b"{}");
        assert_eq!(without_bom(b"{}"), b"{}");
        assert_eq!(without_bom(b""), b"");
        assert_eq!(without_bom("\u{feff}\u{feff}a\u{feff}".as_bytes()), "\u{feff}a\u{feff}".as_bytes());
    }
}
