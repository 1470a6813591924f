//! How a rule reads messages: the fields `format`, `field`, `rows`, `when` and `removed_when` of a `[[map]]`.

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fields::Fields;
use crate::mistake::Findings;

use crate::template::{Template, Unfilled};

/// The fields of a `[[map]]` that a publish has no use for, because it names its own targets.
const NOT_OF_A_PUBLISH: [&str; 10] = [
    "key",
    "tags",
    "also",
    "only_if_changed",
    "soft",
    "publish_moved_tags",
    "truncate",
    "rows",
    "when",
    "removed_when",
];

/// What a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object, which is the row.
    #[default]
    Row,
    /// A publish, as the publish address takes it.
    Publish,
    /// A CloudEvent, which is the row, with its data as the column `data`.
    CloudEvents,
    /// An envelope of Debezium.
    Debezium,
}

/// How a rule reads messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) format: Format,
    /// The field of an entry that has the text.
    pub(crate) field: Option<String>,
    /// The JSON pointer to a list of rows.
    pub(crate) rows: Option<String>,
    /// The conditions that all hold for the rows of the rule.
    pub(crate) when: Vec<Condition>,
    /// The conditions that all hold for a row that is gone.
    pub(crate) removed_when: Vec<Condition>,
}

/// A column, and the values that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// A template of the column alone.
    column: Template,
    values: Vec<String>,
}

/// How a row fits a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Changed,
    Removed,
    LeftOut,
    /// A column that the rule asks for is not there.
    Unknown(String),
}

/// Whether a condition holds.
enum Holds {
    Yes,
    No,
    Unknown(Unfilled),
}

impl Form {
    /// Reads the fields, and notes what cannot be.
    pub(crate) fn read(fields: &Fields<'_>, findings: &mut Findings<'_>) -> Self {
        let format = format(fields, findings);
        if format == Format::Publish {
            for field in NOT_OF_A_PUBLISH {
                if let Some(value) = fields.value(field) {
                    let why =
                        format!("a publish names its own targets: take {field} out, or write another format");
                    findings.note_at(&value.span(), why);
                }
            }
        }
        let field = fields.text("field", findings).and_then(|text| {
            if text.get_ref().is_empty() {
                findings.note_at(
                    &text.span(),
                    "field is empty: write the name of the entry's field with the message",
                );
            }
            Some((*text.get_ref()).to_owned()).filter(|field| !field.is_empty())
        });
        let rows = fields.text("rows", findings).and_then(|text| pointer(&text, format, findings));
        let when = conditions("when", fields, findings);
        let removed_when = conditions("removed_when", fields, findings);
        Self { format, field, rows, when, removed_when }
    }

    /// Says whether the rule is one of a table, which reads rows as they are.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn is_publish(&self) -> bool {
        self.format == Format::Publish
    }

    pub(crate) fn is_debezium(&self) -> bool {
        self.format == Format::Debezium
    }

    /// Says whether another form reads a message as the same.
    pub(crate) fn reads_as(&self, other: &Self) -> bool {
        self.format == other.format && self.field == other.field
    }

    /// Returns the name of the format, as the file has it.
    pub(crate) fn format_name(&self) -> &'static str {
        match self.format {
            Format::Row => "row",
            Format::Publish => "publish",
            Format::CloudEvents => "cloudevents",
            Format::Debezium => "debezium",
        }
    }

    /// Returns the columns that the conditions ask for.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.templates().flat_map(Template::columns)
    }

    /// Returns a template for each condition's column.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.when.iter().chain(&self.removed_when).map(|condition| &condition.column)
    }

    /// Says how a row fits.
    pub(crate) fn fit(&self, row: &Map<String, Value>) -> Fit {
        if !self.removed_when.is_empty() && matches!(all(&self.removed_when, row), Holds::Yes) {
            return Fit::Removed;
        }
        match all(&self.when, row) {
            Holds::Yes => Fit::Changed,
            Holds::No => Fit::LeftOut,
            Holds::Unknown(why) => Fit::Unknown(format!("{why}, and `when` asks for it")),
        }
    }
}

