//! Responses by one call of JavaScript each: the headers as text, and values that are answered often.

use std::fmt::{Display, Write as _};

use wasm_bindgen::prelude::*;
use worker::web_sys;
use worker::{Headers, Result};

#[wasm_bindgen(module = "/src/respond.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = headersOf)]
    fn headers_of(lines: &str) -> std::result::Result<web_sys::Headers, JsValue>;

    #[wasm_bindgen(catch)]
    fn respond(status: u16, lines: &str, bytes: &[u8]) -> std::result::Result<web_sys::Response, JsValue>;

    /// A value that is answered often: its lasting headers and its body, as JavaScript has them.
    #[derive(Debug)]
    pub(crate) type ReadyValue;

    #[wasm_bindgen(catch, constructor)]
    fn new(lines: &str, bytes: &[u8]) -> std::result::Result<ReadyValue, JsValue>;

    #[wasm_bindgen(catch, method, js_name = respond)]
    fn respond_with(this: &ReadyValue, lines: &str) -> std::result::Result<web_sys::Response, JsValue>;
}

impl ReadyValue {
    /// Keeps a value and its lasting headers for responses to come.
    ///
    /// # Errors
    /// When the platform refuses a header.
    pub(crate) fn of(lasting: &HeaderList, body: &[u8]) -> Result<Self> {
        Ok(Self::new(&lasting.0, body)?)
    }

    /// Returns a 200 with the value, its lasting headers and these, whose names must be the same for every response.
    ///
    /// # Errors
    /// When the platform refuses a header.
    pub(crate) fn respond(&self, passing: &HeaderList) -> Result<web_sys::Response> {
        Ok(self.respond_with(&passing.0)?)
    }
}

/// Headers in the order in which they were added, each a line of name, colon and value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct HeaderList(String);

impl HeaderList {
    /// Adds a header, which must not be in the list. A line break in its value becomes a space.
    pub(crate) fn add(&mut self, name: &str, value: impl Display) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(name);
        self.0.push(':');
        let from = self.0.len();
        let _ = write!(self.0, "{value}");
        if self.0.get(from..).is_some_and(|value| value.contains(['\r', '\n'])) {
            let value = self.0.split_off(from).replace(['\r', '\n'], " ");
            self.0.push_str(&value);
        }
    }

    /// Returns the headers as lines.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Returns the headers as JavaScript has them.
    ///
    /// # Errors
    /// When the platform refuses a header.
    pub(crate) fn to_headers(&self) -> Result<Headers> {
        if self.0.is_empty() {
            return Ok(Headers::new());
        }
        Ok(Headers(headers_of(&self.0)?))
    }

    /// Returns a response with these headers and bytes.
    ///
    /// # Errors
    /// When the platform refuses a header.
    pub(crate) fn respond(&self, status: u16, body: &[u8]) -> Result<web_sys::Response> {
        Ok(respond(status, &self.0, body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_list_is_a_line_a_header_and_no_value_makes_another_header() {
        let mut list = HeaderList::default();
        list.add("Age", 3);
        list.add("ETag", "\"a:b\"");
        list.add("Content-Type", "text/plain\r\nSet-Cookie: a=b");
        assert_eq!(list.0, "Age:3\nETag:\"a:b\"\nContent-Type:text/plain  Set-Cookie: a=b");
    }
}
