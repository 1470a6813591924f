//! One answer, read: its rows, and what leads on from it.

use newsreel_mapping::Feed;
use newsreel_mapping::feed::{BodyFormat, FeedKind, Next, Pointer};
use serde_json::{Map, Value, json};

use super::xml::{self, XmlError};

/// An answer that was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Page {
    /// The rows.
    pub(super) items: Vec<Value>,
    /// The next page.
    pub(super) next: Option<NextPage>,
    /// The number of pages.
    pub(super) pages: Option<u64>,
    /// The cursor that follows; none at the end of the stream.
    pub(super) cursor: Option<String>,
    /// Whether the API says that no more follows.
    pub(super) is_end: bool,
}

/// The way to the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextPage {
    /// Its address.
    Link(String),
    /// Its number.
    Number(u64),
}

/// Why an answer with a good status changes nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The body is no JSON, or is cut off.
    #[error("the answer is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The body is no XML, or is cut off.
    #[error("the answer is {0}")]
    NotXml(#[from] XmlError),
    /// The body says that the request failed.
    #[error("the answer has an error in it, at {0}: {1}")]
    Failed(Pointer, String),
    /// The body does not have the rows where the mapping says.
    #[error("the answer has no list at \"{0}\", where the rows are")]
    NoRows(Pointer),
    /// The body does not have what the mapping names.
    #[error("the answer has no {1} at \"{0}\"")]
    Missing(Pointer, &'static str),
}

/// Reads the body of an answer. `link` is its header `Link`, `media_type` its content type.
pub(super) fn read(
    feed: &Feed,
    media_type: Option<&str>,
    link: Option<&str>,
    body: &[u8],
) -> Result<Page, BodyError> {
    // A body of any kind may be what changes: its row then says so and no more.
    let is_json = media_type.is_none_or(|media| media.contains("json"));
    if feed.kind == FeedKind::Etag && feed.format == BodyFormat::Json && !is_json {
        return Ok(Page { items: vec![json!({ "feed": feed.name })], ..Page::default() });
    }
    let document = match feed.format {
        BodyFormat::Xml => xml::document(body)?,
        BodyFormat::Json | BodyFormat::Ndjson | BodyFormat::Csv => serde_json::from_slice(body)?,
    };
    if let Some(error) = &feed.error
        && let Some(value) = error.find(&document).filter(|value| is_said(value))
    {
        return Err(BodyError::Failed(error.clone(), shortened(value)));
    }
    let items = rows(feed, &document)?;
    let (cursor, is_end) = cursor(feed, &document)?;
    let pages = feed.paging.pages.as_ref();
    let pages = pages.map(|pages| number(pages.find(&document)).ok_or_else(|| missing(pages, "number")));
    Ok(Page { items, next: next(feed, &document, link), pages: pages.transpose()?, cursor, is_end })
}

/// Returns the rows of a document. A row that is a number or a text is `{ "value": … }`.
fn rows(feed: &Feed, document: &Value) -> Result<Vec<Value>, BodyError> {
    let missing = || BodyError::NoRows(feed.items.clone());
    let row = |value: &Value| if value.is_object() { value.clone() } else { json!({ "value": value }) };
    match feed.items.find(document) {
        Some(Value::Array(elements)) => Ok(elements.iter().map(row).collect()),
        Some(object @ Value::Object(_)) => Ok(vec![object.clone()]),
        Some(Value::String(_)) if feed.format == BodyFormat::Xml => Ok(Vec::new()),
        // XML has no empty list: the element is not there.
        None if feed.format == BodyFormat::Xml && has_root(&feed.items, document) => Ok(Vec::new()),
        Some(_) | None => Err(missing()),
    }
}

fn has_root(items: &Pointer, document: &Value) -> bool {
    let root = items.segments().first();
    root.is_some_and(|root| document.as_object().is_some_and(|members| members.contains_key(root)))
}

/// Returns the cursor that follows, and whether the API says that this is the end.
fn cursor(feed: &Feed, document: &Value) -> Result<(Option<String>, bool), BodyError> {
    let place = &feed.cursor;
    let Some(next) = &place.next else { return Ok((None, false)) };
    let is_end = place.more.as_ref().is_some_and(|more| !more.find(document).is_some_and(is_said));
    if let Some(cursor) = next.find(document).filter(|value| is_said(value)) {
        return Ok((Some(text(cursor)), is_end));
    }
    let Some(last) = &place.last else { return Ok((None, true)) };
    let end = number(last.find(document)).ok_or_else(|| missing(last, "number"))?;
    Ok((Some((end + 1).to_string()), true))
}

fn next(feed: &Feed, document: &Value, link: Option<&str>) -> Option<NextPage> {
    match feed.paging.next.as_ref()? {
        Next::Link => next_link(link?).map(NextPage::Link),
        Next::Body(pointer) => match pointer.find(document)? {
            value @ Value::Number(_) => number(Some(value)).map(NextPage::Number),
            Value::String(address) if !address.is_empty() => Some(NextPage::Link(address.clone())),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        },
    }
}

/// Returns the address with `rel="next"` of a header `Link` (RFC 8288).
pub(super) fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, from)) = rest.split_once('<') {
        let (address, parameters) = from.split_once('>')?;
        let end = parameters.find('<').unwrap_or(parameters.len());
        let (parameters, behind) = parameters.split_at_checked(end)?;
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let relations = value.trim().trim_matches('"');
            let is_next = |relation: &str| relation.eq_ignore_ascii_case("next");
            name.trim().eq_ignore_ascii_case("rel") && relations.split_ascii_whitespace().any(is_next)
        });
        if is_next {
            return Some(address.trim().to_owned());
        }
        rest = behind;
    }
    None
}

