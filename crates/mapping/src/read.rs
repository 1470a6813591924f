//! One `[[read]]` of a mapping: the SQL that gives the value of a key.

use newsreel_core::wire::Key;

use crate::template::Template;

/// The statement that gives the values of the keys of one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub(crate) key: Template,
    pub(crate) sql: String,
    pub(crate) content_type: Option<String>,
}

impl Read {
    /// Returns the form of the keys, such as `title:{id}`.
    #[must_use]
    pub fn key(&self) -> &Template {
        &self.key
    }

    /// Returns the statement. Its parameters `$1`, `$2` … are the places of the key's form, in their order.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Returns the media type of the statement's one column; `None` where its row is a JSON object.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns the parameters that a key gives to the statement; `None` for a key of another form.
    #[must_use]
    pub fn parameters<'a>(&self, key: &'a Key) -> Option<Vec<&'a str>> {
        self.key.values_in(key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mapping;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn expect(form: &str, key: &str, parameters: Option<&[&str]>) {
        let file = format!("[[read]]\nkey = {form:?}\nsql = \"SELECT 1\"\n");
        let mapping = Mapping::parse(&file).unwrap();
        let key = Key::new(key).unwrap();
        assert_eq!(mapping.reads[0].parameters(&key).as_deref(), parameters, "{form} of {key}");
    }

    #[test]
    fn a_key_gives_the_places_of_its_form_their_texts() {
        expect("title:{id}", "title:603", Some(&["603"]));
        expect("title:{id}", "title:a:b", Some(&["a:b"]));
        expect("availability:{platform}:{title_id}", "availability:hulu:7", Some(&["hulu", "7"]));
        expect("availability:{platform}:{title_id}", "availability:hulu:7:8", Some(&["hulu", "7:8"]));
        expect("page:{id}/body", "page:7/body", Some(&["7"]));
        expect("page:start", "page:start", Some(&[]));
    }

    #[test]
    fn a_key_of_another_form_gives_none() {
        expect("title:{id}", "titles:603", None);
        expect("availability:{platform}:{title_id}", "availability:hulu", None);
        expect("availability:{platform}:{title_id}", "availability::7", None);
        expect("page:{id}/body", "page:7/bodyguard", None);
        expect("page:{id}/body", "page:7", None);
        expect("page:start", "page:started", None);
    }

    #[test]
    fn mistakes_of_a_read_are_told_with_what_to_write() {
        let file = "[[read]]\nkey = \"a:{b | slug}\"\nsql = \" \"\n[[read]]\nkey = \"a:{b}{c}\"\n\
                    [[read]]\nkey = \"a:{b[]}\"\nsql = \"SELECT\"\ncontent_type = \"png\"\nhot = 1\n";
        let mistakes = Mapping::parse(file).unwrap_err().to_string();
        let expected = [
            "2:7: a key that is read cannot be taken apart again: write its places without filters, and text between them",
            "3:7: sql is empty: write sql = \"SELECT … WHERE id = $1\"",
            "4:1: [[read]] has no sql: write sql = \"SELECT … WHERE id = $1\"",
            "5:7: a key that is read cannot be taken apart again: write its places without filters, and text between them",
            "7:7: a row has one key: take [] out, and name further keys with also = [{ key = \"…\" }]",
            "9:16: content_type is a media type: write content_type = \"application/octet-stream\"",
            "10:1: there is no field \"hot\": [[read]] has key, sql, content_type",
        ];
        assert_eq!(mistakes.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn reads_publish_nothing_so_they_leave_the_digest() {
        let maps = "[[map]]\nfrom = \"t\"\nkey = \"a:{b}\"\n";
        let read = "hot = \"SELECT 'a:1', 1\"\n[[read]]\nkey = \"a:{b}\"\nsql = \"SELECT 1\"\n";
        let [without, with] =
            [maps.to_owned(), format!("{}{maps}", read)].map(|file| Mapping::parse(&file).unwrap());
        assert_eq!(without.digest(), with.digest());
        assert_eq!((with.hot.as_deref(), with.reads.len()), (Some("SELECT 'a:1', 1"), 1));
    }
}
