//! Addresses and headers with places: `{cursor}`, `{since}`, `{until}`, `{page}`, and `${NAME}` for a variable of the
//! environment, which is how a secret stays out of the file.

use std::fmt;

/// A text with places for what was reached and for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Place),
    Variable(String),
}

/// A place for something that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The cursor.
    Cursor,
    /// The beginning of the window.
    Since,
    /// The end of the window.
    Until,
    /// The number of the page.
    Page,
}

/// The values for the places of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The cursor.
    pub cursor: String,
    /// The beginning of the window.
    pub since: String,
    /// The end of the window.
    pub until: String,
    /// The number of the page.
    pub page: u64,
}

/// A mistake in an address, at a byte of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(super) struct AddressMistake {
    pub(super) at: usize,
    why: String,
}

impl Address {
    /// Reads a text with places.
    pub(super) fn parse(source: &str) -> Result<Self, AddressMistake> {
        let (mut parts, mut at) = (Vec::new(), 0);
        let mut rest = source;
        while let Some(open) = rest.find(['{', '}']) {
            let (text, after) = rest.split_at(open);
            let is_variable = text.ends_with('$');
            let mistake = |why: &str| AddressMistake { at: at + open, why: why.to_owned() };
            let Some(inside) = after.strip_prefix('{') else {
                return Err(mistake("a } without its {: write %7D for the character itself"));
            };
            let (name, behind) = inside
                .split_once('}')
                .ok_or_else(|| mistake("a { without its }: write %7B for the character itself"))?;
            let text = text.strip_suffix('$').filter(|_| is_variable).unwrap_or(text);
            parts.push(Part::Text(text.to_owned()));
            parts.push(if is_variable {
                variable(name).map_err(|why| mistake(&why))?
            } else {
                Part::Place(Place::of(name).ok_or_else(|| mistake(UNKNOWN_PLACE))?)
            });
            at += rest.len() - behind.len();
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { source: source.to_owned(), parts })
    }

    /// Says whether there is a place for this.
    #[must_use]
    pub fn has(&self, place: Place) -> bool {
        self.parts.contains(&Part::Place(place))
    }

    /// Returns the names of the variables of the environment.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) | Part::Place(_) => None,
        })
    }

    /// Returns the text with its places filled, each by what `escape` makes of it.
    #[must_use]
    pub fn fill(
        &self,
        places: &Places,
        variable: impl Fn(&str) -> String,
        escape: impl Fn(&str) -> String,
    ) -> String {
        let filled = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => variable(name),
            Part::Place(Place::Cursor) => escape(&places.cursor),
            Part::Place(Place::Since) => escape(&places.since),
            Part::Place(Place::Until) => escape(&places.until),
            Part::Place(Place::Page) => places.page.to_string(),
        };
        self.parts.iter().map(filled).collect()
    }
}

const UNKNOWN_PLACE: &str =
    "an address has the places {cursor}, {since}, {until} and {page}, and ${NAME} for the environment";

fn variable(name: &str) -> Result<Part, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err("a variable of the environment is ${NAME}, with letters, digits and _".to_owned());
    }
    Ok(Part::Variable(name.to_owned()))
}

impl Place {
    fn of(name: &str) -> Option<Self> {
        match name {
            "cursor" => Some(Self::Cursor),
            "since" => Some(Self::Since),
            "until" => Some(Self::Until),
            "page" => Some(Self::Page),
            _ => None,
        }
    }

    /// Returns the place as it stands in an address.
    #[must_use]
    pub fn written(self) -> &'static str {
        match self {
            Self::Cursor => "{cursor}",
            Self::Since => "{since}",
            Self::Until => "{until}",
            Self::Page => "{page}",
        }
    }
}

/// Shows the address as the file has it: no secret is in it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn places_are_filled_and_what_is_filled_in_is_escaped() {
        let address = Address::parse("http://h/x?a={since}&b={cursor}&p={page}&k=${KEY}").unwrap();
        let places = Places { cursor: "a b".into(), since: "1".into(), until: String::new(), page: 3 };
        let filled = address.fill(&places, |name| format!("<{name}>"), |text| text.replace(' ', "+"));
        assert_eq!(filled, "http://h/x?a=1&b=a+b&p=3&k=<KEY>");
        assert!(address.has(Place::Page) && !address.has(Place::Until));
        assert_eq!(address.variables().collect::<Vec<_>>(), ["KEY"]);
        assert_eq!(address.to_string(), "http://h/x?a={since}&b={cursor}&p={page}&k=${KEY}");
    }

    #[test]
    fn mistakes_have_their_place() {
        let at = |text| Address::parse(text).unwrap_err().at;
        assert_eq!((at("a{b}"), at("a{page}}"), at("ab{page"), at("${a-b}"), at("é{x}")), (1, 7, 2, 1, 2));
    }
}
