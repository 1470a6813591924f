//! The request of a webhook, as far as its sender is proved by it.

use newsreel_core::wire::UnixMillis;

/// The headers of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Takes headers; of two with one name the first counts.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(headers.into_iter().collect())
    }

    /// Returns the value of a header, without the spaces around it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = |(one, _): &&(String, String)| one.eq_ignore_ascii_case(name);
        self.0.iter().find(named).map(|(_, value)| value.trim())
    }

    /// Returns every header.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A request to the address of a hook.
#[derive(Debug, Clone, Copy)]
pub struct HookRequest<'a> {
    /// The headers.
    pub headers: &'a Headers,
    /// The body, byte for byte as it came.
    pub body: &'a [u8],
    /// The receiver's time.
    pub now: UnixMillis,
}
