//! Which web pages may call: the origins that a deployment allows. ("Origin" here as in the header that a browser
//! sends, not as where values come from.)

/// The origins that a deployment allows beside its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// All of them, also `null`.
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
    /// Reads a comma-separated list of `https://host`, `http://host:8080`, `http://host:*` (any port) and `*`.
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

    /// Says whether pages of `origin` may call a deployment whose own origin is `own`, in lower case.
    #[must_use]
    pub fn allow(&self, origin: &str, own: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.everything || origin == own || self.items.iter().any(|item| item.matches(&origin))
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
}
