//! A publish: 1 to 1,000 changes that get one version, and the receipt for it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bom::without_bom;
use super::cause::{Cause, CauseError, SourceEvent};
use super::change::{Change, ChangeError, ChangeFields, MAX_TAGS, Target};
use super::json::Object;
use super::name::{Catalog, Tag};
use super::position::{Epoch, Position, UnixMillis, Version};
use super::{json, problem};

/// The most changes one version may hold.
pub const MAX_CHANGES: usize = 1_000;
/// The most objects in a body that is read: in an isolate's memory each may take fifty times its size as
/// text.
pub const MAX_OBJECTS: usize = 2_000;
/// The largest publish body, in bytes. Its row, in which a character may take twelve bytes where the body
/// had four, stays below the 2 MB a row may have: 1,000 keys of 400 bytes grow by 800 KB.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A publisher's request: changes that get one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The changes; no target occurs twice.
    pub changes: Vec<Change>,
    /// Where the publisher believes the head is.
    pub expect: Option<Expect>,
    /// The trace and the event that the publish is of.
    pub cause: Cause,
}

/// The head a publisher expects; anything else refuses the publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The log's epoch; any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The version of the head.
    pub version: Version,
}

impl Expect {
    /// Says whether the head is the expected one.
    #[must_use]
    pub fn is(&self, head: &Position) -> bool {
        self.epoch.is_none_or(|epoch| epoch == head.epoch) && self.version == head.version
    }
}

/// Why a body is not a publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The body has more than 1 MiB.
    #[error("{0} bytes; a publish has at most {MAX_BODY_BYTES}: publish in several versions")]
    TooLarge(usize),
    /// The body is not JSON, or not an object of the right types.
    #[error("the body is not a publish: {0}")]
    Json(String),
    /// The body has a field that does not exist.
    #[error("{0}")]
    UnknownField(String),
    /// The idempotency key is empty, too long, or not printable ASCII.
    #[error("an idempotency key is 1 to {MAX_IDEMPOTENCY_KEY_BYTES} printable ASCII characters")]
    IdempotencyKey,
    /// The list of changes is empty.
    #[error("changes is empty: name at least one")]
    NoChanges,
    /// The trace or the source of the publish is no such thing.
    #[error(transparent)]
    Cause(#[from] CauseError),
    /// There are more than 1,000 changes.
    #[error("{0} changes; a version holds at most {MAX_CHANGES}: publish in several versions")]
    TooManyChanges(usize),
    /// One of the changes is not valid.
    #[error("changes[{index}]: {why}")]
    Change {
        /// The zero-based number of the change.
        index: usize,
        /// The reason for the refusal.
        why: ChangeError,
    },
    /// Two changes of the publish have the same target.
    #[error("changes[{index}]: its target is already named by another change of this publish")]
    DuplicateTarget {
        /// The zero-based number of the second of the two changes.
        index: usize,
    },
}

/// The body of a publish: a list of changes, or the fields of one bare change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishBody {
    changes: Option<Vec<Object<ListedChange>>>,
    expect: Option<Object<Expect>>,
    idempotency_key: Option<String>,
    traceparent: Option<String>,
    source: Option<Object<PublishedEvent>>,
    key: Option<String>,
    tag: Option<String>,
    prefix: Option<String>,
    all: Option<bool>,
    op: Option<String>,
    tags: Option<Vec<String>>,
    soft: Option<bool>,
}

/// One change of a list. (serde refuses unknown fields only in a struct that has all of its fields itself.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedChange {
    key: Option<String>,
    tag: Option<String>,
    prefix: Option<String>,
    all: Option<bool>,
    op: Option<String>,
    tags: Option<Vec<String>>,
    soft: Option<bool>,
}

/// The event of a publish. (That of a row is read leniently.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedEvent {
    name: String,
    id: Option<String>,
    at: Option<UnixMillis>,
}

impl PublishBody {
    /// Returns the fields of the bare change, and the list if there is one.
    fn split(self) -> (ChangeFields, Option<Vec<Object<ListedChange>>>) {
        let Self { changes, key, tag, prefix, all, op, tags, soft, .. } = self;
        (ChangeFields { key, tag, prefix, all, op, tags, soft }, changes)
    }
}

