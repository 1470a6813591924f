//! The address of a request, cut into its parts.

use std::str::FromStr;

use url::{ParseError, Url};

/// An absolute address, as a runtime's `Request.url` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

impl From<Url> for Address {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Url::parse(text).map(Self)
    }
}

impl Address {
    /// Returns the whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns scheme, host and port, as an `Origin` header writes them.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Returns the path, from its first slash on, percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Returns the query, without its question mark; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.0.query().unwrap_or_default()
    }

    /// Says whether the query gives a name this value.
    #[must_use]
    pub fn says(&self, name: &str, value: &str) -> bool {
        self.0.query_pairs().any(|(one, given)| one == name && given == value)
    }

    /// Returns the first value that the query gives a name; an empty one is none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        let mut given = self.0.query_pairs().filter(|(one, _)| one == name);
        given.next().map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    }

    /// Returns the address with more in its query, and without a fragment.
    #[must_use]
    pub fn with_query(&self, more: &str) -> String {
        let between = if self.query().is_empty() { "" } else { "&" };
        let mut longer = self.0.clone();
        longer.set_query(Some(&format!("{}{between}{more}", self.query())));
        longer.set_fragment(None);
        longer.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_address_is_cut_where_a_browser_cuts_it() {
        for (url, origin, path, query) in [
            ("https://a.example/v1/x%2Fy?a=1&b=?/#c?d", "https://a.example", "/v1/x%2Fy", "a=1&b=?/"),
            ("http://127.0.0.1:8787/", "http://127.0.0.1:8787", "/", ""),
            ("http://[::1]:80/?a", "http://[::1]", "/", "a"),
            ("https://a.example/p#x", "https://a.example", "/p", ""),
            ("https://a.example", "https://a.example", "/", ""),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!(address.origin(), origin, "{url}");
            assert_eq!((address.path(), address.query()), (path, query), "{url}");
        }
        assert!("/v1/catalogs".parse::<Address>().is_err(), "an address is absolute");
    }

    #[test]
    fn a_query_gets_more() {
        for (url, longer) in [
            ("https://a.example/x?b=1#c", "https://a.example/x?b=1&t=2"),
            ("https://a.example/x#c?", "https://a.example/x?t=2"),
            ("https://a.example/x?", "https://a.example/x?t=2"),
        ] {
            assert_eq!(url.parse::<Address>().unwrap().with_query("t=2"), longer);
        }
    }

    #[test]
    fn a_query_is_asked_for_a_value() {
        let address: Address = "https://a/x?envelope=1&b=%31".parse().unwrap();
        assert!(address.says("envelope", "1") && address.says("b", "1"));
        assert!(!address.says("envelope", "0") && !address.says("c", "1"));
    }
}
