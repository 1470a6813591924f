//! CloudEvents 1.0: structured, in batches, and binary, with the attributes beside the data.
//!
//! The row is the event: `{type}`, `{subject}`, `{source}` are its attributes, and `{data.…}` reaches into its data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::content::{Body, Documents, MessageError};
use super::entry;

/// What stands before the name of an attribute, by HTTP, by Kafka (and what goes the way of it), and by AMQP.
const PREFIXES: [&str; 4] = ["ce-", "ce_", "cloudevents:", "cloudevents_"];
/// The attributes that every event has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
/// The fields of an entry that may have the data of an event.
const DATA_FIELDS: [&str; 4] = ["data", "payload", "body", "value"];

/// Reads a body in whatever mode it is.
pub(crate) fn read(body: &Body<'_>) -> Result<Documents, MessageError> {
    let attributes = attributes(body.attributes)?;
    let events = if attributes.is_empty() {
        body.list()?
    } else {
        vec![binary(attributes, body.bytes, body.content_type)?]
    };
    documents(events)
}

/// Reads an entry whose fields are the attributes, with their prefix or without.
pub(crate) fn read_entry(fields: entry::Fields<'_>) -> Result<Documents, MessageError> {
    let given = entry::attributes(fields)?;
    let mut event = attributes(&given)?;
    if event.is_empty() {
        event = entry::row(fields);
    }
    let data = DATA_FIELDS.iter().find_map(|field| Some((field, entry::value(fields, field)?)));
    if let Some((field, _)) = data {
        event.remove(*field);
    }
    let content_type = given.iter().find(|(name, _)| is_content_type(name)).map(|(_, value)| value.as_str());
    let event = binary(event, data.map_or(&[], |(_, data)| data), content_type)?;
    documents(vec![event])
}

fn documents(events: Vec<Value>) -> Result<Documents, MessageError> {
    let is_single = events.len() == 1;
    let is_batch = !is_single;
    let mut documents = Vec::with_capacity(events.len());
    let (mut id, mut traceparent) = (None, None);
    for (number, event) in events.into_iter().enumerate() {
        let (event, name) = checked(event).map_err(|why| {
            let place = if is_batch { format!("event {number} of the batch: ") } else { String::new() };
            MessageError::CloudEvent(place + &why)
        })?;
        id = is_single.then_some(name);
        // One that cannot be read says nothing: a trace is never a reason to refuse an event.
        let told = event.get("traceparent").and_then(Value::as_str).and_then(|text| text.parse().ok());
        traceparent = told.filter(|_| is_single);
        documents.push(event);
    }
    Ok(Documents { documents, is_textual: false, id, traceparent })
}

/// Returns an event with its data as JSON, and the name that it alone has.
fn checked(event: Value) -> Result<(Value, String), String> {
    let Value::Object(mut event) = event else { return Err("an event is a JSON object".to_owned()) };
    for name in REQUIRED {
        match event.get(name) {
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(_) => return Err(format!("{name} is a text that is not empty")),
            None => return Err(format!("there is no {name}")),
        }
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let version = text("specversion");
    if version != "1.0" && !version.starts_with("1.") {
        return Err(format!("specversion {version:?} is not 1.0"));
    }
    let name = format!("{} {}", text("source"), text("id"));
    let is_json = is_json(event.get("datacontenttype").and_then(Value::as_str));
    if let Some(encoded) = event.remove("data_base64") {
        let bytes = encoded.as_str().and_then(|encoded| STANDARD.decode(encoded).ok());
        let bytes = bytes.ok_or("data_base64 is no base64")?;
        event.insert("data".to_owned(), data_of(&bytes, is_json)?);
    }
    Ok((Value::Object(event), name))
}

/// Returns the attributes among what stands beside a body, without their prefix.
fn attributes(beside: &[(String, String)]) -> Result<Map<String, Value>, MessageError> {
    let mut found = Map::new();
    for (name, value) in beside {
        let lower = name.to_ascii_lowercase();
        let Some(attribute) = PREFIXES.iter().find_map(|prefix| lower.strip_prefix(prefix)) else { continue };
        let value = if lower.starts_with("ce-") {
            let decoded = percent_decode_str(value).decode_utf8();
            decoded.map_err(|_| MessageError::CloudEvent(format!("{name} is not UTF-8")))?.into_owned()
        } else {
            value.clone()
        };
        found.insert(attribute.to_owned(), Value::String(value));
    }
    Ok(found)
}

fn binary(
    mut event: Map<String, Value>,
    bytes: &[u8],
    content_type: Option<&str>,
) -> Result<Value, MessageError> {
    if let (Some(content_type), None) = (content_type, event.get("datacontenttype")) {
        event.insert("datacontenttype".to_owned(), Value::String(content_type.to_owned()));
    }
    if !bytes.is_empty() {
        let is_json = is_json(event.get("datacontenttype").and_then(Value::as_str));
        let data = data_of(bytes, is_json).map_err(MessageError::CloudEvent)?;
        event.insert("data".to_owned(), data);
    }
    Ok(Value::Object(event))
}

/// Returns data as JSON: a text, unless its media type is one of JSON.
fn data_of(bytes: &[u8], is_json: bool) -> Result<Value, String> {
    if is_json {
        return serde_json::from_slice(bytes).map_err(|error| format!("data is no JSON: {error}"));
    }
    Ok(Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// Says whether data of a media type is JSON; without one it is.
fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

fn is_content_type(name: &str) -> bool {
    ["content-type", "content_type", "contenttype"].iter().any(|known| known.eq_ignore_ascii_case(name))
}
