//! Reads the table of one hook strictly, and notes every mistake with its place.

use std::time::Duration;

use serde_json::{Map, Value};

use super::scheme::{Encoding, HashName, HmacScheme, Scheme, SignedPart};
use super::{
    DEFAULT_WINDOW, Hook, IdPlace, MAX_HOOK_BYTES, MAX_SECRETS, MAX_WINDOW_S, MappingSource, is_hook_name,
};
use crate::wire::name::Catalog;

/// The fields of every hook.
const FIELDS: &[&str] = &["scheme", "secret", "catalog", "mapping", "map", "window_s", "id"];
/// The fields of a hook of the scheme `hmac` alone.
const HMAC_FIELDS: &[&str] = &["header", "hash", "encoding", "prefix", "timestamp", "id_header", "signed"];

/// The fields of one table, and the mistakes found so far.
struct Fields<'a> {
    /// The place of the table, such as `HOOKS.netflix`.
    place: String,
    table: &'a Map<String, Value>,
    mistakes: &'a mut Vec<String>,
}

/// Reads one hook; a hook with a mistake is noted and gives none.
pub(super) fn hook(name: &str, declared: &Value, mistakes: &mut Vec<String>) -> Option<Hook> {
    let place = format!("HOOKS.{name}");
    if !is_hook_name(name) {
        mistakes.push(format!(
            "{place} is no name of a hook: write 1 to {MAX_HOOK_BYTES} of a-z, A-Z, 0-9, '-' and '_'"
        ));
        return None;
    }
    let Value::Object(table) = declared else {
        mistakes.push(format!("{place} is a table: write [vars.{place}]"));
        return None;
    };
    let before = mistakes.len();
    let mut fields = Fields { place, table, mistakes };
    let scheme = fields.scheme();
    fields.check_names(matches!(scheme, Some(Scheme::Hmac(_)) | None));
    let secrets = fields.secrets(scheme.as_ref());
    let catalog = fields.text("catalog").and_then(|text| match Catalog::new(text) {
        Ok(catalog) => Some(catalog),
        Err(why) => fields.note("catalog", &why.to_string()),
    });
    let (window, id, mapping) = (fields.window(), fields.id(), fields.mapping());
    let hook =
        Hook { name: name.to_owned(), scheme: scheme?, secrets, catalog, window, id, mapping: mapping? };
    (mistakes.len() == before).then_some(hook)
}

