//! One `[[map]]` of a mapping, and the changes of one changed row.

use std::collections::BTreeSet;
use std::fmt;

use newsreel_core::wire::change::MAX_TAGS;
use newsreel_core::wire::{Change, Key, Operation, Prefix, Tag, Target};
use serde_json::{Map, Value};

use crate::fields;
use crate::message::form::{Fit, Form};
use crate::pattern;
use crate::skip::{Skip, Skips};
use crate::template::{Template, Unfilled};

/// A row: its columns by name. A column that is absent is not known, which is something else than null.
pub type Row = Map<String, Value>;

/// A change of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowChange<'a> {
    /// A row was inserted.
    Insert {
        /// The row.
        new: &'a Row,
    },
    /// A row was updated.
    Update {
        /// The row before, as far as it is known.
        old: &'a Row,
        /// The row after. A column that is absent was not changed.
        new: &'a Row,
    },
    /// A row was deleted.
    Delete {
        /// The row before, as far as it is known.
        old: &'a Row,
    },
    /// Every row of the table was deleted.
    Truncate,
}

/// One `[[map]]`: what the rows of a table are called.
#[derive(Clone, PartialEq, Eq)]
pub struct Rule {
    pub(crate) from: String,
    pub(crate) key: Option<Template>,
    pub(crate) tags: Vec<Template>,
    pub(crate) only_if_changed: Vec<String>,
    pub(crate) also: Vec<Also>,
    pub(crate) soft: bool,
    pub(crate) publish_moved_tags: bool,
    pub(crate) truncate: Target,
    pub(crate) widen: Option<Target>,
    pub(crate) form: Form,
}

impl fmt::Debug for Rule {
    /// Leaves the form of messages out where there is none: the digest of a mapping is made of this text, and a source
    /// takes another digest for another mapping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, key, tags, only_if_changed, also, soft, publish_moved_tags, truncate, widen, form } =
            self;
        let mut rule = f.debug_struct("Rule");
        rule.field("from", from)
            .field("key", key)
            .field("tags", tags)
            .field("only_if_changed", only_if_changed);
        rule.field("also", also).field("soft", soft).field("publish_moved_tags", publish_moved_tags);
        rule.field("truncate", truncate).field("widen", widen);
        if !form.is_plain() {
            rule.field("form", form);
        }
        rule.finish()
    }
}

/// A further target of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Also {
    /// The target of a kind (`key`, `tag`, `prefix`) that the template names.
    Named(&'static str, Template),
    /// Everything.
    All,
}

impl Also {
    fn template(&self) -> Option<&Template> {
        match self {
            Self::Named(_, template) => Some(template),
            Self::All => None,
        }
    }
}

/// What one row is called.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    key: Option<Key>,
    tags: Vec<Tag>,
    also: BTreeSet<Target>,
    /// Whether a column that names a target was not known.
    incomplete: bool,
}

impl Rule {
    /// Returns the table, stream or pattern that the rule is about.
    #[must_use]
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Returns every column that the rule reads.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<&str> {
        let tags = self.tags.iter().flat_map(Template::columns);
        let matter = self.only_if_changed.iter().map(String::as_str);
        self.old_columns().into_iter().chain(tags).chain(matter).chain(self.form.columns()).collect()
    }

    /// Returns the columns that a template or a condition reaches into.
    pub(crate) fn deep_columns(&self) -> BTreeSet<&str> {
        let also = self.also.iter().filter_map(Also::template);
        let templates = self.key.iter().chain(&self.tags).chain(also).chain(self.form.templates());
        templates.flat_map(Template::deep_columns).collect()
    }

    /// Says whether the rule is about a table, a stream or a channel: by its name, or by a pattern that the name fits.
    #[must_use]
    pub fn is_from(&self, from: &str) -> bool {
        self.from == from || pattern::fits(&self.from, from)
    }

