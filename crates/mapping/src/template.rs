//! Templates: texts with places for a row's values, such as `title:{id}` and `genre:{genres[] | slug}`.
//!
//! A place is a path into the row, then filters: `{a.b}`, `{list[]}`, `{list[].name | slug}`,
//! `{kind | default:"other" | lower}`. A name that is not made of letters, digits, `_`, `$` and `-` stands in
//! double quotes. `{{` and `}}` are braces.

use std::fmt;

use serde_json::{Map, Value};

mod parse;

pub use parse::TemplateError;

/// A text with places for a row's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
}

/// A place in a template: a path into the row, and what is done to each value that is found there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    steps: Vec<Step>,
    filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The member of an object.
    Member(String),
    /// Each element of a list.
    Each,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Lower,
    Slug,
    Default(String),
}

/// Why a template gave no text for a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unfilled {
    /// The row does not have the column: it was not sent.
    #[error("{0} is not known")]
    Unknown(String),
    /// The value is null, or nothing is left of it after `slug`.
    #[error("{0} is null")]
    Null(String),
    /// The value is an object, or a list without `[]` in the template.
    #[error("{0} is {1}")]
    NoScalar(String, &'static str),
    /// The template has `[]` for a value that is no list.
    #[error("{0} is no list")]
    NoList(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        parse::parse(source)
    }

    /// Returns the text before the first place.
    #[must_use]
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Place(_)) | None => "",
        }
    }

    /// Says whether the template has no places.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.places().next().is_none()
    }

    /// Says whether the template may give several texts for a row.
    #[must_use]
    pub fn has_list(&self) -> bool {
        self.places().any(|place| place.steps.contains(&Step::Each))
    }

    /// Returns the columns that the template reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.places().filter_map(|place| match place.steps.first() {
            Some(Step::Member(name)) => Some(name.as_str()),
            Some(Step::Each) | None => None,
        })
    }

    /// Returns the columns whose lists or objects the template reaches into.
    pub fn deep_columns(&self) -> impl Iterator<Item = &str> {
        self.places().filter_map(|place| match place.steps.as_slice() {
            [Step::Member(name), _, ..] => Some(name.as_str()),
            _ => None,
        })
    }

    /// Returns the texts that the template gives for a row, and why it gave fewer than it might.
    #[must_use]
    pub fn fill(&self, row: &Map<String, Value>) -> (Vec<String>, Vec<Unfilled>) {
        let (mut texts, mut unfilled) = (vec![String::new()], Vec::new());
        for part in &self.parts {
            match part {
                Part::Text(text) => texts.iter_mut().for_each(|filled| filled.push_str(text)),
                Part::Place(place) => {
                    let values = place.values(row, &mut unfilled);
                    // Only one place of a template may have `[]`, so this is no product of two lists.
                    let each = |filled: &String| {
                        let filled = filled.clone();
                        values.iter().map(move |value| format!("{filled}{value}")).collect::<Vec<_>>()
                    };
                    texts = texts.iter().flat_map(each).collect();
                }
            }
        }
        (texts, unfilled)
    }

    /// Says whether a text can be taken apart into what its places hold: they have no filters, and text stands between
    /// any two of them.
    #[must_use]
    pub fn is_invertible(&self) -> bool {
        let is_place = |part: &Part| matches!(part, Part::Place(_));
        let adjacent = self.parts.windows(2).any(|two| two.iter().all(is_place));
        !adjacent && self.places().all(|place| place.filters.is_empty())
    }

    /// Takes a text apart: what each place holds, in their order. A place ends where the text after it first stands, and
    /// the last one holds the rest. `None` for a text of another form, or with an empty place.
    #[must_use]
    pub fn values_in<'a>(&self, text: &'a str) -> Option<Vec<&'a str>> {
        let (mut rest, mut values) = (text, Vec::new());
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Text(fixed) => rest = rest.strip_prefix(fixed.as_str())?,
                Part::Place(_) => {
                    let end = match parts.peek() {
                        Some(Part::Text(next)) => rest.find(next.as_str())?,
                        Some(Part::Place(_)) | None => rest.len(),
                    };
                    let (value, left) = rest.split_at(end);
                    values.push(value);
                    rest = left;
                }
            }
        }
        (rest.is_empty() && values.iter().all(|value| !value.is_empty())).then_some(values)
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(place) => Some(place),
            Part::Text(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Place {
    fn values(&self, row: &Map<String, Value>, unfilled: &mut Vec<Unfilled>) -> Vec<String> {
        let Some((Step::Member(column), steps)) = self.steps.split_first() else { return Vec::new() };
        let Some(value) = row.get(column) else {
            unfilled.push(Unfilled::Unknown(column.clone()));
            return Vec::new();
        };
        let mut found = Vec::new();
        self.walk(value, steps, &mut found, unfilled);
        found
    }

    fn walk(&self, value: &Value, steps: &[Step], found: &mut Vec<String>, unfilled: &mut Vec<Unfilled>) {
        let Some((step, rest)) = steps.split_first() else {
            match self.filtered(value) {
                Ok(text) => found.push(text),
                Err(why) => unfilled.push(why),
            }
            return;
        };
        match (step, value) {
            (_, Value::Null) => self.walk(value, &[], found, unfilled),
            (Step::Each, Value::Array(elements)) => {
                for element in elements {
                    self.walk(element, rest, found, unfilled);
                }
            }
            (Step::Each, _) => unfilled.push(Unfilled::NoList(self.path())),
            (Step::Member(name), Value::Object(members)) => {
                self.walk(members.get(name).unwrap_or(&Value::Null), rest, found, unfilled);
            }
            (Step::Member(_), _) => self.walk(&Value::Null, &[], found, unfilled),
        }
    }

    fn filtered(&self, value: &Value) -> Result<String, Unfilled> {
        let mut text = match value {
            Value::Null => None,
            Value::Bool(yes) => Some(yes.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::String(text) => Some(text.clone()),
            Value::Array(_) => {
                return Err(Unfilled::NoScalar(self.path(), "a list: write [] after its name"));
            }
            Value::Object(_) => return Err(Unfilled::NoScalar(self.path(), "an object")),
        };
        for filter in &self.filters {
            text = match (filter, text) {
                (Filter::Default(other), None) => Some(other.clone()),
                (Filter::Lower, Some(text)) => Some(text.to_lowercase()),
                (Filter::Slug, Some(text)) => slug(&text),
                (Filter::Default(_), some @ Some(_)) => some,
                (Filter::Lower | Filter::Slug, None) => None,
            };
        }
        text.ok_or_else(|| Unfilled::Null(self.path()))
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Member(name) if path.is_empty() => path.push_str(name),
                Step::Member(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Each => path.push_str("[]"),
            }
        }
        path
    }
}

/// Returns a text as a tag can hold it: lower-case letters and digits of ASCII, single dashes for all between
/// them. `None` if nothing is left.
#[must_use]
pub fn slug(text: &str) -> Option<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    (!slug.is_empty()).then_some(slug)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn fill(template: &str, row: &str) -> (Vec<String>, Vec<String>) {
        let template = Template::parse(template).unwrap();
        let (texts, why) = template.fill(&serde_json::from_str(row).unwrap());
        (texts, why.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn places_are_filled_from_members_lists_and_filters() {
        let row = r#"{"id":603,"kind":"TV Show","genres":["Sci-Fi & Fantasy","Drama"],"a":{"b":{"c":true}},
            "cast":[{"name":"Ann"},{"name":null},{}],"none":null,"odd name":"É"}"#;
        for (template, texts, why) in [
            ("title:{id}", &["title:603"] as &[_], &[] as &[&str]),
            ("{{{id}}}", &["{603}"], &[]),
            ("genre:{ genres[] | slug }", &["genre:sci-fi-fantasy", "genre:drama"], &[]),
            ("{kind|lower}", &["tv show"], &[]),
            ("{a.b.c}-{id}", &["true-603"], &[]),
            ("x:{cast[].name}", &["x:Ann"], &["cast[].name is null", "cast[].name is null"]),
            ("x:{cast[].name | default:\"?\"}", &["x:Ann", "x:?", "x:?"], &[]),
            ("t:{none}", &[], &["none is null"]),
            ("t:{none[]}", &[], &["none[] is null"]),
            ("t:{none.x | default:\"a\\\"b\"}", &["t:a\"b"], &[]),
            ("t:{\"odd name\" | lower}", &["t:é"], &[]),
            ("t:{\"odd name\" | slug | default:\"none\"}", &["t:none"], &[]),
            ("t:{gone}", &[], &["gone is not known"]),
            ("t:{genres}", &[], &["genres is a list: write [] after its name"]),
            ("t:{id[]}", &[], &["id[] is no list"]),
            ("t:{a.b}", &[], &["a.b is an object"]),
        ] {
            let (filled, unfilled) = fill(template, row);
            assert_eq!(filled, texts, "{template}");
            assert_eq!(unfilled, why, "{template}");
        }
    }

    #[test]
    fn a_template_knows_its_columns_and_its_beginning() {
        let template = Template::parse("a:{x.y}:{z[] | lower}").unwrap();
        assert_eq!(template.columns().collect::<Vec<_>>(), ["x", "z"]);
        assert_eq!((template.beginning(), template.has_list(), template.is_constant()), ("a:", true, false));
        assert_eq!(Template::parse("{x}:a").unwrap().beginning(), "");
    }
}