/// Says whether all conditions hold. One that does not hold decides, even if another cannot be known.
fn all(conditions: &[Condition], row: &Map<String, Value>) -> Holds {
    let mut all = Holds::Yes;
    for condition in conditions {
        match condition.holds(row) {
            Holds::Yes => {}
            Holds::No => return Holds::No,
            unknown @ Holds::Unknown(_) => all = unknown,
        }
    }
    all
}

impl Condition {
    fn holds(&self, row: &Map<String, Value>) -> Holds {
        let (texts, unfilled) = self.column.fill(row);
        if texts.iter().any(|text| self.values.contains(text)) {
            return Holds::Yes;
        }
        let unknown = unfilled.into_iter().find(|why| !matches!(why, Unfilled::Null(_)));
        unknown.map_or(Holds::No, Holds::Unknown)
    }
}

fn format(fields: &Fields<'_>, findings: &mut Findings<'_>) -> Format {
    let Some(text) = fields.text("format", findings) else { return Format::Row };
    match *text.get_ref() {
        "row" => Format::Row,
        "publish" => Format::Publish,
        "cloudevents" => Format::CloudEvents,
        "debezium" => Format::Debezium,
        other => {
            let why = format!(
                "there is no format {other:?}: write \"row\", \"publish\", \"cloudevents\" or \"debezium\""
            );
            findings.note_at(&text.span(), why);
            Format::Row
        }
    }
}

fn pointer(text: &Spanned<&str>, format: Format, findings: &mut Findings<'_>) -> Option<String> {
    let pointer = *text.get_ref();
    let escapes = pointer.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    if format == Format::Debezium {
        findings.note_at(&text.span(), "an envelope of Debezium has one row: take rows out");
    } else if !pointer.starts_with('/') || !escapes {
        let why = "rows is a JSON pointer to a list in the message: write rows = \"/items\"";
        findings.note_at(&text.span(), why);
    }
    Some(pointer.to_owned())
}

fn conditions(field: &'static str, fields: &Fields<'_>, findings: &mut Findings<'_>) -> Vec<Condition> {
    let example = format!("write {field} = {{ type = [\"TITLE_UPDATED\"] }}");
    let Some(value) = fields.value(field) else { return Vec::new() };
    let Some(table) = value.get_ref().as_table().filter(|table| !table.is_empty()) else {
        findings.note_at(&value.span(), format!("{field} is a table of columns and their values: {example}"));
        return Vec::new();
    };
    conditions_of(field, table, &example, findings)
}

fn conditions_of(
    field: &str,
    table: &DeTable<'_>,
    example: &str,
    findings: &mut Findings<'_>,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (name, values) in table {
        let path: &str = name.get_ref();
        let column = Template::parse(&format!("{{{path}}}"));
        let column = column.map_err(|mistake| {
            let why = format!("{path:?} is no column, such as type or \"event.type\": {mistake}");
            findings.note_at(&name.span(), why);
        });
        let list = values.get_ref().as_array();
        let elements = list.map_or_else(|| vec![values], |elements| elements.iter().collect());
        if elements.is_empty() {
            findings.note_at(&values.span(), format!("{field} holds for no value of {path}: {example}"));
        }
        let values = elements.into_iter().filter_map(|element| match scalar(element.get_ref()) {
            Some(value) => Some(value),
            None => {
                let why = format!("a value of {field} is a text, a whole number, true or false: {example}");
                findings.note_at(&element.span(), why);
                None
            }
        });
        let values = values.collect();
        conditions.extend(column.map(|column| Condition { column, values }));
    }
    conditions
}

/// Returns a value as a template writes it.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(flag) = value.as_bool() {
        return Some(flag.to_string());
    }
    let number = value.as_integer()?;
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix())
        .ok()
        .map(|number| Value::from(number).to_string())
}