impl From<PublishedEvent> for SourceEvent {
    fn from(PublishedEvent { name, id, at }: PublishedEvent) -> Self {
        Self { name, id, at }
    }
}

impl From<ListedChange> for ChangeFields {
    fn from(listed: ListedChange) -> Self {
        let ListedChange { key, tag, prefix, all, op, tags, soft } = listed;
        Self { key, tag, prefix, all, op, tags, soft }
    }
}

impl Publish {
    /// Returns a publish of these changes, whatever the head is.
    #[must_use]
    pub fn of(changes: Vec<Change>) -> Self {
        Self { changes, expect: None, cause: Cause::default() }
    }

    /// Reads a publish: `{"changes":[…],"expect":…}` or one bare change.
    ///
    /// # Errors
    /// [`PublishError`] names the first thing that is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, PublishError> {
        let (publish, idempotency_key) = read(without_bom(body))?;
        if idempotency_key.is_some() {
            let text = "idempotency_key belongs to a line; alone a publish has the header Idempotency-Key";
            return Err(PublishError::UnknownField(text.to_owned()));
        }
        Ok(publish)
    }

    /// Returns the publish with the letters of its tags in lower case, as `TAGS_FOLD_CASE` has them.
    ///
    /// # Errors
    /// [`PublishError::DuplicateTarget`] for two targets that differ in nothing but that.
    pub fn folded(mut self) -> Result<Self, PublishError> {
        let mut targets = BTreeSet::new();
        for (index, change) in self.changes.iter_mut().enumerate() {
            if let Target::Tag(tag) = &mut change.target {
                *tag = tag.folded();
            }
            let mut known = BTreeSet::new();
            change.tags =
                change.tags.iter().map(Tag::folded).filter(|tag| known.insert(tag.clone())).collect();
            if !targets.insert(change.target.clone()) {
                return Err(PublishError::DuplicateTarget { index });
            }
        }
        Ok(self)
    }

    /// Returns the publish as it is written.
    #[must_use]
    pub fn written(&self) -> Written {
        let changes = json::to_ascii(&self.changes);
        Written { changes, count: self.changes.len(), expect: self.expect, cause: self.cause.clone() }
    }
}

/// A publish that was checked, as the log has it. Many may wait for their commit, and as values its changes
/// would take several times the memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The changes as the JSON array that goes into the row and onto the wire; ASCII.
    pub changes: String,
    /// The number of the changes.
    pub count: usize,
    /// Where the publisher believes the head is.
    pub expect: Option<Expect>,
    /// The trace and the event that the publish is of. No part of the fingerprint: a publish that is sent again is the same
    /// in another span.
    pub cause: Cause,
}

impl Written {
    /// Returns the fingerprint that tells this publish from another with the same idempotency key: 32 hex
    /// digits over its meaning, so that white space and the order of fields do not matter.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        digest(&self.changes, &json::to_ascii(&self.expect))
    }
}

/// Reads a publish, and the idempotency key inside it, which only a line of many may have.
pub(super) fn read(body: &[u8]) -> Result<(Publish, Option<String>), PublishError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(PublishError::TooLarge(body.len()));
    }
    let text = std::str::from_utf8(body).map_err(|_| PublishError::Json("not UTF-8".to_owned()))?;
    let objects = objects(text);
    if objects > MAX_OBJECTS {
        return Err(PublishError::TooManyChanges(objects - 1));
    }
    let Object(mut body): Object<PublishBody> =
        serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let expect = body.expect.take().map(|Object(expect)| expect);
    let idempotency_key = body.idempotency_key.take();
    let traceparent = body.traceparent.take().map(|text| text.parse()).transpose()?;
    let cause = Cause::new(traceparent, body.source.take().map(|Object(event)| event.into()))?;
    let changes: Vec<ChangeFields> = match body.split() {
        (bare, None) => vec![bare],
        (bare, Some(listed)) if bare == ChangeFields::default() => {
            listed.into_iter().map(|Object(change)| change.into()).collect()
        }
        (_, Some(_)) => {
            let text = "a publish is either a list of changes or one bare change, not both";
            return Err(PublishError::UnknownField(text.to_owned()));
        }
    };
    Ok((Publish { changes: checked(changes)?, expect, cause }, idempotency_key))
}