/// Says whether a value says something: it is not null, false, 0 or empty.
fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !Map::is_empty(members),
    }
}

/// Returns a number, which may stand in a text.
fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn missing(pointer: &Pointer, what: &'static str) -> BodyError {
    BodyError::Missing(pointer.clone(), what)
}

/// An error may be a whole page.
fn shortened(value: &Value) -> String {
    text(value).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::super::example::feed;
    use super::*;

    const TMDB: &str = "kind = \"updated-since\"\nurl = \"http://h/{since}/{page}\"\nitems = \"/results\"\npages = \"/total_pages\"\n\
        repeat = \"1 h\"\nerror = \"/status_message\"";
    const GRACENOTE: &str = "kind = \"cursor\"\nurl = \"http://h/{cursor}\"\nformat = \"xml\"\nitems = \"/on/programs/program\"\n\
        cursor = \"/on/header/streamData/nextUpdateId\"\nlast = \"/on/header/streamData/maxUpdateId\"";

    #[test]
    fn pages_of_json_are_read() {
        let body = br#"{"results":[{"id":1},7],"total_pages":"3"}"#;
        let page = read(&feed(TMDB), None, None, body).unwrap();
        assert_eq!((page.items, page.pages), (vec![json!({ "id": 1 }), json!({ "value": 7 })], Some(3)));
    }

    #[test]
    fn an_answer_with_an_error_in_it_changes_nothing_and_says_why() {
        let said = |body: &str| read(&feed(TMDB), None, None, body.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            said(r#"{"results":[],"total_pages":1,"status_message":"over limit"}"#),
            "the answer has an error in it, at /status_message: over limit"
        );
        assert_eq!(said("{}"), "the answer has no list at \"/results\", where the rows are");
        assert_eq!(said(r#"{"results":[]}"#), "the answer has no number at \"/total_pages\"");
        assert_eq!(
            said("{\"results\":[{\"id\":1},\n{\"id\":"),
            "the answer is not JSON: EOF while parsing a value at line 2 column 6"
        );
    }

    #[test]
    fn the_cursor_of_a_stream_leads_on_to_its_end() {
        let body = |stream: &str, programs: &str| {
            format!(
                "<on><header><streamData>{stream}</streamData></header><programs>{programs}</programs></on>"
            )
        };
        let read = |stream, programs| read(&feed(GRACENOTE), None, None, body(stream, programs).as_bytes());
        let page =
            read("<nextUpdateId>55</nextUpdateId><maxUpdateId>90</maxUpdateId>", "<program TMSId=\"a\"/>");
        let page = page.unwrap();
        assert_eq!((page.cursor.as_deref(), page.is_end), (Some("55"), false));
        assert_eq!(page.items, [json!({ "TMSId": "a" })]);
        let page = read("<maxUpdateId>90</maxUpdateId>", "").unwrap();
        assert_eq!((page.cursor.as_deref(), page.is_end, page.items.len()), (Some("91"), true, 0));
        assert!(read("", "").is_err(), "neither is there");
    }

    #[test]
    fn the_next_page_is_a_link_or_a_value() {
        let header =
            r#"<https://h/?page=1>; rel="prev", <https://h/?page=3&a=b,c>; title="x"; rel="next last""#;
        assert_eq!(next_link(header).as_deref(), Some("https://h/?page=3&a=b,c"));
        assert_eq!(next_link("<a>; rel=first"), None);
        assert_eq!(next_link("<a; rel=next"), None);
        let fields =
            "kind = \"updated-since\"\nurl = \"http://h/{since}\"\nstamp = \"\"\nnext = \"/links/next\"";
        let of = |next: Value| next_of(&feed(fields), &json!({ "links": { "next": next } }));
        assert_eq!(of(json!("/x?page=2")), Some(NextPage::Link("/x?page=2".to_owned())));
        assert_eq!(of(json!(4)), Some(NextPage::Number(4)));
        assert_eq!((of(json!(null)), of(json!(""))), (None, None));
    }

    fn next_of(feed: &Feed, document: &Value) -> Option<NextPage> {
        next(feed, document, None)
    }

    #[test]
    fn a_body_that_is_no_json_may_be_what_changes() {
        let feed = feed("kind = \"etag\"\nurl = \"http://h\"");
        let page = read(&feed, Some("text/html; charset=utf-8"), None, b"<p>").unwrap();
        assert_eq!(page.items, [json!({ "feed": "f" })]);
        assert!(
            read(&feed, Some("application/json"), None, b"{\"a\":").is_err(),
            "JSON that is cut off is none"
        );
    }
}
