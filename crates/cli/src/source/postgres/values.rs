//! Values of PostgreSQL as JSON: numbers, booleans, JSON and arrays as what they are, all else as its text.

use serde_json::Value;

/// How the text of a value is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Boolean,
    Number,
    Json,
    Array(Box<Kind>),
}

impl Kind {
    /// Returns how values of a built-in type are read. An enum, a domain or an extension's type is not one.
    pub(super) fn built_in(type_id: u32) -> Option<Self> {
        let array = |kind| Some(Self::Array(Box::new(kind)));
        match type_id {
            16 => Some(Self::Boolean),
            20 | 21 | 23 | 26 | 700 | 701 => Some(Self::Number),
            114 | 3802 => Some(Self::Json),
            1000 => array(Self::Boolean),
            1005 | 1007 | 1016 | 1028 | 1021 | 1022 => array(Self::Number),
            199 | 3807 => array(Self::Json),
            // bpchar[], char[], name[], text[], varchar[], date[], time[], timestamp[], timestamptz[],
            // interval[], numeric[], uuid[], inet[], cidr[], bytea[].
            1001 | 1002 | 1003 | 1009 | 1014 | 1015 | 1041 | 651 | 1115 | 1182 | 1183 | 1185 | 1187
            | 1231 | 2951 => array(Self::Text),
            0..16_384 => Some(Self::Text),
            _ => None,
        }
    }

    /// Reads a value. A text that is not of its kind stays a text.
    pub(super) fn read(&self, text: &str) -> Value {
        let plain = || Value::from(text);
        match self {
            Self::Text => plain(),
            Self::Boolean => Value::from(text == "t" || text == "true"),
            // NaN and Infinity are no numbers in JSON.
            Self::Number | Self::Json => serde_json::from_str(text).unwrap_or_else(|_| plain()),
            Self::Array(element) => array(text, element).unwrap_or_else(plain),
        }
    }
}

/// Reads `{a,"b c",NULL,{nested}}`, with the bounds that may stand before it: `[0:1]={a,b}`.
fn array(text: &str, element: &Kind) -> Option<Value> {
    let text = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let mut rest = text.strip_prefix('{')?;
    let elements = elements(&mut rest, element)?;
    rest.is_empty().then_some(Value::Array(elements))
}

/// Reads elements from behind a `{` to behind its `}`.
fn elements(rest: &mut &str, kind: &Kind) -> Option<Vec<Value>> {
    let mut elements = Vec::new();
    if let Some(after) = rest.strip_prefix('}') {
        *rest = after;
        return Some(elements);
    }
    loop {
        elements.push(element(rest, kind)?);
        let mut characters = rest.chars();
        let next = characters.next()?;
        *rest = characters.as_str();
        match next {
            ',' => {}
            '}' => return Some(elements),
            _ => return None,
        }
    }
}

fn element(rest: &mut &str, kind: &Kind) -> Option<Value> {
    if let Some(after) = rest.strip_prefix('{') {
        *rest = after;
        return Some(Value::Array(elements(rest, kind)?));
    }
    let is_quoted = rest.starts_with('"');
    let mut characters = rest.get(usize::from(is_quoted)..)?.chars();
    let mut text = String::new();
    loop {
        let before = characters.as_str();
        match characters.next()? {
            '\\' => text.push(characters.next()?),
            '"' if is_quoted => break,
            ',' | '}' if !is_quoted => {
                *rest = before;
                return Some(if text == "NULL" { Value::Null } else { kind.read(&text) });
            }
            other => text.push(other),
        }
    }
    *rest = characters.as_str();
    Some(kind.read(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_what_they_are() {
        let read = |type_id, text: &str| Kind::built_in(type_id).unwrap().read(text);
        assert_eq!(read(23, "-7"), json!(-7));
        assert_eq!(read(20, "9223372036854775807"), json!(9_223_372_036_854_775_807_i64));
        assert_eq!(read(701, "NaN"), json!("NaN"));
        assert_eq!(read(1700, "1.20000000000000000001"), json!("1.20000000000000000001"));
        assert_eq!(read(16, "t"), json!(true));
        assert_eq!(read(3802, r#"{"a": [1]}"#), json!({"a": [1]}));
        assert_eq!(
            read(1009, r#"{a,"b, \"c\\",NULL,"NULL",""}"#),
            json!(["a", "b, \"c\\", null, "NULL", ""])
        );
        assert_eq!(read(1007, "[0:1]={1,2}"), json!([1, 2]));
        assert_eq!(read(1007, "{{1,2},{3,4}}"), json!([[1, 2], [3, 4]]));
        assert_eq!(read(3807, r#"{"{\"a\": 1}"}"#), json!([{"a": 1}]));
        assert_eq!(read(1007, "{}"), json!([]));
        assert_eq!(read(1009, "{broken"), json!("{broken"));
        assert_eq!(Kind::built_in(16_400), None);
    }
}