/// Counts the objects that JSON begins.
fn objects(json: &str) -> usize {
    let (mut objects, mut quoted, mut escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' if !quoted => objects += 1,
            _ => {}
        }
    }
    objects
}

/// Returns the text under which an idempotency key is remembered: 32 hex digits, however long the key is.
#[must_use]
pub fn digest_of_key(publisher: &str, key: &str) -> String {
    // A key holds no control character.
    digest(publisher, &format!("\n{key}"))
}

/// Returns the first half of SHA-256 as hex.
fn digest(first: &str, second: &str) -> String {
    let sha = Sha256::new().chain_update(first).chain_update(second).finalize();
    hex::encode(sha.iter().as_slice().get(..16).unwrap_or_default())
}

/// Checks an idempotency key.
///
/// # Errors
/// When it is empty, too long, or not printable ASCII.
pub fn check_idempotency_key(key: &str) -> Result<(), PublishError> {
    let fits = (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len());
    let plain = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if fits && plain { Ok(()) } else { Err(PublishError::IdempotencyKey) }
}

fn checked(listed: Vec<ChangeFields>) -> Result<Vec<Change>, PublishError> {
    match listed.len() {
        0 => return Err(PublishError::NoChanges),
        1..=MAX_CHANGES => {}
        more => return Err(PublishError::TooManyChanges(more)),
    }
    let mut changes = Vec::with_capacity(listed.len());
    let mut targets = BTreeSet::new();
    for (index, fields) in listed.into_iter().enumerate() {
        // Checked for a publish, and not for a change of a frame: the changes of a log are taken as they are.
        let named = fields.tags.as_ref().map_or(0, Vec::len);
        if named > MAX_TAGS {
            return Err(PublishError::Change { index, why: ChangeError::TooManyTags(named) });
        }
        let change = Change::try_from(fields).map_err(|why| PublishError::Change { index, why })?;
        if !targets.insert(change.target.clone()) {
            return Err(PublishError::DuplicateTarget { index });
        }
        changes.push(change);
    }
    Ok(changes)
}

/// Sorts serde's error by what the sender can do about it. serde has no type for "unknown field", only its
/// text.
fn unreadable(error: &serde_json::Error) -> PublishError {
    let text = error.to_string();
    if text.starts_with("unknown field") {
        PublishError::UnknownField(text)
    } else {
        PublishError::Json(text)
    }
}

impl From<PublishError> for problem::Problem {
    fn from(error: PublishError) -> Self {
        use problem::Code;
        let code = match &error {
            PublishError::TooLarge(_) => Code::BodyTooLarge,
            PublishError::Json(_) => Code::BadJson,
            PublishError::UnknownField(_) => Code::UnknownField,
            PublishError::IdempotencyKey | PublishError::Cause(_) => Code::BadRequest,
            PublishError::NoChanges => Code::NoChanges,
            PublishError::TooManyChanges(_) => Code::TooManyChanges,
            PublishError::DuplicateTarget { .. } => Code::DuplicateTarget,
            PublishError::Change { why, .. } => match why {
                ChangeError::NoTarget | ChangeError::AllFalse => Code::NoTarget,
                ChangeError::TwoTargets => Code::TwoTargets,
                ChangeError::Key(..) => Code::BadKey,
                ChangeError::Tag(..) => Code::BadTag,
                ChangeError::Prefix(..) => Code::BadPrefix,
                ChangeError::Operation(_)
                | ChangeError::RemoveWhat
                | ChangeError::SoftRemove
                | ChangeError::TagsWhere
                | ChangeError::TooManyTags(_) => Code::BadChange,
            },
        };
        Self::new(code, error.to_string())
    }
}

