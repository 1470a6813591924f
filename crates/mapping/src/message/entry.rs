//! Entries: fields with their values, all of them text, as a Redis stream has them.

use serde_json::{Map, Value};

use super::content::{MessageError, text};
use crate::rule::{Row, Rule};

/// The fields of an entry with their values.
pub(crate) type Fields<'a> = &'a [(Vec<u8>, Vec<u8>)];

/// Returns the value of a field.
pub(crate) fn value<'a>(fields: Fields<'a>, name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|(field, _)| field == name.as_bytes()).map(|(_, value)| value.as_slice())
}

/// Returns the fields as a row of texts. A value that is no text is left out.
pub(crate) fn row(fields: Fields<'_>) -> Row {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(ToOwned::to_owned);
    let pair = |(name, value): &(Vec<u8>, Vec<u8>)| Some((text(name)?, Value::String(text(value)?)));
    fields.iter().filter_map(pair).collect()
}

/// Returns the texts of an entry's fields.
///
/// # Errors
/// If a value is not UTF-8.
pub(crate) fn attributes(fields: Fields<'_>) -> Result<Vec<(String, String)>, MessageError> {
    let pair = |(name, value): &(Vec<u8>, Vec<u8>)| {
        let name = String::from_utf8_lossy(name).into_owned();
        let text = text(value, &format!("the field {name:?}"))?.to_owned();
        Ok((name, text))
    };
    fields.iter().map(pair).collect()
}

/// Makes lists and objects of the columns that the templates of a rule reach into, where their texts are JSON.
pub(crate) fn reach_into(row: &mut Row, rule: &Rule) {
    for column in rule.deep_columns() {
        if let Some(value) = row.get_mut(column) {
            parse(value);
        }
    }
}

/// Makes a list of the column that a JSON pointer leads into, where its text is JSON.
pub(crate) fn reach_into_rows(document: &mut Value, pointer: &str) {
    let column = pointer.split('/').nth(1).unwrap_or_default().replace("~1", "/").replace("~0", "~");
    if let Some(value) = document.get_mut(&column) {
        parse(value);
    }
}

/// Returns the fields of a publish as one JSON object: the lists and flags are JSON there, and the names are text.
pub(crate) fn bare_publish(fields: Fields<'_>) -> Value {
    let mut publish: Map<String, Value> = row(fields);
    for name in ["changes", "tags", "all", "soft", "expect"] {
        if let Some(Value::String(text)) = publish.get(name)
            && let Ok(value) = serde_json::from_str(text)
        {
            publish.insert(name.to_owned(), value);
        }
    }
    Value::Object(publish)
}

fn parse(value: &mut Value) {
    let Value::String(text) = value else { return };
    if !text.trim_start().starts_with(['[', '{']) {
        return;
    }
    if let Ok(parsed) = serde_json::from_str(text) {
        *value = parsed;
    }
}
