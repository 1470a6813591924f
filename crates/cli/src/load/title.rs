//! A title: a line of NDJSON with an `id`, as the origin is to hold it.

use newsreel_core::wire::{Key, NameError, Tag};
use serde::Deserialize;

/// Why a line is no title.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TitleError {
    /// The line is not UTF-8.
    #[error("not UTF-8: {0}")]
    NoText(#[from] std::str::Utf8Error),
    /// The line is not a JSON object.
    #[error("not a JSON object")]
    NoObject,
    /// The object cannot be read, or lacks an id.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The id is none that a key can have.
    #[error("id {id:?}: {why}")]
    Id {
        /// The id as the line has it.
        id: String,
        /// The rule of keys that the id breaks.
        why: NameError,
    },
    /// A platform, genre or type is none that a tag can have.
    #[error("{group} {slug}: {why}")]
    Tag {
        /// The group of tags: platform, genre or type.
        group: &'static str,
        /// The word, as a tag would have it.
        slug: String,
        /// The rule of tags that the word breaks.
        why: NameError,
    },
}

/// A line of the file, as an entry of the origin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Title {
    /// The key `title:<id>`, from the `id` of the line.
    pub(crate) key: Key,
    /// Its platforms, genres and type.
    pub(crate) tags: Vec<Tag>,
    /// The line without the blanks around it, stored unchanged.
    pub(crate) value: String,
}

impl Title {
    /// Reads a line of the file.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, TitleError> {
        let line = std::str::from_utf8(line)?.trim();
        // serde takes an array of the right length for a struct.
        if !line.starts_with('{') {
            return Err(TitleError::NoObject);
        }
        let fields: Fields = serde_json::from_str(line)?;
        let id = match fields.id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        };
        let key = Key::new(format!("title:{id}")).map_err(|why| TitleError::Id { id, why })?;
        let mut tags: Vec<Tag> = Vec::new();
        let kind = fields.kind.into_iter().collect();
        for (group, words) in
            [("platform", fields.platforms.list()), ("genre", fields.genres.list()), ("type", kind)]
        {
            for slug in words.iter().filter_map(|word| slug(word)) {
                let tag = Tag::new(format!("{group}:{slug}"));
                let tag = tag.map_err(|why| TitleError::Tag { group, slug, why })?;
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        Ok(Self { key, tags, value: line.to_owned() })
    }

    /// Returns the line of a transaction that puts it into an origin.
    pub(crate) fn line(&self) -> String {
        let (key, tags) = (serde_json::json!(self.key), serde_json::json!(self.tags));
        format!("{{\"key\":{key},\"tags\":{tags},\"value\":{}}}\n", self.value)
    }
}

#[derive(Deserialize)]
struct Fields {
    id: Id,
    #[serde(default)]
    platforms: Words,
    #[serde(default)]
    genres: Words,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an id is a text or a whole number")]
enum Id {
    Text(String),
    Number(u64),
}

/// A list, or one text with commas between its words.
#[derive(Deserialize)]
#[serde(untagged, expecting = "platforms and genres are lists of texts, or one text with commas")]
enum Words {
    List(Vec<String>),
    Text(String),
    Nothing(()),
}

impl Default for Words {
    fn default() -> Self {
        Self::Nothing(())
    }
}

impl Words {
    fn list(self) -> Vec<String> {
        match self {
            Self::List(words) => words,
            Self::Text(text) => text.split(',').map(str::to_owned).collect(),
            Self::Nothing(()) => Vec::new(),
        }
    }
}

/// Returns a word as a tag can hold it: lower-case letters and digits, single dashes for all between them.
fn slug(word: &str) -> Option<String> {
    let words = word.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    (!slug.is_empty()).then_some(slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(line: &str) -> Vec<String> {
        Title::parse(line.as_bytes()).unwrap().tags.into_iter().map(String::from).collect()
    }

    #[test]
    fn a_line_is_a_title_with_its_tags() {
        let line = r#"{"id":"netflix:s1","platforms":["netflix"],"genres":["Sci-Fi & Fantasy","Sci-Fi / Fantasy"],"type":"TV Show"}"#;
        assert_eq!(Title::parse(line.as_bytes()).unwrap().key.as_str(), "title:netflix:s1");
        assert_eq!(tags(line), ["platform:netflix", "genre:sci-fi-fantasy", "type:tv-show"]);
    }

    #[test]
    fn genres_may_be_one_text_and_anything_but_the_id_may_be_absent() {
        assert_eq!(tags(r#"{"id":7,"genres":"Comedy, Drama,,"}"#), ["genre:comedy", "genre:drama"]);
        assert!(tags(r#"{"id":"x","platforms":["映画"],"genres":null,"type":null}"#).is_empty());
    }

    #[test]
    fn what_is_not_a_title_says_why() {
        for (line, why) in [
            ("", "not a JSON object"),
            ("[\"x\"]", "not a JSON object"),
            ("{", "EOF"),
            ("{}", "missing field `id`"),
            (r#"{"id":1.5}"#, "an id is a text or a whole number"),
            (r#"{"id":""}"#, "class:id"),
            (r#"{"id":"a\nb"}"#, "no control characters"),
            (r#"{"id":1,"genres":[7]}"#, "lists of texts"),
        ] {
            let error = Title::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
        assert!(Title::parse(b"{\"id\":\"\xff\"}").unwrap_err().to_string().contains("not UTF-8"));
    }

    #[test]
    fn the_line_of_a_title_keeps_its_text() {
        let text = "{\"id\":\"a\\\"b\",  \"title\":\"\u{2028}שלום\"}";
        let line = Title::parse(text.as_bytes()).unwrap().line();
        assert_eq!(line, format!("{{\"key\":\"title:a\\\"b\",\"tags\":[],\"value\":{text}}}\n"));
    }
}
