//! Rows of an XML document, as JSON: one row for each element at a path.
//!
//! An element with text alone is a text. Any other is an object: each attribute and each child is a member by its name
//! (a child that occurs more than once is a list), and text beside them is the member `text`. An attribute with the
//! name of a child is the member `@NAME`.

use std::io::{self, BufRead, Read};

use quick_xml::Reader;
use quick_xml::encoding::DecodingReader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use serde_json::{Map, Value};

/// How deep elements may be within each other.
const MAX_DEPTH: usize = 200;

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not XML in line {line}: {why}")]
pub(super) struct XmlError {
    /// The line, from 1.
    pub(super) line: usize,
    why: String,
}

/// The elements at a path, in the order of the document.
pub(super) struct XmlRows<R> {
    reader: Reader<Lines<DecodingReader<R>>>,
    path: Vec<String>,
    open: Vec<String>,
    buffer: Vec<u8>,
    has_root: bool,
}

/// A reader that counts the ends of lines that went by.
struct Lines<R> {
    inner: R,
    line: usize,
}

impl<R: BufRead> XmlRows<R> {
    /// Returns the elements whose names from the root are `path`; with an empty one, the whole document as an object.
    pub(super) fn new(mut source: R, path: &[String]) -> Self {
        let declared = source.fill_buf().ok().and_then(declared_encoding);
        let mut decoded = DecodingReader::new(source);
        if let Some(encoding) = declared.and_then(|name| BytesDecl::new("1.0", Some(&name), None).encoder()) {
            decoded.set_encoding(encoding);
        }
        let mut reader = Reader::from_reader(Lines { inner: decoded, line: 1 });
        reader.config_mut().expand_empty_elements = true;
        Self { reader, path: path.to_vec(), open: Vec::new(), buffer: Vec::new(), has_root: false }
    }

    /// Returns the next row, with the line on which it ends.
    pub(super) fn next_row(&mut self) -> Result<Option<(usize, Value)>, XmlError> {
        loop {
            match self.event()? {
                Event::Start(start) => {
                    if self.open.is_empty() && self.has_root {
                        return Err(self.wrong("a second root element"));
                    }
                    self.has_root = true;
                    let name = start.name().as_ref().to_owned();
                    self.open.push(name.clone());
                    if self.path.is_empty() {
                        let value = self.element(&start, 0)?;
                        return Ok(Some((self.line(), Value::Object(Map::from_iter([(name, value)])))));
                    }
                    if self.open == self.path {
                        let value = self.element(&start, 0)?;
                        return Ok(Some((self.line(), value)));
                    }
                }
                Event::End(_) => drop(self.open.pop()),
                Event::Eof if !self.has_root => return Err(self.wrong("the document is empty")),
                Event::Eof => match self.open.last() {
                    Some(open) => return Err(self.wrong(&format!("the document ends within <{open}>"))),
                    None => return Ok(None),
                },
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Comment(_)
                | Event::PI(_)
                | Event::Decl(_)
                | Event::DocType(_)
                | Event::Empty(_) => {}
            }
        }
    }

    fn event(&mut self) -> Result<Event<'static>, XmlError> {
        self.buffer.clear();
        let event = self.reader.read_event_into(&mut self.buffer).map(Event::into_owned);
        event.map_err(|error| self.wrong(&error.to_string()))
    }

    /// Reads up to the end of an element.
    fn element(&mut self, start: &BytesStart<'_>, depth: usize) -> Result<Value, XmlError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("elements are too deep within each other"));
        }
        let attributes = self.attributes(start)?;
        let (mut members, mut text) = (Map::new(), String::new());
        loop {
            match self.event()? {
                Event::Start(child) => {
                    let value = self.element(&child, depth + 1)?;
                    add(&mut members, child.name().as_ref(), value);
                }
                Event::Text(part) => text.push_str(&part.xml10_content()),
                Event::CData(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(name) => {
                    let char = name.resolve_char_ref().map_err(|error| self.wrong(&error.to_string()))?;
                    match (char, resolve_predefined_entity(&name.xml10_content())) {
                        (Some(char), _) => text.push(char),
                        (None, Some(entity)) => text.push_str(entity),
                        (None, None) => return Err(self.wrong("an entity that is not known")),
                    }
                }
                Event::End(_) => {
                    self.open_ended(depth);
                    return Ok(value_of(attributes, members, text));
                }
                Event::Eof => {
                    let name = start.name().as_ref().to_owned();
                    return Err(self.wrong(&format!("the document ends within <{name}>")));
                }
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) | Event::Empty(_) => {}
            }
        }
    }

    /// Notes the end of the outermost element that `element` reads.
    fn open_ended(&mut self, depth: usize) {
        if depth == 0 {
            self.open.pop();
        }
    }

    fn attributes(&self, start: &BytesStart<'_>) -> Result<Vec<(String, String)>, XmlError> {
        let read = start.attributes().map(|attribute| {
            let attribute = attribute.map_err(|error| self.wrong(&error.to_string()))?;
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            let value = value.map_err(|error| self.wrong(&error.to_string()))?;
            Ok((attribute.key.as_ref().to_owned(), value.into_owned()))
        });
        read.collect()
    }

    fn line(&self) -> usize {
        self.reader.get_ref().line
    }

    fn wrong(&self, why: &str) -> XmlError {
        XmlError { line: self.line(), why: why.to_owned() }
    }
}

