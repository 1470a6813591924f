//! JSON pointers (RFC 6901), with `-1` for the last element of a list.

use std::fmt;

use serde_json::Value;

/// A place in a JSON document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pointer {
    segments: Vec<String>,
}

/// A text that is no pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a JSON pointer begins with '/': \"/results\", or is empty and stands for the whole answer")]
pub struct PointerError;

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// If the text is neither empty nor begins with `/`.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() { Ok(Self::default()) } else { Err(PointerError) };
        };
        let segments = rest.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~"));
        Ok(Self { segments: segments.collect() })
    }

    /// Returns the value at this place.
    #[must_use]
    pub fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.segments.iter().try_fold(value, |value, segment| match value {
            Value::Object(members) => members.get(segment),
            Value::Array(elements) if segment == "-1" => elements.last(),
            Value::Array(elements) => elements.get(segment.parse::<usize>().ok()?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
    }

    /// Returns the names on the way from the root.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |segment: &String| segment.replace('~', "~0").replace('/', "~1");
        self.segments.iter().try_for_each(|segment| write!(f, "/{}", escaped(segment)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_pointer_finds_members_elements_and_the_last_element() {
        let value = json!({ "a": [{ "b/c": 1 }, { "b/c": 2 }], "": 7 });
        let find = |text| Pointer::parse(text).unwrap().find(&value).cloned();
        assert_eq!(find("/a/0/b~1c"), Some(json!(1)));
        assert_eq!(find("/a/-1/b~1c"), Some(json!(2)));
        assert_eq!(find("/"), Some(json!(7)));
        assert_eq!(find(""), Some(value.clone()));
        assert_eq!((find("/a/2"), find("/a/x"), find("/z")), (None, None, None));
        assert_eq!(Pointer::parse("a"), Err(PointerError));
        assert_eq!(Pointer::parse("/a/b~1c").unwrap().to_string(), "/a/b~1c");
    }
}
