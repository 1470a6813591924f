//! Errors as RFC 9457 `application/problem+json`, each with a stable code.

use serde::Serialize;
use serde_json::{Map, Value};

/// The media type of every error.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// The longest detail, in characters: a detail often quotes a client's text, and that may be long.
pub const MAX_DETAIL_CHARS: usize = 2_000;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// The kind of a problem. A code never changes its meaning; the detail is for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of the table in `PROTOCOL.md`.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the stable text.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
            /// Returns the HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
            /// Returns the short title, the same for every problem of the code.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON of the right shape.
    BadJson = "bad-json", 400, "The body is not the JSON that is expected here";
    /// A publish holds a field that does not exist.
    UnknownField = "unknown-field", 400, "A field that does not exist";
    /// An empty list of changes.
    NoChanges = "no-changes", 400, "A publish without changes";
    /// More than 1,000 changes.
    TooManyChanges = "too-many-changes", 400, "Too many changes in one publish";
    /// A change without a target.
    NoTarget = "no-target", 400, "A change without a target";
    /// A change with more than one target.
    TwoTargets = "two-targets", 400, "A change with more than one target";
    /// Two changes of one target in one publish.
    DuplicateTarget = "duplicate-target", 400, "A target named twice in one publish";
    /// An operation, or a combination of fields, that does not exist.
    BadChange = "bad-change", 400, "A change that cannot be made";
    /// The text is not a key.
    BadKey = "bad-key", 400, "Not a key";
    /// The text is not a tag.
    BadTag = "bad-tag", 400, "Not a tag";
    /// The text is not a prefix.
    BadPrefix = "bad-prefix", 400, "Not a prefix";
    /// The text is not a catalog name.
    BadCatalog = "bad-catalog", 400, "Not a catalog name";
    /// The query or a header cannot be read.
    BadRequest = "bad-request", 400, "The request cannot be understood";
    /// The position in the query is not one.
    BadPosition = "bad-position", 400, "Not a position";
    /// None of the subprotocols offered is spoken here.
    UnsupportedProtocol = "unsupported-protocol", 400, "None of the subprotocols offered is spoken here";
    /// The request has no token, or a token that is not known.
    Unauthorized = "unauthorized", 401, "A valid token is needed";
    /// The token is known and does not allow this call.
    Forbidden = "forbidden", 403, "The token does not allow this";
    /// Pages of this origin may not call.
    OriginNotAllowed = "origin-not-allowed", 403, "Pages of this origin may not call";
    /// There is no such entry.
    NotFound = "not-found", 404, "There is no such entry";
    /// The deployment serves other catalogs.
    UnknownCatalog = "unknown-catalog", 404, "There is no such catalog";
    /// The deployment declares no such hook for this catalog.
    UnknownHook = "unknown-hook", 404, "There is no such hook";
    /// There is no such address.
    UnknownPath = "unknown-path", 404, "No such address";
    /// The address exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "The method is not allowed here";
    /// The same idempotency key is being published right now.
    IdempotencyInFlight = "idempotency-in-flight", 409, "The same publish is under way";
    /// A change came while the caller fetched the value that it hands in.
    Overtaken = "overtaken", 409, "A change came while the value was fetched";
    /// The lease is from too long ago.
    LeaseExpired = "lease-expired", 409, "The lease has expired";
    /// The position is not on the log: forget everything, start again.
    Reset = "reset", 410, "The position is not on this log";
    /// The head is not the expected one.
    ExpectFailed = "expect-failed", 412, "The head is not the expected one";
    /// The body is too large.
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    /// The body has a content coding that is not undone here.
    UnsupportedEncoding = "unsupported-encoding", 415, "The body has a content coding that is not taken";
    /// None of the bytes asked for is there.
    RangeNotSatisfiable = "range-not-satisfiable", 416, "None of these bytes is there";
    /// An idempotency key that was used for another body.
    IdempotencyReuse = "idempotency-reuse", 422, "The idempotency key was used for another publish";
    /// The mapping of the hook cannot read the message.
    NotMapped = "not-mapped", 422, "The message says nothing that its mapping knows";
    /// The value says itself that no cache may store it.
    NotStorable = "not-storable", 422, "No cache may store this value";
    /// The address takes WebSocket connections only.
    UpgradeRequired = "upgrade-required", 426, "This address speaks WebSocket";
    /// The deployment has too much to do at once; the caller tries again later.
    Busy = "busy", 429, "Too much at once";
    /// The token or the address calls more often than its rate allows.
    RateLimited = "rate-limited", 429, "Too often";
    /// The request ran into a defect of Newsreel, and the caller did nothing wrong.
    Internal = "internal", 500, "Something broke";
    /// The deployment's variables are wrong.
    Misconfigured = "misconfigured", 500, "The deployment's configuration is wrong";
    /// The origin gave no answer, or a wrong one.
    OriginFailed = "origin-failed", 502, "The origin could not answer";
    /// The answer could not be proved recent enough for its class.
    BoundNotKept = "bound-not-kept", 503, "The answer cannot be proved recent enough";
    /// The stored data was written by a newer build, which alone may use it.
    NewerSchema = "newer-schema", 503, "What is stored here is of a newer build";
    /// The log could not take the publish; nothing was written.
    NotWritten = "not-written", 503, "The publish could not be written";
    /// The version asked for has not been heard here in time.
    MinVersion = "min-version", 503, "The version asked for has not arrived here";
}

