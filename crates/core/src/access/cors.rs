//! Cross-origin requests: which web pages may call a deployment, and the headers that tell their browsers so.
//!
//! "Origin" stands for the header that a browser sends, and not for the server that values come from. Knows
//! no addresses: both halves of a deployment give every page the same answer.

use crate::wire::{Code, Problem};

/// The methods that a page may use.
const METHODS: &str = "GET, HEAD, POST";
/// The request headers that a page may set: those that some address reads, and `Cache-Control`, which
/// libraries of event streams send with every request.
const REQUEST_HEADERS: &str = "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, \
     If-Range, Last-Event-ID, Newsreel-Min-Version, Range, traceparent";
/// The response headers that a page may read beside the headers that a browser shows to every page.
const RESPONSE_HEADERS: &str = "Accept-Encoding, Accept-Ranges, Age, Allow, Cache-Status, Content-Range, ETag, \
     Idempotent-Replayed, Newsreel-Entry-Version, Newsreel-Freshness, Newsreel-Version, Retry-After";
/// How many seconds a browser may remember a preflight. Browsers that have a limit of their own cut it down.
const MAX_AGE: &str = "86400";

/// The origins that a deployment allows beside its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// Every origin, also `null`.
    everything: bool,
    items: Vec<Allowed>,
}

/// One item of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Allowed {
    /// As a browser writes it: in lower case, without the default port.
    origin: String,
    /// Whether `origin` has no port and stands for every one.
    any_port: bool,
}

/// A list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "ALLOWED_ORIGINS: {item:?} is not an origin: write https://host, https://host:port, https://host:* or *"
)]
pub struct OriginsError {
    /// The item that is none.
    pub item: String,
}

impl Origins {
    /// Reads a comma-separated list of `https://host`, `http://host:8080`, `http://host:*` (any port) and
    /// `*`.
    ///
    /// # Errors
    /// [`OriginsError`] names the first item that is none of these.
    pub fn parse(list: &str) -> Result<Self, OriginsError> {
        let mut origins = Self::default();
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            if text == "*" {
                origins.everything = true;
            } else {
                let wrong = || OriginsError { item: text.to_owned() };
                origins.items.push(Allowed::parse(text).ok_or_else(wrong)?);
            }
        }
        Ok(origins)
    }

    /// Says whether pages of `origin` may call a deployment with the origin `own`, in lower case.
    #[must_use]
    pub fn allow(&self, origin: &str, own: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.everything || origin == own || self.items.iter().any(|item| item.matches(&origin))
    }
}

impl From<OriginsError> for Problem {
    fn from(error: OriginsError) -> Self {
        Self::new(Code::Misconfigured, error.to_string())
    }
}

/// Returns the problem of a page that may not call.
#[must_use]
pub fn refusal(origin: &str) -> Problem {
    let text = format!("pages of {origin} may not call; ALLOWED_ORIGINS lists those that may");
    Problem::new(Code::OriginNotAllowed, text)
}

/// Returns the headers that answer the preflight of an allowed page, beside those of [`shown_to`].
#[must_use]
pub fn preflight() -> [(&'static str, &'static str); 3] {
    [
        ("Access-Control-Allow-Methods", METHODS),
        ("Access-Control-Allow-Headers", REQUEST_HEADERS),
        ("Access-Control-Max-Age", MAX_AGE),
    ]
}

