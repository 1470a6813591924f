//! Reads the text of a template.

use super::{Filter, Part, Place, Step, Template};

/// The filters, as a message lists them.
const FILTERS: &str = "slug, lower and default:\"…\"";

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct TemplateError {
    /// The byte of the text at which it is wrong.
    pub at: usize,
    /// The mistake, and what to write.
    pub why: String,
}

/// The rest of a text.
struct Cursor<'a> {
    whole: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.whole.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, text: &str) -> bool {
        let is_next = self.rest().starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn skip_spaces(&mut self) {
        while self.eat(" ") {}
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn fail<T>(&self, why: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError { at: self.at, why: why.into() })
    }
}

pub(super) fn parse(source: &str) -> Result<Template, TemplateError> {
    let mut cursor = Cursor { whole: source, at: 0 };
    let (mut parts, mut text, mut lists) = (Vec::new(), String::new(), 0);
    loop {
        let at = cursor.at;
        if cursor.eat("{{") {
            text.push('{');
        } else if cursor.eat("}}") {
            text.push('}');
        } else if cursor.eat("{") {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            let place = place(&mut cursor)?;
            lists += usize::from(place.steps.contains(&Step::Each));
            if lists > 1 {
                let why = "only one place of a template may have []: write a template for each list";
                return Err(TemplateError { at, why: why.to_owned() });
            }
            parts.push(Part::Place(place));
        } else if cursor.rest().starts_with('}') {
            return cursor.fail("a } without its {: write }} for the character itself");
        } else if let Some(next) = cursor.next() {
            text.push(next);
        } else {
            break;
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(Template { source: source.to_owned(), parts })
}

/// Reads a place, from behind its `{` to behind its `}`.
fn place(cursor: &mut Cursor<'_>) -> Result<Place, TemplateError> {
    let (mut steps, mut filters) = (Vec::new(), Vec::new());
    loop {
        cursor.skip_spaces();
        steps.push(Step::Member(name(cursor, "the name of a column")?));
        while cursor.eat("[]") {
            steps.push(Step::Each);
        }
        if !cursor.eat(".") {
            break;
        }
    }
    loop {
        cursor.skip_spaces();
        if cursor.eat("}") {
            return Ok(Place { steps, filters });
        }
        if !cursor.eat("|") {
            return match cursor.rest() {
                "" => cursor.fail("a { without its }: write {{ for the character itself"),
                _ => cursor.fail("write }, or | and a filter, here"),
            };
        }
        cursor.skip_spaces();
        filters.push(filter(cursor)?);
    }
}

fn filter(cursor: &mut Cursor<'_>) -> Result<Filter, TemplateError> {
    let at = cursor.at;
    let unknown = |what: &str| {
        let why = format!("there is no filter {what:?}: the filters are {FILTERS}");
        Err(TemplateError { at, why })
    };
    match name(cursor, "a filter: slug, lower or default:\"…\"")?.as_str() {
        "slug" => Ok(Filter::Slug),
        "lower" => Ok(Filter::Lower),
        "default" if cursor.eat(":") => {
            cursor.skip_spaces();
            match quoted(cursor)? {
                Some(text) => Ok(Filter::Default(text)),
                None => cursor.fail("a default stands in double quotes: default:\"other\""),
            }
        }
        "default" => cursor.fail("a default has a value: default:\"other\""),
        other => unknown(other),
    }
}

fn name(cursor: &mut Cursor<'_>, expected: &str) -> Result<String, TemplateError> {
    if let Some(text) = quoted(cursor)? {
        return if text.is_empty() { cursor.fail(format!("write {expected} here")) } else { Ok(text) };
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
    let rest = cursor.rest();
    let length = rest.find(|c| !plain(c)).unwrap_or(rest.len());
    match rest.get(..length) {
        Some(text) if !text.is_empty() => {
            cursor.at += length;
            Ok(text.to_owned())
        }
        Some(_) | None => cursor.fail(format!("write {expected} here")),
    }
}

/// Reads a text in double quotes, in which `\"` and `\\` stand for the characters themselves.
fn quoted(cursor: &mut Cursor<'_>) -> Result<Option<String>, TemplateError> {
    if !cursor.eat("\"") {
        return Ok(None);
    }
    let mut text = String::new();
    loop {
        match cursor.next() {
            Some('"') => return Ok(Some(text)),
            Some('\\') => match cursor.next() {
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                Some(_) | None => return cursor.fail("after a \\ stands \" or \\"),
            },
            Some(other) => text.push(other),
            None => return cursor.fail("the \" is not closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_mistake_says_where_it_is_and_what_to_write() {
        for (template, at, why) in [
            ("a:{", 3, "write the name of a column here"),
            ("a:{x", 4, "a { without its }"),
            ("a:}", 2, "a } without its {"),
            ("a:{x y}", 5, "write }, or | and a filter"),
            ("a:{x | }", 7, "write a filter"),
            ("a:{x | upper}", 7, "there is no filter \"upper\": the filters are slug"),
            ("a:{x | default}", 14, "a default has a value"),
            ("a:{x | default:y}", 15, "a default stands in double quotes"),
            ("a:{x | default:\"y}", 18, "is not closed"),
            ("a:{\"x\\n\"}", 7, "after a \\ stands"),
            ("a:{x[]}{y[]}", 7, "only one place"),
            ("a:{x..y}", 5, "write the name of a column here"),
            ("a:{x[].}", 7, "write the name of a column here"),
        ] {
            let error = parse(template).unwrap_err();
            assert!(error.why.contains(why), "{template}: {error}");
            assert_eq!(error.at, at, "{template}: {error}");
        }
    }
}
