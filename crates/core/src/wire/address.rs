//! The address of a request, cut into its parts. The platform has parsed and normalized it: nothing is checked here.

/// An absolute address, as a runtime's `Request.url` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Takes an absolute address, such as `https://guide.example/v1/catalogs/tv?limit=5`.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// Returns all of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns scheme, host and port, as an `Origin` header writes them.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.0.split_at(self.path_at()).0
    }

    /// Returns the path, from its first slash on, percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        let rest = self.0.split_at(self.path_at()).1;
        rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len())).0
    }

    /// Returns the query, without its question mark; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        let address = self.0.split_once('#').map_or(self.0.as_str(), |(address, _)| address);
        address.split_once('?').map_or("", |(_, query)| query)
    }

    /// Says whether the query gives a name this value.
    #[must_use]
    pub fn says(&self, name: &str, value: &str) -> bool {
        form_urlencoded::parse(self.query().as_bytes()).any(|(one, given)| one == name && given == value)
    }

    /// Returns all of it with more in its query.
    #[must_use]
    pub fn with_query(&self, more: &str) -> String {
        let between = if self.query().is_empty() { "" } else { "&" };
        format!("{}{}?{}{between}{more}", self.origin(), self.path(), self.query())
    }

    fn path_at(&self) -> usize {
        let host = self.0.find("://").map_or(0, |at| at + 3);
        let path = self.0.bytes().skip(host).position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        path.map_or(self.0.len(), |at| host + at)
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
            ("http://[::1]:80?a", "http://[::1]:80", "", "a"),
            ("https://a.example/p#x", "https://a.example", "/p", ""),
            ("https://a.example", "https://a.example", "", ""),
        ] {
            let address = Address::new(url.to_owned());
            assert_eq!((address.origin(), address.path(), address.query()), (origin, path, query), "{url}");
            assert_eq!(address.as_str(), url);
        }
    }

    #[test]
    fn a_query_gets_more() {
        for (url, longer) in [
            ("https://a.example/x?b=1#c", "https://a.example/x?b=1&t=2"),
            ("https://a.example/x#c?", "https://a.example/x?t=2"),
            ("https://a.example/x?", "https://a.example/x?t=2"),
        ] {
            assert_eq!(Address::new(url.to_owned()).with_query("t=2"), longer);
        }
    }

    #[test]
    fn a_query_is_asked_for_a_value() {
        let address = Address::new("https://a/x?envelope=1&b=%31".to_owned());
        assert!(address.says("envelope", "1") && address.says("b", "1"));
        assert!(!address.says("envelope", "0") && !address.says("c", "1"));
    }
}
