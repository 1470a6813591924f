//! Entity tags (RFC 9110, 8.8.3): read by their grammar, compared whole.

/// One entity tag, taken apart into its weakness and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTag<'a> {
    /// Whether the tag begins with `W/`: values of equal weak tags mean the same, and their bytes may differ.
    pub weak: bool,
    /// The text between the quotes.
    pub opaque: &'a str,
}

impl<'a> EntityTag<'a> {
    /// Reads a text that is one entity tag and nothing else. Spaces within the quotes are taken: RFC 2616 had
    /// them.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (tag, rest) = Self::parse_first(text.trim())?;
        rest.is_empty().then_some(tag)
    }

    /// Reads the entity tag at the beginning of a text; returns it and what follows. A backslash is no escape
    /// in it.
    fn parse_first(text: &'a str) -> Option<(Self, &'a str)> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let (opaque, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        (!opaque.chars().any(char::is_control)).then_some((Self { weak, opaque }, rest))
    }

    /// Compares weakly: the values mean the same.
    fn is_like(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// Compares strongly: the bytes are the same.
    fn is_same(self, other: Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }
}

/// Says whether an `If-None-Match` names the entity tag `etag`, compared weakly. An `etag` that is no entity
/// tag, as earlier releases stored from an origin, is named by the same text.
#[must_use]
pub fn is_named(wanted: &str, etag: &str) -> bool {
    let (wanted, etag) = (wanted.trim(), etag.trim());
    let held = EntityTag::parse(etag);
    wanted == "*"
        || wanted == etag
        || Members(wanted).any(|member| match (member, held) {
            (Member::Tag(tag), Some(held)) => tag.is_like(held),
            (Member::Other(text), None) => text == etag,
            (Member::Tag(_), None) | (Member::Other(_), Some(_)) => false,
        })
}

/// Says whether an `If-Range` names the entity tag `etag`, compared strongly. A date names none.
#[must_use]
pub fn is_the_same(wanted: &str, etag: &str) -> bool {
    let both = EntityTag::parse(wanted).zip(EntityTag::parse(etag));
    both.is_some_and(|(wanted, held)| wanted.is_same(held))
}

/// The members of a list of entity tags.
struct Members<'a>(&'a str);

/// One member of a list of entity tags.
enum Member<'a> {
    Tag(EntityTag<'a>),
    /// Something that is no entity tag, up to the next comma.
    Other(&'a str),
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let text = self.0.trim_start_matches([',', ' ', '\t']);
        if text.is_empty() {
            return None;
        }
        if let Some((tag, rest)) = EntityTag::parse_first(text)
            && matches!(rest.trim_start().chars().next(), None | Some(','))
        {
            self.0 = rest;
            return Some(Member::Tag(tag));
        }
        let (other, rest) = text.split_once(',').unwrap_or((text, ""));
        self.0 = rest;
        Some(Member::Other(other.trim_end()))
    }
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

    #[test]
    fn a_comma_within_quotes_is_a_part_of_the_tag() {
        assert!(is_named(r#""rev,1""#, r#""rev,1""#));
        assert!(is_named(r#""a", W/"rev,1" , "b""#, r#""rev,1""#));
        assert!(!is_named(r#""rev", "1""#, r#""rev,1""#));
        assert!(!is_named(r#""rev,1""#, r#""rev""#));
        assert!(is_named(r#"","", """#, r#""""#), "also the empty tag is one");
        assert!(!is_named(r#"","",""#, r#"",,""#));
    }

    #[test]
    fn a_tag_is_compared_whole_and_with_case() {
        for (wanted, etag) in [
            (r#""a""#, r#""A""#),
            (r#""W/a""#, r#""a""#),
            (r#"W/W/"a""#, r#""a""#),
            (r#"w/"a""#, r#""a""#),
            (r#""a"b"#, r#""a""#),
            ("a", r#""a""#),
            (r#""a"#, r#""a""#),
            ("", r#""a""#),
        ] {
            assert!(!is_named(wanted, etag), "{wanted} is not {etag}");
        }
        for tag in [r#""a b""#, r#""a\""#, r#"W/"ü""#, r#""W/*""#] {
            assert!(is_named(tag, tag) && is_named(&format!("\"x\",{tag}, \"y\""), tag), "{tag}");
        }
    }

    #[test]
    fn what_is_no_tag_is_named_by_its_text() {
        assert!(is_named("no-quotes", "no-quotes") && is_named("\"a\", no-quotes", "no-quotes"));
        assert!(!is_named("\"no-quotes\"", "no-quotes"));
    }

    #[test]
    fn a_part_is_of_the_same_bytes_by_a_strong_tag_only() {
        assert!(is_the_same(r#""a,b""#, r#""a,b""#));
        assert!(!is_the_same(r#"W/"a""#, r#""a""#) && !is_the_same(r#""a""#, r#"W/"a""#));
        assert!(!is_the_same(r#"W/"a""#, r#"W/"a""#));
        assert!(!is_the_same("Wed, 25 Nov 2026 00:00:00 GMT", r#""a""#));
        assert!(!is_the_same(r#""a", "b""#, r#""a""#), "it is one tag and no list");
    }
}