impl Fields<'_> {
    /// Notes a mistake of a field.
    fn note<T>(&mut self, field: &str, why: &str) -> Option<T> {
        self.mistakes.push(format!("{}.{field}: {why}", self.place));
        None
    }

    fn check_names(&mut self, with_hmac: bool) {
        let table = self.table;
        for field in table.keys().map(String::as_str) {
            if FIELDS.contains(&field) || (with_hmac && HMAC_FIELDS.contains(&field)) {
                continue;
            }
            let why = match HMAC_FIELDS.contains(&field) {
                true => "only the scheme \"hmac\" has this field".to_owned(),
                false => format!(
                    "there is no such field; a hook has {}, and with scheme = \"hmac\" also {}",
                    FIELDS.join(", "),
                    HMAC_FIELDS.join(", ")
                ),
            };
            self.note::<()>(field, &why);
        }
    }

    fn text(&mut self, field: &str) -> Option<String> {
        match self.table.get(field)?.as_str() {
            Some(text) => Some(text.to_owned()),
            None => self.note(field, "write a text, in quotes"),
        }
    }

    /// Returns the text of a field that is one of a few.
    fn one_of<T: Copy>(&mut self, field: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(field)?;
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, choice)) => Some(*choice),
            None => {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                self.note(field, &format!("{text:?} is none of {}", names.join(", ")))
            }
        }
    }

    /// Returns the name of a header.
    fn header(&mut self, field: &str) -> Option<String> {
        let name = self.text(field)?;
        if is_header_name(&name) { Some(name) } else { self.note(field, "write the name of a header") }
    }

    fn scheme(&mut self) -> Option<Scheme> {
        let names = || format!("write scheme = \"…\", one of {}", Scheme::NAMES.join(", "));
        if !self.table.contains_key("scheme") {
            return self.note("scheme", &format!("is missing: {}", names()));
        }
        let name = self.text("scheme")?;
        match name.as_str() {
            "hmac" => self.hmac().map(Scheme::Hmac),
            other => match Scheme::of(other) {
                Some(scheme) => Some(scheme),
                None => self.note("scheme", &format!("{other:?} is none: {}", names())),
            },
        }
    }

    fn hmac(&mut self) -> Option<HmacScheme> {
        if !self.table.contains_key("header") {
            return self.note("header", "is missing: write the header that has the signature");
        }
        let header = self.header("header");
        let hashes = [("sha1", HashName::Sha1), ("sha256", HashName::Sha256), ("sha512", HashName::Sha512)];
        let hash = self.one_of("hash", &hashes).unwrap_or(HashName::Sha256);
        let encodings =
            [("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];
        let encoding = self.one_of("encoding", &encodings).unwrap_or(Encoding::Hex);
        let prefix = self.text("prefix").unwrap_or_default();
        let (timestamp, id) = (self.header("timestamp"), self.header("id_header"));
        let default = if timestamp.is_some() { "{timestamp}.{body}" } else { "{body}" };
        let text = self.text("signed").unwrap_or_else(|| default.to_owned());
        let signed = match SignedPart::read(&text) {
            Ok(signed) => signed,
            Err(why) => return self.note("signed", why),
        };
        if signed.contains(&SignedPart::Id) && id.is_none() {
            return self.note("signed", "{id} is the header of the field id_header: write that too");
        }
        if signed.contains(&SignedPart::Timestamp) != timestamp.is_some() {
            let why = "{timestamp} is the header of the field timestamp, and a time that is not signed protects nothing: \
                       write both or none";
            return self.note("signed", why);
        }
        Some(HmacScheme { header: header?, hash, encoding, prefix, timestamp, id, signed })
    }

    /// Returns the names of the secrets.
    fn secrets(&mut self, scheme: Option<&Scheme>) -> Vec<String> {
        let names = match self.table.get("secret") {
            None => Vec::new(),
            Some(Value::String(name)) => vec![name.clone()],
            Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
                names.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Some(_) => {
                self.note::<()>(
                    "secret",
                    "write the name of a secret, or a list of names: [\"NEW\", \"OLD\"]",
                );
                return Vec::new();
            }
        };
        let needs_one = !matches!(scheme, Some(Scheme::Token) | None);
        if names.is_empty() && needs_one {
            self.note::<()>(
                "secret",
                "is missing: write the name of a secret, set with `wrangler secret put`",
            );
        }
        if !names.is_empty() && scheme == Some(&Scheme::Token) {
            self.note::<()>("secret", "the scheme \"token\" takes the publish tokens: remove this");
        }
        if names.len() > MAX_SECRETS {
            self.note::<()>("secret", &format!("at most {MAX_SECRETS} secrets are tried"));
        }
        if let Some(odd) = names.iter().find(|name| !is_variable_name(name)) {
            // The text itself may be a secret that was written here by mistake, so it is not repeated.
            let at = names.iter().position(|name| name == odd).map_or(0, |at| at + 1);
            self.note::<()>("secret", &format!(
                "name {at} is no name of a secret: write A-Z, 0-9 and '_', such as \"NETFLIX_HOOK\", and never the secret itself"
            ));
        }
        names
    }

    fn window(&mut self) -> Duration {
        let Some(value) = self.table.get("window_s") else { return DEFAULT_WINDOW };
        match value.as_u64().filter(|seconds| (1..=MAX_WINDOW_S).contains(seconds)) {
            Some(seconds) => Duration::from_secs(seconds),
            None => {
                self.note::<()>(
                    "window_s",
                    &format!("write a whole number from 1 to {MAX_WINDOW_S}, without quotes"),
                );
                DEFAULT_WINDOW
            }
        }
    }

    fn id(&mut self) -> Option<IdPlace> {
        let text = self.text("id")?;
        if text.starts_with('/') {
            Some(IdPlace::Pointer(text))
        } else if is_header_name(&text) {
            Some(IdPlace::Header(text))
        } else {
            self.note(
                "id",
                "write the name of a header, or a JSON pointer into the body such as \"/event/id\"",
            )
        }
    }

    fn mapping(&mut self) -> Option<MappingSource> {
        match (self.table.get("mapping"), self.table.get("map")) {
            (Some(_), Some(_)) => self.note("map", "write mapping or map, not both"),
            (Some(_), None) => self.text("mapping").map(MappingSource::Text),
            (None, Some(Value::Array(rules))) if rules.iter().all(Value::is_object) => {
                let rules = rules.iter().filter_map(Value::as_object).cloned();
                Some(MappingSource::Tables(rules.collect()))
            }
            (None, Some(_)) => self.note("map", &format!("is a list of tables: write [[vars.{}.map]]", self.place)),
            (None, None) => self.note("map", &format!(
                "is missing: write [[vars.{}.map]] with key = \"class:{{id}}\", or mapping = \"\"\"…\"\"\" with the text of a mapping file",
                self.place
            )),
        }
    }
}

/// Says whether a text is the name of a header (RFC 9110, 5.1).
fn is_header_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

/// Says whether a text may be the name of a secret.
fn is_variable_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with(|first: char| first.is_ascii_digit())
}