/// The answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The catalog published to.
    pub catalog: Catalog,
    /// The epoch of its log.
    pub epoch: Epoch,
    /// The version all changes of the publish share.
    pub version: Version,
    /// The position of that version.
    pub position: Position,
    /// When the broker committed it, by the broker's clock.
    pub at: UnixMillis,
    /// The number of changes in the publish.
    pub changes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::problem::Problem;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn code(body: &str) -> String {
        Problem::from(Publish::parse(body.as_bytes()).unwrap_err()).code().to_owned()
    }

    #[test]
    fn a_body_of_very_many_objects_is_not_even_read() {
        let nested = format!(r#"{{"changes":[{{"changes":[{}{{}}]}}]}}"#, "{},".repeat(MAX_OBJECTS - 2));
        assert_eq!(Publish::parse(nested.as_bytes()), Err(PublishError::TooManyChanges(MAX_OBJECTS)));
        // A brace within a text begins no object.
        let key = r#"{"key":"title:\"{{{","tags":["{\\","{"]}"#;
        assert_eq!(objects(key), 1);
        assert_eq!(Publish::parse(key.as_bytes()).unwrap().changes.len(), 1);
    }

    #[test]
    fn a_list_or_one_bare_change() {
        let listed = Publish::parse(br#"{"changes":[{"key":"title:1"},{"tag":"x"}]}"#).unwrap();
        assert_eq!(listed.written().changes, r#"[{"key":"title:1"},{"tag":"x"}]"#);
        let bare = Publish::parse(br#"{"key":"title:1","tags":["a"]}"#).unwrap();
        assert_eq!(bare.written().changes, r#"[{"key":"title:1","tags":["a"]}]"#);
        let marked = Publish::parse("\u{feff}{\"key\":\"title:1\",\"tags\":[\"a\"]}".as_bytes());
        assert_eq!(marked.unwrap(), bare);
        let expecting = Publish::parse(br#"{"all":true,"expect":{"version":4}}"#).unwrap();
        assert_eq!(expecting.expect.unwrap().version, Version::new(4).unwrap());
        let spelled = Publish::parse(br#"{"all":true,"expect":{"version":51.0}}"#).unwrap();
        assert_eq!(spelled.expect.unwrap().version, Version::new(51).unwrap());
    }

    #[test]
    fn folded_tags_are_in_lower_case_and_each_is_there_once() {
        let folded = |body: &str| Publish::parse(body.as_bytes()).unwrap().folded();
        let publish = folded(r#"{"changes":[{"tag":"Platform:A"},{"key":"Title:1","tags":["B","b","C"]}]}"#);
        assert_eq!(
            publish.unwrap().written().changes,
            r#"[{"tag":"platform:a"},{"key":"Title:1","tags":["b","c"]}]"#
        );
        let twice = folded(r#"{"changes":[{"tag":"a"},{"prefix":"A"},{"tag":"A"}]}"#);
        assert_eq!(twice, Err(PublishError::DuplicateTarget { index: 2 }));
    }

    #[test]
    fn bad_input_has_a_stable_code() {
        let many: Vec<_> = (0..1001).map(|n| format!(r#"{{"key":"t:{n}"}}"#)).collect();
        for (body, expected) in [
            ("", "bad-json"),
            ("[]", "bad-json"),
            (r#"[null,null,null,"a:1",null,null,null,null,null,null]"#, "bad-json"),
            (r#"{"key":"a:1","expect":[null,1]}"#, "bad-json"),
            ("{\"changes\":", "bad-json"),
            (r#"{"changes":{}}"#, "bad-json"),
            (r#"{"changes":[{"key":7}]}"#, "bad-json"),
            (r#"{"all":true,"expect":{"version":51.5}}"#, "bad-json"),
            (r#"{"all":true,"expect":{"version":9007199254740992}}"#, "bad-json"),
            (r#"{"changes":[{"key":"a:1","key":"a:2"}]}"#, "bad-json"),
            (r#"{"changes":[{"key":"a:1"}]} x"#, "bad-json"),
            (r#"{"changes":[],"x":1}"#, "unknown-field"),
            (r#"{"changes":[{"key":"a:1","color":"red"}]}"#, "unknown-field"),
            (r#"{"changes":[{"key":"a:1"}],"key":"a:2"}"#, "unknown-field"),
            (r#"{"changes":[{"changes":[]}]}"#, "unknown-field"),
            (r#"{"key":"a:1","idempotency_key":"k"}"#, "unknown-field"),
            (r#"{"changes":[{"key":"a:1","idempotency_key":"k"}]}"#, "unknown-field"),
            (r#"{"changes":[]}"#, "no-changes"),
            (&format!(r#"{{"changes":[{}]}}"#, many.join(",")), "too-many-changes"),
            (r#"{"changes":[{"key":"a:1"},{"key":"a:1","op":"remove"}]}"#, "duplicate-target"),
            ("{}", "no-target"),
            (r#"{"changes":[{}]}"#, "no-target"),
            (r#"{"key":"a:1","tag":"b"}"#, "two-targets"),
            (r#"{"key":"a"}"#, "bad-key"),
            (r#"{"tag":""}"#, "bad-tag"),
            (r#"{"prefix":"\u0000"}"#, "bad-prefix"),
            (r#"{"key":"a:1","op":"delete"}"#, "bad-change"),
            (r#"{"key":"a:1","op":"remove","soft":true}"#, "bad-change"),
        ] {
            assert_eq!(code(body), expected, "{}", body.get(..60).unwrap_or(body));
        }
        assert_eq!(code(&" ".repeat(MAX_BODY_BYTES + 1)), "body-too-large");
    }

    #[test]
    fn an_unknown_field_is_told_by_the_words_of_serde() {
        let error = serde_json::from_str::<Expect>(r#"{"version":1,"x":2}"#).unwrap_err();
        assert!(error.to_string().starts_with("unknown field `x`"), "{error}: mend `unreadable`");
    }

    #[test]
    fn a_change_names_at_most_256_tags() {
        let tagged = |tags: usize| {
            let tags: Vec<_> = (0..tags).map(|n| format!(r#""t:{n}""#)).collect();
            format!(r#"{{"changes":[{{"tag":"x"}},{{"key":"a:1","tags":[{}]}}]}}"#, tags.join(","))
        };
        assert_eq!(Publish::parse(tagged(MAX_TAGS).as_bytes()).unwrap().changes[1].tags.len(), MAX_TAGS);
        let refused = Problem::from(Publish::parse(tagged(MAX_TAGS + 1).as_bytes()).unwrap_err());
        assert_eq!(refused.code(), "bad-change");
        assert_eq!(refused.detail(), "changes[1]: 257 tags; a change names at most 256");
        // The tags are counted before any is read.
        let many = format!(r#"{{"key":"a:1","tags":["{}"]}}"#, vec!["a b"; MAX_TAGS + 1].join(r#"",""#));
        assert_eq!(code(&many), "bad-change");
        let frame = tagged(MAX_TAGS + 1).replace(r#"{"changes":"#, r#"{"version":1,"at":1,"changes":"#);
        let row: crate::wire::VersionRow = serde_json::from_str(&frame).unwrap();
        assert_eq!(row.changes[1].tags.len(), MAX_TAGS + 1, "what stands in a log is taken as it is");
    }

    #[test]
    fn the_fingerprint_is_of_the_meaning() {
        let print = |body: &str| Publish::parse(body.as_bytes()).unwrap().written().fingerprint();
        assert_eq!(print(r#"{"key":"a:1"}"#), print(r#"{ "changes": [ {"op":"update","key":"a:1"} ] }"#));
        assert_ne!(print(r#"{"key":"a:1"}"#), print(r#"{"key":"a:2"}"#));
        assert_ne!(print(r#"{"key":"a:1"}"#), print(r#"{"key":"a:1","expect":{"version":1}}"#));
        assert_eq!(print(r#"{"key":"a:1"}"#).len(), 32);
    }

    #[test]
    fn keys_of_two_publishers_are_two_keys() {
        let digests = [("a", "b"), ("a", "c"), ("ab", ""), ("", "ab"), ("b", "a")];
        let digests: BTreeSet<String> = digests.iter().map(|(name, key)| digest_of_key(name, key)).collect();
        assert_eq!(digests.len(), 5);
        assert!(digests.iter().all(|digest| digest.len() == 32));
    }

    #[test]
    fn the_largest_body_makes_a_row_that_fits() {
        // 1,000 keys of the longest kind, of characters that grow the most, and the rest of 1 MiB in tags.
        let changes: Vec<_> = (0..1000)
            .map(|n| format!(r#"{{"key":"t:{n:03}{}","tags":["{}"]}}"#, "😀".repeat(98), "x".repeat(256)))
            .collect();
        let body = format!(r#"{{"changes":[{}]}}"#, changes.join(","));
        assert!(body.len() < MAX_BODY_BYTES);
        let grown = Publish::parse(body.as_bytes()).unwrap().written().changes.len();
        assert!(grown + (MAX_BODY_BYTES - body.len()) < 1_950_000, "{grown}");
    }
}
