//! A change: one target, an operation and, for a key, the tags of its entry.

use serde::{Deserialize, Serialize};

use super::name::{Key, NameError, Prefix, Tag};

/// The most tags one published change may name.
pub const MAX_TAGS: usize = 256;

/// The target that a change names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The entry of one key.
    Key(Key),
    /// Every entry that carries the tag.
    Tag(Tag),
    /// Every entry with a key that begins with the prefix.
    Prefix(Prefix),
    /// Every entry of the catalog.
    All,
}

/// The effect of a change on its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Operation {
    /// There is a new value: older ones may not be served.
    #[default]
    Update,
    /// There may be a new value: older ones may be served, marked, while it is fetched.
    Soften,
    /// There is no value any more. Only a key can be removed.
    Remove,
}

/// One thing that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The target of the change.
    pub target: Target,
    /// The effect on the target.
    pub operation: Operation,
    /// The tags its entry carries after the change; only a key has any.
    pub tags: Vec<Tag>,
}

/// Why a JSON object is not a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The object names no target: none of `key`, `tag`, `prefix`, `all`.
    #[error("a change names one target: key, tag, prefix or all")]
    NoTarget,
    /// The object names more than one target.
    #[error("a change names only one of key, tag, prefix and all")]
    TwoTargets,
    /// The field `all` is false.
    #[error("all is true or absent")]
    AllFalse,
    /// The operation is neither `update` nor `remove`.
    #[error("op is \"update\" or \"remove\", not {0:?}")]
    Operation(String),
    /// Only a key can be removed: of a tag or a prefix nothing says which entries are gone.
    #[error("only a key can be removed")]
    RemoveWhat,
    /// A remove leaves nothing that could be served meanwhile.
    #[error("a remove cannot be soft")]
    SoftRemove,
    /// The object has `tags`, and its target is not a key.
    #[error("only a key carries tags")]
    TagsWhere,
    /// There are more than 256 tags.
    #[error("{0} tags; a change names at most {MAX_TAGS}")]
    TooManyTags(usize),
    /// The target is a key that is not valid.
    #[error("key {0:?}: {1}")]
    Key(String, NameError),
    /// A tag, as the target or in `tags`, is not valid.
    #[error("tag {0:?}: {1}")]
    Tag(String, NameError),
    /// The target is a prefix that is not valid.
    #[error("prefix {0:?}: {1}")]
    Prefix(String, NameError),
}

impl Change {
    /// Returns an update of one key.
    #[must_use]
    pub fn update(key: Key, tags: Vec<Tag>) -> Self {
        Self { target: Target::Key(key), operation: Operation::Update, tags }
    }

    /// Returns the removal of one key.
    #[must_use]
    pub fn remove(key: Key) -> Self {
        Self { target: Target::Key(key), operation: Operation::Remove, tags: Vec::new() }
    }

    /// Returns a hard change of any target.
    #[must_use]
    pub fn of(target: Target) -> Self {
        Self { target, operation: Operation::Update, tags: Vec::new() }
    }
}

/// The fields of a change as they stand in JSON, before they are checked.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ChangeFields {
    pub(super) key: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) all: Option<bool>,
    pub(super) op: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) soft: Option<bool>,
}

impl TryFrom<ChangeFields> for Change {
    type Error = ChangeError;