    /// Returns the format of the messages that the rule reads, as the file has it; none for the rows of a table.
    #[must_use]
    pub fn format(&self) -> Option<&'static str> {
        (!self.form.is_plain()).then(|| self.form.format_name())
    }

    /// Returns the columns whose old values the rule needs: a row that is deleted or moves is named by them.
    #[must_use]
    pub fn old_columns(&self) -> BTreeSet<&str> {
        let also = self.also.iter().filter_map(Also::template);
        let tags = self.tags.iter().filter(|_| self.publish_moved_tags);
        self.key.iter().chain(also).chain(tags).flat_map(Template::columns).collect()
    }

    /// Says whether the rule names a target that stands for a row whose old values are not known.
    #[must_use]
    pub fn is_widened(&self) -> bool {
        self.widen.is_some()
    }

    /// Returns the columns of `only_if_changed`.
    #[must_use]
    pub fn only_if_changed(&self) -> &[String] {
        &self.only_if_changed
    }

    /// Returns targets that cover every row that the rule ever named.
    #[must_use]
    pub fn wide(&self) -> BTreeSet<Target> {
        if let Some(widen) = &self.widen {
            return BTreeSet::from([widen.clone()]);
        }
        if self.form.is_publish() {
            return BTreeSet::from([Target::All]);
        }
        let key = self.key.iter().map(|key| beginning_of("key", key));
        let tags = self.tags.iter().filter(|_| self.publish_moved_tags).map(|tag| beginning_of("tag", tag));
        let also = self.also.iter().map(|also| match also {
            Also::Named(kind, template) => beginning_of(kind, template),
            Also::All => Target::All,
        });
        let targets: BTreeSet<Target> = key.chain(tags).chain(also).collect();
        if targets.contains(&Target::All) { BTreeSet::from([Target::All]) } else { targets }
    }

    /// Returns the tags of a row, and counts what gave none.
    #[must_use]
    pub fn tags(&self, row: &Row, skips: &mut Skips) -> Vec<Tag> {
        self.names(row, skips).tags
    }

    /// Returns the form of the keys of the rows, if they have keys.
    #[must_use]
    pub fn key(&self) -> Option<&Template> {
        self.key.as_ref()
    }

    /// Returns the columns that the tags of a row are made of.
    pub fn tag_columns(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().flat_map(Template::columns)
    }

    /// Hands the changes that a changed row publishes to `publish`, in an order that is the same every time.
    pub fn apply(&self, change: &RowChange<'_>, skips: &mut Skips, publish: &mut impl FnMut(Change)) {
        match change {
            RowChange::Insert { new } => self.publish(None, Some(self.names(new, skips)), publish),
            RowChange::Delete { old } => self.publish(Some(self.names(old, skips)), None, publish),
            RowChange::Update { old, new } => {
                let (before, after) = (self.names(old, &mut Skips::default()), self.names(new, skips));
                if self.matters(old, new) || before != after {
                    self.publish(Some(before), Some(after), publish);
                }
            }
            RowChange::Truncate => publish(Change::of(self.truncate.clone())),
        }
    }

    /// Hands the changes of a message's row to `publish`, as [`Rule::apply`] does. A row that names nothing is a mistake of
    /// its sender's; where `is_partial`, a column that is not there is one that the sender did not know, unless the row
    /// is new.
    ///
    /// # Errors
    /// The reason that the row names nothing.
    pub(crate) fn apply_named(
        &self,
        change: &RowChange<'_>,
        is_partial: bool,
        skips: &mut Skips,
        publish: &mut impl FnMut(Change),
    ) -> Result<(), Skip> {
        let row = match change {
            RowChange::Insert { new } | RowChange::Update { new, .. } => new,
            RowChange::Delete { old } => old,
            RowChange::Truncate => {
                self.apply(change, skips, publish);
                return Ok(());
            }
        };
        let mut own = Skips::default();
        let names = self.names(row, &mut own);
        let is_named = if self.key.is_some() { names.key.is_some() } else { !names.also.is_empty() };
        let is_excused = is_partial && names.incomplete && !matches!(change, RowChange::Insert { .. });
        let key = self.key.as_ref().map(ToString::to_string);
        let reason = own
            .counts()
            .map(|(skip, _)| skip)
            .find(|skip| key.as_ref().is_none_or(|key| *key == skip.template));
        if let (false, false, Some(reason)) = (is_named, is_excused, reason) {
            return Err(reason.clone());
        }
        self.apply(change, skips, publish);
        Ok(())
    }

    /// Says whether a row of a whole catalogue is one of the rule's: `when` holds for it, and `removed_when` does not.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        self.form.fit(row) == Fit::Changed
    }

    /// Hands the changes of an update to `publish`, where the caller knows that a column that matters changed. Of both
    /// rows only the columns that name targets are read.
    pub fn replace(&self, old: &Row, new: &Row, skips: &mut Skips, publish: &mut impl FnMut(Change)) {
        let before = self.names(old, &mut Skips::default());
        self.publish(Some(before), Some(self.names(new, skips)), publish);
    }

    /// Says whether an update changed a column of `only_if_changed`, as far as that is known.
    fn matters(&self, old: &Row, new: &Row) -> bool {
        let changed = |column: &String| match (old.get(column), new.get(column)) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(old), Some(new)) => old != new,
        };
        self.only_if_changed.is_empty() || self.only_if_changed.iter().any(changed)
    }

    fn publish(&self, old: Option<Names>, new: Option<Names>, publish: &mut impl FnMut(Change)) {
        let operation = if self.soft { Operation::Soften } else { Operation::Update };
        let incomplete = [&old, &new].into_iter().flatten().any(|names| names.incomplete);
        let Names { key: old_key, tags: old_tags, mut also, .. } = old.unwrap_or_default();
        let Names { key, tags, also: new_also, .. } = new.unwrap_or_default();
        if let Some(gone) = old_key.filter(|old_key| key.as_ref() != Some(old_key)) {
            publish(Change::remove(gone));
        }
        also.extend(new_also);
        if self.publish_moved_tags {
            let moved = old_tags.iter().filter(|tag| !tags.contains(tag));
            let moved = moved.chain(tags.iter().filter(|tag| !old_tags.contains(tag)));
            also.extend(moved.cloned().map(Target::Tag));
        }
        if let Some(key) = key {
            publish(Change { operation, ..Change::update(key, tags) });
        }
        also.into_iter().for_each(|target| publish(Change { operation, ..Change::of(target) }));
        if incomplete {
            self.wide().into_iter().for_each(|target| publish(Change::of(target)));
        }
    }

    fn names(&self, row: &Row, skips: &mut Skips) -> Names {
        let mut names = Names::default();
        if let Some(template) = &self.key {
            let keys = self.filled(template, row, Some(&mut names.incomplete), skips, Key::new);
            names.key = keys.into_iter().next();
        }
        for template in &self.tags {
            let incomplete = self.publish_moved_tags.then_some(&mut names.incomplete);
            for tag in self.filled(template, row, incomplete, skips, Tag::new) {
                if names.tags.len() >= MAX_TAGS {
                    skips.too_many_tags(&self.from, &template.to_string());
                    break;
                }
                if !names.tags.contains(&tag) {
                    names.tags.push(tag);
                }
            }
        }
        for also in &self.also {
            match also {
                Also::All => drop(names.also.insert(Target::All)),
                Also::Named(kind, template) => {
                    let incomplete = Some(&mut names.incomplete);
                    let targets =
                        self.filled(template, row, incomplete, skips, |text| fields::target(kind, &text));
                    names.also.extend(targets);
                }
            }
        }
        names
    }

    /// Returns the valid names that a template gives for a row, and counts the others.
    fn filled<T>(
        &self,
        template: &Template,
        row: &Row,
        incomplete: Option<&mut bool>,
        skips: &mut Skips,
        name: impl Fn(String) -> Result<T, newsreel_core::wire::NameError>,
    ) -> Vec<T> {
        let (texts, unfilled) = template.fill(row);
        if let Some(incomplete) = incomplete {
            *incomplete |= unfilled.iter().any(|why| matches!(why, Unfilled::Unknown(_)));
        }
        for why in &unfilled {
            skips.unfilled(&self.from, &template.to_string(), why);
        }
        let valid = |text: String| match name(text) {
            Ok(name) => Some(name),
            Err(why) => {
                skips.invalid(&self.from, &template.to_string(), &why);
                None
            }
        };
        texts.into_iter().filter_map(valid).collect()
    }
}