/// An error as a client receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: Code,
    detail: String,
    members: Map<String, Value>,
}

impl Problem {
    /// Returns the problem with this code; `detail` says what is wrong and what to do.
    #[must_use]
    pub fn new(kind: Code, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if let Some((cut, _)) = detail.char_indices().nth(MAX_DETAIL_CHARS - 1)
            && detail.len() > MAX_DETAIL_CHARS
        {
            detail.truncate(cut);
            detail.push('…');
        }
        Self { kind, detail, members: Map::new() }
    }

    /// Adds an extension member, for programs to read.
    ///
    /// # Panics
    /// When the value does not serialize, which none on the wire does.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("wire types serialize");
        self.members.insert(name.to_owned(), value);
        self
    }

    /// Returns the kind of the problem, for a match.
    #[must_use]
    pub fn kind(&self) -> Code {
        self.kind
    }

    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.text()
    }

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind.status()
    }

    /// Returns the text for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the headers this kind of problem must carry, beside the content type.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        const RETRY: &[Code] =
            &[Code::Busy, Code::NotWritten, Code::BoundNotKept, Code::MinVersion, Code::IdempotencyInFlight];
        let mut headers = vec![("Cache-Control", "no-store".to_owned())];
        if self.kind == Code::Unauthorized {
            headers.push(("WWW-Authenticate", "Bearer".to_owned()));
        }
        if self.kind == Code::UpgradeRequired {
            headers.push(("Upgrade", "websocket".to_owned()));
        }
        if let (Code::MethodNotAllowed, Some(Value::String(allow))) = (self.kind, self.members.get("allow")) {
            headers.push(("Allow", allow.clone()));
        }
        if let (Code::UnsupportedEncoding, Some(Value::String(accepted))) =
            (self.kind, self.members.get("accept_encoding"))
        {
            headers.push(("Accept-Encoding", accepted.clone()));
        }
        if let (Code::RangeNotSatisfiable, Some(Value::Number(length))) =
            (self.kind, self.members.get("length"))
        {
            headers.push(("Content-Range", format!("bytes */{length}")));
        }
        if let (Code::RateLimited, Some(wait)) = (self.kind, self.members.get("retry_after_ms")) {
            let seconds = wait.as_u64().unwrap_or_default().div_ceil(1_000);
            headers.push(("Retry-After", seconds.to_string()));
        }
        if RETRY.contains(&self.kind) {
            headers.push(("Retry-After", "1".to_owned()));
        }
        headers
    }

    /// Returns the body as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("urn:newsreel:problem:{}", self.code()).into());
        body.insert("title".to_owned(), self.kind.title().into());
        body.insert("status".to_owned(), self.status().into());
        body.insert("code".to_owned(), self.code().into());
        body.insert("detail".to_owned(), self.detail.clone().into());
        body.extend(self.members.clone());
        Value::Object(body).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_detail_shows_no_more_of_what_a_stranger_sent_than_people_read() {
        let shown = |detail: &str| Problem::new(Code::BadJson, detail).detail().to_owned();
        for longest in ["x".repeat(MAX_DETAIL_CHARS), "é".repeat(MAX_DETAIL_CHARS - 1)] {
            assert_eq!(shown(&longest), longest);
        }
        assert_eq!(shown(&"x".repeat(MAX_DETAIL_CHARS + 1)), "x".repeat(MAX_DETAIL_CHARS - 1) + "…");
        assert_eq!(shown(&"é".repeat(1 << 20)), "é".repeat(MAX_DETAIL_CHARS - 1) + "…");
    }

    #[test]
    fn a_problem_carries_code_status_detail_and_its_members() {
        let problem = Problem::new(Code::ExpectFailed, "the head is 7").with("version", 7);
        let body: Value = serde_json::from_str(&problem.to_json()).unwrap();
        assert_eq!(body["code"], "expect-failed");
        assert_eq!(body["status"], 412);
        assert_eq!(body["version"], 7);
        assert_eq!(body["type"], "urn:newsreel:problem:expect-failed");
    }

    #[test]
    fn no_code_is_used_twice() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        let problem = Problem::new(Code::MethodNotAllowed, "").with("allow", "GET, POST");
        assert!(problem.headers().contains(&("Allow", "GET, POST".to_owned())));
    }
}