/// Returns the headers by which an allowed page of `origin` may read an answer that has this `Vary`.
#[must_use]
pub fn shown_to(origin: &str, vary: Option<&str>) -> [(&'static str, String); 3] {
    [
        ("Access-Control-Allow-Origin", origin.to_owned()),
        ("Access-Control-Expose-Headers", RESPONSE_HEADERS.to_owned()),
        ("Vary", varies_by_origin(vary)),
    ]
}

/// Returns a `Vary` that names `Origin` too. An answer without it is not kept for one page and given to
/// another.
#[must_use]
pub fn varies_by_origin(vary: Option<&str>) -> String {
    let vary = vary.unwrap_or_default().trim();
    let named = vary.split(',').map(str::trim).any(|one| one == "*" || one.eq_ignore_ascii_case("Origin"));
    match (vary, named) {
        ("", _) => "Origin".to_owned(),
        (_, true) => vary.to_owned(),
        (_, false) => format!("{vary}, Origin"),
    }
}

impl Allowed {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = match rest.rsplit_once(':') {
            // Not the last colon of an IPv6 address without port.
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (rest, None),
        };
        let plain = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|one| one.is_ascii_alphanumeric() || more.contains(one))
        };
        let numbered = port.is_none_or(|port| port == "*" || port.parse::<u16>().is_ok());
        if !(plain(scheme, "+-.") && plain(host, "-._:[]") && numbered) {
            return None;
        }
        let origin = match (scheme, port) {
            (_, None | Some("*")) | ("http", Some("80")) | ("https", Some("443")) => {
                format!("{scheme}://{host}")
            }
            (_, Some(port)) => format!("{scheme}://{host}:{port}"),
        };
        Some(Self { origin, any_port: port == Some("*") })
    }

    fn matches(&self, origin: &str) -> bool {
        let without_port = || match origin.rsplit_once(':') {
            Some((rest, port)) if port.parse::<u16>().is_ok() => rest,
            Some(_) | None => origin,
        };
        self.origin == origin || (self.any_port && self.origin == without_port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OWN: &str = "https://newsreel.example";

    #[track_caller]
    fn expect(list: &str, allowed: &[&str], refused: &[&str]) {
        let origins = Origins::parse(list).unwrap();
        for origin in allowed {
            assert!(origins.allow(origin, OWN), "{origin} is allowed by {list:?}");
        }
        for origin in refused {
            assert!(!origins.allow(origin, OWN), "{origin} is refused by {list:?}");
        }
    }

    #[test]
    fn a_deployment_always_allows_its_own_origin() {
        expect("", &[OWN], &["https://a.example", "null", "", "http://newsreel.example"]);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        expect(
            "https://a.example, http://b.example:8080",
            &["https://a.example", "http://b.example:8080", "HTTPS://A.example"],
            &[
                "http://a.example",
                "https://a.example:8443",
                "https://a.example.evil.test",
                "https://sub.a.example",
                "http://b.example",
                "null",
            ],
        );
        expect("https://a.example:443,HTTP://B.example:80", &["https://a.example", "http://b.example"], &[]);
    }

    #[test]
    fn a_star_stands_for_any_port() {
        expect(
            "http://localhost:*,http://[::1]:*",
            &["http://localhost", "http://localhost:5173", "http://[::1]", "http://[::1]:80"],
            &[
                "https://localhost:5173",
                "http://localhost:5173@evil.test",
                "http://localhost.evil.test:80",
                "http://[::2]",
            ],
        );
    }

    #[test]
    fn a_star_alone_allows_every_page() {
        expect("https://a.example,*", &["https://b.example", "null", "capacitor://localhost"], &[]);
    }

    #[test]
    fn a_list_that_cannot_be_read_names_the_item() {
        for item in [
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example:x",
            "https://*.example",
            "https://a b",
            "null",
            "https://me@a.example",
        ] {
            let error = Origins::parse(&format!("https://b.example,{item}")).unwrap_err();
            assert_eq!(error.item, item);
        }
    }

    #[test]
    fn a_page_may_send_what_event_stream_libraries_send_and_read_what_an_entry_says() {
        let [(_, methods), (_, sent), _] = preflight();
        assert_eq!(methods, "GET, HEAD, POST");
        for name in [
            "Cache-Control",
            "Idempotency-Key",
            "If-None-Match",
            "Last-Event-ID",
            "Newsreel-Min-Version",
            "Range",
        ] {
            assert!(sent.split(", ").any(|one| one == name), "{name}");
        }
        let [(_, origin), (_, read), (_, vary)] = shown_to("https://a.example", None);
        assert_eq!((origin.as_str(), vary.as_str()), ("https://a.example", "Origin"));
        for name in ["Age", "ETag", "Idempotent-Replayed", "Newsreel-Freshness", "Retry-After"] {
            assert!(read.split(", ").any(|one| one == name), "{name}");
        }
    }

    #[test]
    fn an_answer_varies_by_origin_beside_what_it_varies_by_already() {
        for (vary, all) in [
            (None, "Origin"),
            (Some(""), "Origin"),
            (Some("Accept"), "Accept, Origin"),
            (Some("Accept, origin"), "Accept, origin"),
            (Some("*"), "*"),
        ] {
            assert_eq!(varies_by_origin(vary), all, "{vary:?}");
        }
    }
}