    fn try_from(fields: ChangeFields) -> Result<Self, ChangeError> {
        let target = target(fields.key, fields.tag, fields.prefix, fields.all)?;
        let is_key = matches!(target, Target::Key(_));
        let soft = fields.soft.unwrap_or(false);
        let operation = match (fields.op.as_deref(), soft) {
            (None | Some("update"), false) => Operation::Update,
            (None | Some("update"), true) => Operation::Soften,
            (Some("remove"), true) => return Err(ChangeError::SoftRemove),
            (Some("remove"), false) if is_key => Operation::Remove,
            (Some("remove"), false) => return Err(ChangeError::RemoveWhat),
            (Some(_), _) => return Err(ChangeError::Operation(fields.op.unwrap_or_default())),
        };
        let mut tags: Vec<Tag> = Vec::new();
        for text in fields.tags.unwrap_or_default() {
            let tag = Tag::new(text.as_str()).map_err(|why| ChangeError::Tag(shortened(text), why))?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        if !is_key && !tags.is_empty() {
            return Err(ChangeError::TagsWhere);
        }
        Ok(Self { target, operation, tags })
    }
}

fn target(
    key: Option<String>,
    tag: Option<String>,
    prefix: Option<String>,
    all: Option<bool>,
) -> Result<Target, ChangeError> {
    match (key, tag, prefix, all) {
        (None, None, None, None) => Err(ChangeError::NoTarget),
        (Some(key), None, None, None) => {
            Key::new(key.as_str()).map(Target::Key).map_err(|why| ChangeError::Key(shortened(key), why))
        }
        (None, Some(tag), None, None) => {
            Tag::new(tag.as_str()).map(Target::Tag).map_err(|why| ChangeError::Tag(shortened(tag), why))
        }
        (None, None, Some(prefix), None) => Prefix::new(prefix.as_str())
            .map(Target::Prefix)
            .map_err(|why| ChangeError::Prefix(shortened(prefix), why)),
        (None, None, None, Some(true)) => Ok(Target::All),
        (None, None, None, Some(false)) => Err(ChangeError::AllFalse),
        (_, _, _, _) => Err(ChangeError::TwoTargets),
    }
}

/// Cuts a client's text to the length that an error text can hold.
fn shortened(text: String) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

impl<'de> Deserialize<'de> for Change {
    /// Reads a change from a frame or page: unknown fields are ignored.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ChangeFields::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Change {
    /// Writes the shortest form: fields with their default value are left out.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        match &self.target {
            Target::Key(key) => map.serialize_entry("key", key)?,
            Target::Tag(tag) => map.serialize_entry("tag", tag)?,
            Target::Prefix(prefix) => map.serialize_entry("prefix", prefix)?,
            Target::All => map.serialize_entry("all", &true)?,
        }
        match self.operation {
            Operation::Update => {}
            Operation::Soften => map.serialize_entry("soft", &true)?,
            Operation::Remove => map.serialize_entry("op", "remove")?,
        }
        if !self.tags.is_empty() {
            map.serialize_entry("tags", &self.tags)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(json: &str) -> Result<Change, ChangeError> {
        serde_json::from_str::<ChangeFields>(json).unwrap().try_into()
    }

    #[test]
    fn a_change_is_written_in_its_shortest_form_and_comes_back() {
        for (given, written) in [
            (r#"{"key":"title:1","op":"update","soft":false,"tags":[]}"#, r#"{"key":"title:1"}"#),
            (r#"{"tags":["a","b","a"],"key":"title:1"}"#, r#"{"key":"title:1","tags":["a","b"]}"#),
            (r#"{"key":"title:1","op":"remove"}"#, r#"{"key":"title:1","op":"remove"}"#),
            (r#"{"tag":"platform:netflix","soft":true}"#, r#"{"tag":"platform:netflix","soft":true}"#),
            (r#"{"prefix":"availability:"}"#, r#"{"prefix":"availability:"}"#),
            (r#"{"all":true}"#, r#"{"all":true}"#),
        ] {
            let change = read(given).unwrap();
            assert_eq!(serde_json::to_string(&change).unwrap(), written);
            assert_eq!(read(written).unwrap(), change);
        }
    }

    #[test]
    fn what_is_not_a_change_says_why() {
        let tag = || NameError::Tag;
        for (given, why) in [
            ("{}", ChangeError::NoTarget),
            (r#"{"op":"update"}"#, ChangeError::NoTarget),
            (r#"{"key":"a:1","tag":"x"}"#, ChangeError::TwoTargets),
            (r#"{"all":true,"prefix":"x"}"#, ChangeError::TwoTargets),
            (r#"{"all":false}"#, ChangeError::AllFalse),
            (r#"{"key":"a:1","op":"delete"}"#, ChangeError::Operation("delete".into())),
            (r#"{"tag":"x","op":"remove"}"#, ChangeError::RemoveWhat),
            (r#"{"key":"a:1","op":"remove","soft":true}"#, ChangeError::SoftRemove),
            (r#"{"tag":"x","tags":["y"]}"#, ChangeError::TagsWhere),
            (r#"{"key":"a"}"#, ChangeError::Key("a".into(), NameError::KeyShape)),
            (r#"{"tag":"a b"}"#, ChangeError::Tag("a b".into(), tag())),
            (r#"{"key":"a:1","tags":["a,b"]}"#, ChangeError::Tag("a,b".into(), tag())),
            (r#"{"prefix":""}"#, ChangeError::Prefix(String::new(), NameError::EmptyPrefix)),
        ] {
            assert_eq!(read(given), Err(why), "{given}");
        }
    }
}