/// Reads a whole document.
pub(super) fn document(body: &[u8]) -> Result<Value, XmlError> {
    let mut rows = XmlRows::new(body, &[]);
    let document = rows.next_row()?.map_or(Value::Null, |(_, document)| document);
    // Also what follows the root element has to be XML.
    while rows.next_row()?.is_some() {}
    Ok(document)
}

/// Returns the encoding that the declaration at the beginning of a document names. The reader of XML itself learns of
/// it too late for a document that has other letters close behind.
fn declared_encoding(beginning: &[u8]) -> Option<String> {
    let beginning = beginning.get(..beginning.len().min(256))?;
    let text = String::from_utf8_lossy(beginning);
    let (declaration, _) = text.strip_prefix("<?xml")?.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, _) = value.strip_prefix(quote)?.split_once(quote)?;
    Some(name.to_owned())
}

fn value_of(attributes: Vec<(String, String)>, mut members: Map<String, Value>, text: String) -> Value {
    if attributes.is_empty() && members.is_empty() {
        return Value::String(text);
    }
    for (name, value) in attributes {
        let name = if members.contains_key(&name) { format!("@{name}") } else { name };
        members.insert(name, Value::String(value));
    }
    if !text.trim().is_empty() {
        members.entry("text").or_insert(Value::String(text));
    }
    Value::Object(members)
}

fn add(members: &mut Map<String, Value>, name: &str, value: Value) {
    match members.get_mut(name) {
        None => drop(members.insert(name.to_owned(), value)),
        Some(Value::Array(values)) => values.push(value),
        Some(before) => *before = Value::Array(vec![before.take(), value]),
    }
}

impl<R: BufRead> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let taken = buffer.get(..read).unwrap_or_default();
        self.line += taken.iter().filter(|byte| **byte == b'\n').count();
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Lines<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(buffer) = self.inner.fill_buf() {
            let taken = buffer.get(..amount).unwrap_or_default();
            self.line += taken.iter().filter(|byte| **byte == b'\n').count();
        }
        self.inner.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GUIDE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tv SYSTEM "xmltv.dtd">
<tv generator-info-name="x">
  <channel id="one"><display-name>One &amp; only</display-name></channel>
  <programme start="20261130060000 +0000" channel="one">
    <title lang="en">News</title><category>a</category><category>b</category><previously-shown/>
  </programme>
  <programme start="20261130070000 +0000" channel="one"><title>R&#228;tsel</title></programme>
</tv>
"#;

    fn rows(text: &[u8], path: &[&str]) -> Result<Vec<(usize, Value)>, XmlError> {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        let mut rows = XmlRows::new(text, &path);
        std::iter::from_fn(|| rows.next_row().transpose()).collect()
    }

    #[test]
    fn programmes_of_a_guide_are_rows() {
        let rows = rows(GUIDE.as_bytes(), &["tv", "programme"]).unwrap();
        let expected = json!({
            "start": "20261130060000 +0000", "channel": "one", "title": { "lang": "en", "text": "News" },
            "category": ["a", "b"], "previously-shown": "",
        });
        assert_eq!(rows.first().unwrap(), &(7, expected));
        assert_eq!(rows.get(1).unwrap().1["title"], json!("Rätsel"));
        assert_eq!(rows.len(), 2);
        assert_eq!(document(GUIDE.as_bytes()).unwrap()["tv"]["channel"]["display-name"], json!("One & only"));
    }

    #[test]
    fn a_document_that_is_cut_off_or_malformed_is_an_error_with_its_line() {
        for end in [GUIDE.len() - 8, 300, 120, 60, 10, 0] {
            assert!(rows(&GUIDE.as_bytes()[..end], &["tv", "programme"]).is_err(), "cut at {end}");
        }
        let error = rows(b"<a>\n<b>\n</c></a>", &["a", "b"]).unwrap_err();
        assert_eq!(error.line, 3, "{error}");
        assert!(rows(b"<a>&nope;</a>", &["a"]).is_err());
        assert!(rows(b"<a/><a/>", &["a"]).is_err());
        assert!(rows(b"not xml", &["a"]).is_err());
    }

    #[test]
    fn a_document_may_have_another_encoding() {
        let latin = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><tv><p t=\"\xe4\">\xf6</p></tv>";
        assert_eq!(rows(latin, &["tv", "p"]).unwrap(), [(1, json!({ "t": "ä", "text": "ö" }))]);
    }

    #[test]
    fn an_attribute_with_the_name_of_a_child_is_told_from_it() {
        let row = rows(b"<a><b id=\"1\"><id>2</id>x</b></a>", &["a", "b"]).unwrap();
        assert_eq!(row, [(1, json!({ "id": "2", "@id": "1", "text": "x" }))]);
    }
}
