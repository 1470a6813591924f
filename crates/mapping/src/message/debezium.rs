//! Envelopes of Debezium, with their schema and without, and the messages that it sends beside them.

use serde_json::{Map, Value};

use super::content::{Body, MessageError, document_kind};
use crate::rule::{Row, RowChange, Rule};

/// What Debezium Server writes into a Redis stream for a value that is null.
const NULL: &[u8] = b"default";

/// The value of a column that the database did not log, because the update left it as it was.
const UNAVAILABLE: &str = "__debezium_unavailable_value";

/// A change of a row, or of a table.
#[derive(Debug)]
pub(crate) struct Envelope {
    operation: Operation,
    before: Option<Row>,
    after: Row,
    /// The columns of the record's key, if the message has one.
    key: Option<Row>,
    /// The names of the database, its schema and the table, as far as they are there.
    source: [Option<String>; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// Reads a message, with the record's key if there is one. `None` for a message about no row.
pub(crate) fn read(body: &Body<'_>, key: Option<&[u8]>) -> Result<Option<Envelope>, MessageError> {
    if body.bytes.trim_ascii().is_empty() || body.bytes == NULL {
        return Ok(None);
    }
    let Value::Object(message) = opened(body.json()?) else { return Ok(None) };
    let wrong = |why: &str| Err(MessageError::Debezium(why.to_owned()));
    let Some(operation) = message.get("op") else {
        return if is_beside(&message) { Ok(None) } else { wrong("there is no op") };
    };
    let operation = match operation.as_str() {
        Some("c" | "r") => Operation::Insert,
        Some("u") => Operation::Update,
        Some("d") => Operation::Delete,
        Some("t") => Operation::Truncate,
        // A message of the log that is about no row.
        Some("m") => return Ok(None),
        Some(_) | None => return wrong("op is none of c, r, u, d, t and m"),
    };
    let (before, after) = (state(&message, "before")?, state(&message, "after")?);
    if matches!(operation, Operation::Insert | Operation::Update) && after.is_none() {
        return wrong("there is no row after the change: after is null");
    }
    let Some(Value::Object(source)) = message.get("source") else { return wrong("there is no source") };
    let name = |name: &str| source.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let source = [name("db"), name("schema"), name("table").or_else(|| name("collection"))];
    let mut after = after.unwrap_or_default();
    for (name, value) in before.iter().flatten() {
        if !after.contains_key(name) && operation == Operation::Update {
            after.insert(name.clone(), value.clone());
        }
    }
    Ok(Some(Envelope { operation, before, after, key: key.and_then(columns_of), source }))
}

impl Envelope {
    /// Says whether the envelope is of a table: by its name alone, or with the schema or the database before it.
    pub(crate) fn is_of(&self, table: &str) -> bool {
        let [db, schema, own] =
            self.source.each_ref().map(|name| name.as_deref().filter(|name| !name.is_empty()));
        let Some(own) = own else { return false };
        let Some(around) = table.strip_suffix(own) else { return false };
        let Some(around) = around.strip_suffix('.') else { return around.is_empty() };
        let both = db.zip(schema).map(|(db, schema)| format!("{db}.{schema}"));
        [db, schema, both.as_deref()].contains(&Some(around))
    }

    /// Returns the name of the table.
    pub(crate) fn table(&self) -> String {
        let [db, schema, own] = &self.source;
        let around = schema.as_ref().filter(|schema| !schema.is_empty()).or(db.as_ref());
        around.iter().copied().chain(own).cloned().collect::<Vec<_>>().join(".")
    }

    /// Returns the row before, as far as the rule may take it as known.
    ///
    /// A database that does not log old rows sends none with an update. Debezium sends a change of the record's key as a
    /// delete and a create, so the columns of the key are the same before and after. Where the message has no key, the
    /// columns of the rule's own key count as its columns.
    pub(crate) fn old_of(&self, rule: &Rule) -> Row {
        if let Some(before) = &self.before {
            return before.clone();
        }
        let after = |is_same: &dyn Fn(&str) -> bool| {
            let columns = self.after.iter().filter(|(name, _)| is_same(name));
            columns.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        match (&self.key, self.operation) {
            (Some(key), Operation::Update) => after(&|name| key.contains_key(name)),
            (Some(key), Operation::Insert | Operation::Delete | Operation::Truncate) => key.clone(),
            (None, _) => {
                let columns: Vec<&str> = rule.key.iter().flat_map(|key| key.columns()).collect();
                after(&|name| columns.contains(&name))
            }
        }
    }

    /// Returns the change of the row.
    pub(crate) fn change<'a>(&'a self, old: &'a Row) -> RowChange<'a> {
        match self.operation {
            Operation::Insert => RowChange::Insert { new: &self.after },
            Operation::Update => RowChange::Update { old, new: &self.after },
            Operation::Delete => RowChange::Delete { old },
            Operation::Truncate => RowChange::Truncate,
        }
    }
}

/// Takes an envelope out of what may be around it: a CloudEvent, and the schema.
fn opened(mut message: Value) -> Value {
    if message.get("specversion").is_some()
        && let Some(data) = message.get_mut("data")
    {
        message = data.take();
    }
    let has_schema = message.get("schema").is_some() && message.get("op").is_none();
    match message.get_mut("payload") {
        Some(payload) if has_schema => payload.take(),
        Some(_) | None => message,
    }
}

/// Says whether a message without a row is one of those that Debezium sends beside the rows: a heartbeat, or the
/// beginning or the end of a transaction.
fn is_beside(message: &Map<String, Value>) -> bool {
    let is_heartbeat = message.len() == 1 && message.contains_key("ts_ms");
    let status = message.get("status").and_then(Value::as_str);
    is_heartbeat || (matches!(status, Some("BEGIN" | "END")) && message.contains_key("id"))
}

/// Returns a row of an envelope, without the columns that are not known. MongoDB's connector sends it as a text of JSON.
fn state(message: &Map<String, Value>, name: &str) -> Result<Option<Row>, MessageError> {
    let mut row: Row = match message.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(row)) => row.clone(),
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|error| MessageError::NotJson { what: name.to_owned(), why: error.to_string() })?,
        Some(other) => {
            return Err(MessageError::Debezium(format!("{name} is {}, and no row", document_kind(other))));
        }
    };
    row.retain(|_, value| value.as_str() != Some(UNAVAILABLE));
    Ok(Some(row))
}

/// Returns the columns of a record's key, with its schema or without.
fn columns_of(key: &[u8]) -> Option<Row> {
    let Value::Object(columns) = opened(serde_json::from_slice(key).ok()?) else { return None };
    (!columns.is_empty()).then_some(columns)
}