/// Returns the narrowest target that covers all that a template names.
fn beginning_of(kind: &str, template: &Template) -> Target {
    let beginning = template.beginning();
    let known = if template.is_constant() {
        fields::target(kind, beginning).ok()
    } else if kind == "tag" {
        None
    } else {
        Prefix::new(beginning).map(Target::Prefix).ok()
    };
    known.unwrap_or(Target::All)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const RULE: &str = r#"
        [[map]]
        from = "t"
        key = "title:{id}"
        tags = ["p:{platforms[]}"]
        also = [{ tag = "owner:{owner}" }]
    "#;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn expect(rules: &str, change: &RowChange<'_>, published: &str) -> Skips {
        let (mut skips, mut changes) = (Skips::default(), Vec::new());
        Mapping::parse(rules).unwrap().apply("t", change, &mut skips, &mut |change| changes.push(change));
        assert_eq!(serde_json::to_string(&changes).unwrap(), published);
        skips
    }

    #[test]
    fn a_row_is_named_when_it_comes_and_when_it_goes() {
        let new = &row(r#"{"id":1,"platforms":["a","b","a"],"owner":"x"}"#);
        let update = r#"[{"key":"title:1","tags":["p:a","p:b"]},{"tag":"owner:x"}]"#;
        expect(RULE, &RowChange::Insert { new }, update);
        expect(RULE, &RowChange::Update { old: new, new }, update);
        expect(
            RULE,
            &RowChange::Delete { old: new },
            r#"[{"key":"title:1","op":"remove"},{"tag":"owner:x"}]"#,
        );
        expect(RULE, &RowChange::Truncate, r#"[{"all":true}]"#);
        let soft = RULE.to_owned() + "soft = true\ntruncate = { prefix = \"title:\" }";
        expect(&soft, &RowChange::Truncate, r#"[{"prefix":"title:"}]"#);
        expect(
            &soft,
            &RowChange::Delete { old: new },
            r#"[{"key":"title:1","op":"remove"},{"tag":"owner:x","soft":true}]"#,
        );
    }

    #[test]
    fn a_row_that_moves_is_named_where_it_was_and_where_it_is() {
        let old = &row(r#"{"id":1,"platforms":["a","b"],"owner":"x"}"#);
        let new = &row(r#"{"id":2,"platforms":["b","c"],"owner":"y"}"#);
        let moved = RowChange::Update { old, new };
        let both = r#"[{"key":"title:1","op":"remove"},{"key":"title:2","tags":["p:b","p:c"]},{"tag":"owner:x"},{"tag":"owner:y"}]"#;
        expect(RULE, &moved, both);
        let tags = RULE.to_owned() + "publish_moved_tags = true";
        expect(
            &tags,
            &moved,
            &both.replace(r#"{"tag":"owner:y"}"#, r#"{"tag":"owner:y"},{"tag":"p:a"},{"tag":"p:c"}"#),
        );
    }

    #[test]
    fn an_old_value_that_is_not_known_widens() {
        let old = &row(r#"{"id":1}"#);
        let new = &row(r#"{"id":1,"platforms":[],"owner":"y"}"#);
        let update = RowChange::Update { old, new };
        expect(RULE, &update, r#"[{"key":"title:1"},{"tag":"owner:y"},{"all":true}]"#);
        let widened = RULE.to_owned() + "widen = { tag = \"owners\" }";
        expect(&widened, &update, r#"[{"key":"title:1"},{"tag":"owner:y"},{"tag":"owners"}]"#);
        expect(RULE, &RowChange::Delete { old }, r#"[{"key":"title:1","op":"remove"},{"all":true}]"#);
    }

    #[test]
    fn an_update_of_columns_that_do_not_matter_is_not_published() {
        let rules = RULE.to_owned() + "only_if_changed = [\"name\"]";
        let old = &row(r#"{"id":1,"platforms":[],"owner":"x","name":"n","views":1}"#);
        let seen = &row(r#"{"id":1,"platforms":[],"owner":"x","name":"n","views":2}"#);
        expect(&rules, &RowChange::Update { old, new: seen }, "[]");
        let named = &row(r#"{"id":1,"platforms":[],"owner":"x","name":"m","views":1}"#);
        expect(&rules, &RowChange::Update { old, new: named }, r#"[{"key":"title:1"},{"tag":"owner:x"}]"#);
        let retagged = &row(r#"{"id":1,"platforms":["a"],"owner":"x","name":"n","views":1}"#);
        let tags = r#"[{"key":"title:1","tags":["p:a"]},{"tag":"owner:x"}]"#;
        expect(&rules, &RowChange::Update { old, new: retagged }, tags);
        let unsent = &row(r#"{"id":1,"platforms":[],"owner":"x"}"#);
        expect(&rules, &RowChange::Update { old, new: unsent }, "[]");
    }

    #[test]
    fn nulls_and_names_that_are_none_are_counted_by_reason() {
        let new = &row(r#"{"id":null,"platforms":["a b",null],"owner":null}"#);
        let mut skips = expect(RULE, &RowChange::Insert { new }, "[]");
        let told: Vec<String> = skips.take_new().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                r#"t: "title:{id}" names nothing, because id is null"#,
                r#"t: "p:{platforms[]}" names nothing, because platforms[] is null"#,
                r#"t: "p:{platforms[]}" names nothing, because a tag is 1 to 256 bytes of printable ASCII without space or comma"#,
                r#"t: "owner:{owner}" names nothing, because owner is null"#,
            ]
        );
        assert!(skips.take_new().is_empty());
        assert_eq!(skips.total(), 4);
    }
}
