//! Entity tags, as `If-None-Match` names them.

/// Says whether an `If-None-Match` names the entity tag, compared weakly.
#[must_use]
pub fn is_named(wanted: &str, etag: &str) -> bool {
    fn opaque(tag: &str) -> &str {
        tag.trim().trim_start_matches("W/")
    }
    wanted.trim() == "*" || wanted.split(',').any(|one| opaque(one) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn entity_tags_are_compared_weakly() {
        assert!(
            is_named("\"a\", W/\"b\"", "\"b\"") && is_named("*", "\"b\"") && is_named("W/\"b\"", "W/\"b\"")
        );
        assert!(!is_named("\"a\"", "\"b\""));
    }
}
