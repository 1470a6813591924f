//! A transaction of many writes as NDJSON, one object a line:
//! `{"key":…,"value":<any JSON>}`, `{"key":…,"text":"…"}`, both with `tags` and `content_type` if wanted, or
//! `{"key":…,"op":"remove"}`.

use std::collections::BTreeSet;

use axum::http::HeaderValue;
use newsreel_core::wire::change::MAX_TAGS;
use newsreel_core::wire::publish::MAX_CHANGES;
use newsreel_core::wire::{Code, Key, Problem, Tag};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::store::{Value, Write};

/// The most bytes of tags an entry may have: what Cloudflare takes in a `Cache-Tag` header.
const MAX_TAG_HEADER_BYTES: usize = 16 << 10;

/// Reads the writes of a transaction; of two of one key the later counts.
pub(crate) fn parse(body: &str) -> Result<Vec<Write>, Problem> {
    let body = body.strip_prefix('\u{feff}').unwrap_or(body);
    // Not `str::lines` and no other end of line: U+2028 may stand in a value.
    let lines = body.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut writes = Vec::new();
    for (index, line) in lines {
        let line = write(line).map_err(|problem| {
            let text = format!("line {}: {}", index + 1, problem.detail());
            Problem::new(problem.kind(), text).with("line", index + 1)
        })?;
        writes.push(line);
    }
    match writes.len() {
        0 => Err(Problem::new(Code::NoChanges, "a transaction has at least one line")),
        1..=MAX_CHANGES => Ok(last_of_each_key(writes)),
        more => {
            let text = format!("{more} lines; a transaction has at most {MAX_CHANGES}: split it");
            Err(Problem::new(Code::TooManyChanges, text))
        }
    }
}

/// Reads a key of a line.
pub(crate) fn key(text: String) -> Result<Key, Problem> {
    Key::new(text).map_err(|why| Problem::new(Code::BadKey, why.to_string()))
}

/// Checks that the tags of an entry fit the change that announces it and the header that carries them.
pub(crate) fn fitting(tags: Vec<Tag>) -> Result<Vec<Tag>, Problem> {
    if tags.len() > MAX_TAGS {
        let text = format!("{} tags; an entry has at most {MAX_TAGS}", tags.len());
        return Err(Problem::new(Code::BadTag, text));
    }
    let bytes: usize = tags.iter().map(|tag| tag.as_str().len() + 1).sum();
    if bytes > MAX_TAG_HEADER_BYTES {
        let text = format!("{bytes} bytes of tags; an entry has at most {MAX_TAG_HEADER_BYTES}");
        return Err(Problem::new(Code::BadTag, text));
    }
    Ok(tags)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionLine<'a> {
    key: String,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    text: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    op: Option<String>,
}

/// `"value":null` is the value null, not the absence of one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn write(line: &str) -> Result<Write, Problem> {
    let bad = |text: &str| Problem::new(Code::BadJson, text);
    let TransactionLine { key: name, value, text, content_type, tags, op } =
        serde_json::from_str(line).map_err(|error| bad(&error.to_string()))?;
    let key = key(name)?;
    let (kind, body) = match (op.as_deref(), value, text) {
        (Some("remove"), None, None) if tags.is_empty() && content_type.is_none() => {
            return Ok(Write { key, value: None });
        }
        (Some("remove"), _, _) => return Err(bad("a remove has a key and nothing else")),
        (None | Some("update"), Some(value), None) => ("application/json", value.get().to_owned()),
        (None | Some("update"), None, Some(text)) => ("text/plain; charset=utf-8", text),
        (None | Some("update"), _, _) => return Err(bad("give either value or text")),
        (Some(_), _, _) => return Err(bad("op is \"update\" or \"remove\"")),
    };
    let content_type = content_type.unwrap_or_else(|| kind.to_owned());
    if HeaderValue::from_str(&content_type).is_err() {
        return Err(bad("content_type is not one"));
    }
    let tags = fitting(tags_of(&tags)?)?;
    Ok(Write { key, value: Some(Value { content_type, tags, body: body.into_bytes() }) })
}

fn tags_of(texts: &[String]) -> Result<Vec<Tag>, Problem> {
    let mut seen = BTreeSet::new();
    let once = texts.iter().filter(|text| seen.insert(text.as_str()));
    let tag = |text: &String| {
        Tag::new(text.as_str()).map_err(|why| Problem::new(Code::BadTag, format!("tag {text:?}: {why}")))
    };
    once.map(tag).collect()
}

fn last_of_each_key(writes: Vec<Write>) -> Vec<Write> {
    let mut seen = BTreeSet::new();
    let mut last: Vec<Write> =
        writes.into_iter().rev().filter(|write| seen.insert(write.key.clone())).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> (&'static str, bool) {
        let problem = parse(body).unwrap_err();
        (problem.code(), problem.detail().starts_with("line 2: "))
    }

    #[test]
    fn a_value_keeps_its_bytes() {
        let body =
            "{\"key\":\"a:1\",\"value\":{\"z\":1.0, \"a\":\"\u{2028}\"}}\n\n{\"key\":\"a:2\",\"value\":null}";
        let writes = parse(body).unwrap();
        let bytes = |index: usize| String::from_utf8(writes[index].value.clone().unwrap().body).unwrap();
        assert_eq!(bytes(0), "{\"z\":1.0, \"a\":\"\u{2028}\"}");
        assert_eq!(bytes(1), "null");
    }

    #[test]
    fn of_two_writes_of_a_key_the_later_counts() {
        let body = r#"{"key":"a:1","value":1}
{"key":"a:2","value":2}
{"key":"a:1","op":"remove"}"#;
        let writes = parse(body).unwrap();
        let keys: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
        assert_eq!(keys, ["a:2", "a:1"]);
        assert_eq!(writes[1].value, None);
    }

    #[test]
    fn a_bad_line_is_named_and_has_the_code_of_what_is_wrong() {
        let first = r#"{"key":"a:1","value":1}"#;
        let tagged = |n| {
            let tags: Vec<_> = (0..n).map(|n| n.to_string()).collect();
            serde_json::json!({ "key": "a:1", "value": 1, "tags": tags }).to_string()
        };
        assert!(parse(&tagged(MAX_TAGS)).is_ok());
        for (second, expected) in [
            ("{", "bad-json"),
            ("7", "bad-json"),
            (r#"{"key":"a:1"}"#, "bad-json"),
            (r#"{"key":"a:1","value":1,"text":""}"#, "bad-json"),
            (r#"{"key":"a:1","value":1,"op":"remove"}"#, "bad-json"),
            (r#"{"key":"a:1","value":1,"op":"drop"}"#, "bad-json"),
            (r#"{"key":"a:1","value":1,"color":"red"}"#, "bad-json"),
            (r#"{"key":"a:1","value":1,"content_type":"a\nb"}"#, "bad-json"),
            (r#"{"key":"a","value":1}"#, "bad-key"),
            (r#"{"key":"a:1","value":1,"tags":["a b"]}"#, "bad-tag"),
            (&tagged(MAX_TAGS + 1), "bad-tag"),
        ] {
            assert_eq!(code(&format!("{first}\n{second}")), (expected, true), "{second}");
        }
        assert_eq!(code("\n \n"), ("no-changes", false));
        assert_eq!(code(&format!("{first}\n").repeat(1001)), ("too-many-changes", false));
    }
}
