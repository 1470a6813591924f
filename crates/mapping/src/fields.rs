//! Reads the fields of TOML tables, and notes every mistake with its place.

use std::ops::Range;

use newsreel_core::wire::{Key, Prefix, Tag, Target};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mistake::Findings;
use crate::template::Template;

/// One table, and the fields that it may have.
pub(crate) struct Fields<'a> {
    table: &'a DeTable<'a>,
    span: Range<usize>,
    name: &'static str,
    known: &'static [&'static str],
}

/// A value with its place.
type Value<'a> = &'a Spanned<DeValue<'a>>;

impl<'a> Fields<'a> {
    /// Returns the fields of a table, and notes those that do not exist.
    pub(crate) fn of(
        table: &'a DeTable<'a>,
        span: Range<usize>,
        name: &'static str,
        known: &'static [&'static str],
        findings: &mut Findings<'_>,
    ) -> Self {
        for key in table.keys() {
            let field: &str = key.get_ref();
            if known.contains(&field) {
                continue;
            }
            let near = known.iter().find(|known| strsim::damerau_levenshtein(known, field) <= 2);
            let instead = match near {
                Some(near) => format!("write {near:?}"),
                None => format!("{name} has {}", known.join(", ")),
            };
            findings.note_at(&key.span(), format!("there is no field {field:?}: {instead}"));
        }
        Self { table, span, name, known }
    }

    /// Returns the place of the table.
    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }

    /// Returns the value of a field.
    pub(crate) fn value(&self, field: &'static str) -> Option<Value<'a>> {
        debug_assert!(self.known.contains(&field), "{field} is among the known fields");
        self.table.iter().find(|(key, _)| key.get_ref() == field).map(|(_, value)| value)
    }

    /// Returns a text.
    pub(crate) fn text(&self, field: &'static str, findings: &mut Findings<'_>) -> Option<Spanned<&'a str>> {
        text(self.value(field)?, field, findings)
    }

    /// Returns a text that the table must have.
    pub(crate) fn needed(
        &self,
        field: &'static str,
        example: &str,
        findings: &mut Findings<'_>,
    ) -> Option<Spanned<&'a str>> {
        if self.value(field).is_none() {
            findings.note_at(&self.span, format!("{} has no {field}: write {field} = {example}", self.name));
        }
        self.text(field, findings)
    }

    /// Returns a template.
    pub(crate) fn template(&self, field: &'static str, findings: &mut Findings<'_>) -> Option<Template> {
        template(&self.text(field, findings)?, findings)
    }

    /// Returns a list of texts; an empty one if the field is absent.
    pub(crate) fn texts(&self, field: &'static str, findings: &mut Findings<'_>) -> Vec<Spanned<&'a str>> {
        let elements = self.list(field, findings);
        elements.into_iter().filter_map(|element| text(element, field, findings)).collect()
    }

    /// Returns a list of tables; an empty one if the field is absent.
    pub(crate) fn tables(
        &self,
        field: &'static str,
        example: &str,
        findings: &mut Findings<'_>,
    ) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
        let elements = self.list(field, findings);
        let table = |element: Value<'a>| match element.get_ref().as_table() {
            Some(table) => Some((table, element.span())),
            None => {
                findings.note_at(&element.span(), format!("{field} is a list of tables: write {example}"));
                None
            }
        };
        elements.into_iter().filter_map(table).collect()
    }

    /// Returns a yes or no; no if the field is absent.
    pub(crate) fn flag(&self, field: &'static str, findings: &mut Findings<'_>) -> bool {
        let Some(value) = self.value(field) else { return false };
        value.get_ref().as_bool().unwrap_or_else(|| {
            findings.note_at(&value.span(), format!("{field} is true or false, without quotes"));
            false
        })
    }

    /// Returns a number above zero.
    pub(crate) fn number(&self, field: &'static str, findings: &mut Findings<'_>) -> Option<usize> {
        let value = self.value(field)?;
        let number = value.get_ref().as_integer().and_then(|number| number.as_str().parse().ok());
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            findings.note_at(&value.span(), format!("{field} is a whole number above 0"));
        }
        number
    }

    fn list(&self, field: &'static str, findings: &mut Findings<'_>) -> Vec<Value<'a>> {
        let Some(value) = self.value(field) else { return Vec::new() };
        match value.get_ref().as_array() {
            Some(elements) => elements.iter().collect(),
            None => {
                findings.note_at(&value.span(), format!("{field} is a list: write {field} = [ … ]"));
                Vec::new()
            }
        }
    }
}

/// Reads a template, whose mistakes have their own places within the text.
pub(crate) fn template(text: &Spanned<&str>, findings: &mut Findings<'_>) -> Option<Template> {
    let mistake = match Template::parse(text.get_ref()) {
        Ok(template) => return Some(template),
        Err(mistake) => mistake,
    };
    findings.note(text.span().start + 1 + mistake.at, mistake.to_string());
    None
}

/// Reads the target of a table such as `{ prefix = "availability:" }`, which has no places for values.
pub(crate) fn constant_target(
    field: &'static str,
    value: Value<'_>,
    findings: &mut Findings<'_>,
) -> Option<Target> {
    let example = format!("write {field} = {{ prefix = \"class:\" }}, {{ tag = \"…\" }} or {{ all = true }}");
    let Some(table) = value.get_ref().as_table() else {
        findings.note_at(&value.span(), format!("{field} is a table: {example}"));
        return None;
    };
    let fields = Fields::of(table, value.span(), field, &["key", "tag", "prefix", "all"], findings);
    if table.len() != 1 {
        findings.note_at(&value.span(), format!("{field} names one target: {example}"));
        return None;
    }
    if fields.value("all").is_some() {
        let all = fields.flag("all", findings);
        if !all {
            findings.note_at(&value.span(), "all is true or absent");
        }
        return all.then_some(Target::All);
    }
    let (kind, text) =
        ["key", "tag", "prefix"].into_iter().find_map(|kind| Some((kind, fields.text(kind, findings)?)))?;
    if text.get_ref().contains(['{', '}']) {
        let why = format!("{field} stands for the whole table, so its target has no {{places}}");
        findings.note_at(&text.span(), why);
        return None;
    }
    target(kind, text.get_ref()).map_err(|why| findings.note_at(&text.span(), why.to_string())).ok()
}

/// Returns the target of a kind with this name.
pub(crate) fn target(kind: &str, name: &str) -> Result<Target, newsreel_core::wire::NameError> {
    match kind {
        "key" => Key::new(name).map(Target::Key),
        "tag" => Tag::new(name).map(Target::Tag),
        _ => Prefix::new(name).map(Target::Prefix),
    }
}

fn text<'a>(value: Value<'a>, field: &str, findings: &mut Findings<'_>) -> Option<Spanned<&'a str>> {
    match value.get_ref().as_str() {
        Some(text) => Some(Spanned::new(value.span(), text)),
        None => {
            let kind = value.get_ref().type_str();
            findings
                .note_at(&value.span(), format!("{field} takes texts in quotes; this one is of type {kind}"));
            None
        }
    }
}
